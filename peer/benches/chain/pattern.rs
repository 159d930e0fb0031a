//! The bytes of the stream: a function of their place in it, so that the far end can check every one of them.

/// Noise repeats after so many bytes, but each lap begins with its number.
const LAP: u64 = 1 << 20;

const STAMP: usize = 8;

#[derive(Debug)]
pub(crate) struct Pattern {
    noise: Vec<u8>,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 1_u32;
        let noise = (0..LAP)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        Pattern { noise }
    }

    /// The `len` bytes from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let at = offset + out.len() as u64;
            let take = len - out.len();
            let (stamp, noise) = self.lap(at);
            match stamp {
                Some((stamp, from)) => {
                    out.extend_from_slice(&stamp[from..][..take.min(STAMP - from)]);
                }
                None => out.extend_from_slice(&noise[..take.min(noise.len())]),
            }
        }
        out
    }

    /// Whether `bytes` are those from `offset` on.
    pub(crate) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let (stamp, noise) = self.lap(offset + done as u64);
            let expected = match &stamp {
                Some((stamp, from)) => &stamp[*from..],
                None => noise,
            };
            let len = rest.len().min(expected.len());
            if rest[..len] != expected[..len] {
                return false;
            }
            done += len;
        }
        true
    }

    /// What stands at `at`: part of a lap's number from an index on, or noise until the end of the lap.
    fn lap(&self, at: u64) -> (Option<([u8; STAMP], usize)>, &[u8]) {
        let within = (at % LAP) as usize;
        let stamp = (within < STAMP).then(|| ((at / LAP).to_be_bytes(), within));
        (stamp, &self.noise[within..])
    }
}
