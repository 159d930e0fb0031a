//! Where QUIC would ask the system for chance or for the date, it is given a seed's: the same run again for the same seed.
//!
//! What is left to the system's chance is inside the handshake (TLS's key exchange and its random fields): it changes the
//! bytes of packets, and never their number, size or time.

use std::time::SystemTime;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, TimeSource};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// As long as those of the program, whose generator (`HashedConnectionIdGenerator`) asks the system.
const ID_LEN: usize = 8;

/// A host's own chance.
#[derive(Clone, Debug)]
pub(super) struct Seeds(ChaCha8Rng);

impl Seeds {
    /// For the host with this secret, that is there for the `time`th time.
    pub(super) fn new(secret: &[u8; 32], time: u64) -> Self {
        let hash = blake3::keyed_hash(secret, &time.to_le_bytes());
        Seeds(ChaCha8Rng::from_seed(*hash.as_bytes()))
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A connection's first name for its other side. QUIC wants at least 8 bytes; quinn takes 20.
    pub(super) fn first_id(&mut self) -> ConnectionId {
        let mut id = [0; 20];
        self.0.fill_bytes(&mut id);
        ConnectionId::new(&id)
    }
}

impl ConnectionIdGenerator for Seeds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_LEN];
        self.0.fill_bytes(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// A date for tokens, which nobody looks at: the program hands out none but for `Retry`, and the simulator accepts all.
pub(super) struct NoDate;

impl TimeSource for NoDate {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}
