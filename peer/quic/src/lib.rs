//! What the program makes of QUIC, without sockets, clocks and tasks: who proves what in the handshake, the settings of
//! connections, congestion control, what is handed to a connection in which order, and what comes out of its streams.
//!
//! The program's transport drives it with quinn and tokio, the simulator's packet level with `quinn-proto` and virtual
//! time: the same settings and the same decisions in both.

pub mod congestion;
mod endpoint;
mod frames;
mod opening;
mod outgoing;
mod pair;
mod queue;
mod streams;
pub mod tls;
mod tuning;
mod uplink;

pub use endpoint::{SERVER_NAME, client_config, endpoint_config, server_config};
pub use frames::{FrameBuffer, GREETING, MAX_GREETINGS};
pub use opening::{ALPN_OPENING, Acceptor, Heard, MAX_EARLY, was_taken};
pub use outgoing::{CONTROL_PRIORITY, Reporter, ahead_of, priority, room_for_chunks};
pub use pair::{SIMULTANEOUS, Verdict, decide};
pub use queue::{ControlFull, Dropped, QueuedChunk, SendQueue};
pub use streams::{Checked, Streams};
pub use tuning::{Acks, Congestion, Tuning};
pub use uplink::{ASSUMED, PathSample, UplinkEstimate};

use std::time::Duration;

/// What IP (version 4) and UDP add to each datagram. Version 6 adds 20 bytes more; the difference is not worth telling
/// the two apart.
pub const IP_UDP_HEADERS: u64 = 28;

/// Dialler and acceptor have this long for the handshake and the first message.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the last messages of a connection may take.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection that lost against a simultaneous one is still read.
pub const YIELD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for the other of two simultaneous connections when this one is ended by the peer, and then for
/// what is still under way on this one: some round trips.
pub const SUPERSEDE_GRACE: Duration = Duration::from_millis(500);

/// Dials under way at once. A joiner tries some ten peers; more at once would only delay the first.
pub const MAX_DIALS: usize = 16;

/// Codes with which connections are closed, for the other side's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// As agreed.
    Done = 0,
    /// There is another connection of this pair.
    Duplicate = 1,
    /// No common version.
    Version = 2,
    /// Not what the protocol allows.
    Protocol = 3,
    /// The peer does not read.
    Stuck = 4,
    /// The first message did not come.
    Late = 5,
    /// A peer cannot be its own neighbour.
    Oneself = 6,
}

impl From<Code> for quinn_proto::VarInt {
    fn from(code: Code) -> quinn_proto::VarInt {
        quinn_proto::VarInt::from_u32(code as u32)
    }
}
