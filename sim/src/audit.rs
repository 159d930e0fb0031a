//! One running hash over everything that happens in a run: two runs are the same when their hashes are.

use crate::time::SimTime;

/// Bytes of one record.
const RECORD: usize = 24;

/// Records gathered before they are hashed: BLAKE3 is several times faster on long inputs.
const BUFFER: usize = 16 * 1024 / RECORD;

/// What happened, as it enters the hash. The numbers are part of a result's meaning only within one version.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum What {
    Timer = 1,
    Chunk = 2,
    Message = 3,
    Connected = 4,
    Disconnected = 5,
    Produced = 6,
    Joined = 7,
    Left = 8,
    Played = 9,
    Fault = 10,
    Dialled = 11,
}

/// The running hash.
#[derive(Debug)]
pub(crate) struct Audit {
    hasher: blake3::Hasher,
    buffer: Vec<[u8; RECORD]>,
}

impl Audit {
    pub(crate) fn new() -> Self {
        Audit {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER),
        }
    }

    /// Adds one event: when, what, at which peer, and whatever distinguishes it.
    pub(crate) fn fold(&mut self, at: SimTime, what: What, peer: u32, detail: u64) {
        let mut record = [0u8; RECORD];
        record[..8].copy_from_slice(&at.0.to_le_bytes());
        record[8..12].copy_from_slice(&peer.to_le_bytes());
        record[12] = what as u8;
        record[16..].copy_from_slice(&detail.to_le_bytes());
        self.buffer.push(record);
        if self.buffer.len() == BUFFER {
            self.hasher.update(self.buffer.as_flattened());
            self.buffer.clear();
        }
    }

    /// The hash of everything, in hexadecimal.
    pub(crate) fn finish(mut self) -> String {
        self.hasher.update(self.buffer.as_flattened());
        self.hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(records: u64, changed: u64) -> String {
        let mut audit = Audit::new();
        for n in 0..records {
            audit.fold(SimTime(n), What::Timer, 3, if n == changed { 1 } else { 0 });
        }
        audit.finish()
    }

    #[test]
    fn every_record_counts() {
        let whole = hash(5000, u64::MAX);
        assert_eq!(whole, hash(5000, u64::MAX));
        assert_ne!(whole, hash(4999, u64::MAX));
        for changed in [0, 681, 682, 683, 4999] {
            assert_ne!(whole, hash(5000, changed));
        }
    }
}
