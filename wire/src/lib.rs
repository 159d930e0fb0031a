//! Ids, units, time, messages, the bounded codec and signatures of headwater.
//!
//! Every other crate speaks in these types. Nothing here does input or output, and nothing that a stranger sends can
//! panic or take more memory than the limits in this crate allow.

mod byte_vec;
mod bytes32;
mod chunk;
pub mod codec;
mod compact_coord;
mod id;
mod id_map;
pub mod link;
mod list;
pub mod message;
mod opening;
mod sign;
mod stream_info;
mod text;
mod time;
pub mod trust;
mod units;
mod version;

pub use chunk::{
    AEAD_OVERHEAD, CHUNK_FRAME_TYPE, CHUNK_HEADER_LEN, Chunk, ChunkFlags, ChunkFrameError, ChunkHeader,
    MAX_CHUNK_FRAME, MAX_GROUP, MAX_PAYLOAD, UncheckedChunk,
};
pub use id::{MAX_SUBSTREAMS, ParseIdError, PeerId, Seq, StreamId, Substream, SubstreamSet};
pub use id_map::{IdEntry, IdKey, IdMap, PeerMap};
pub use link::{Link, LinkError};
pub use list::List;
pub use message::Message;
pub use opening::{MAX_OPENING, MAX_OPENING_MESSAGES, Opened, Opening, OpeningError};
pub use sign::{Cosigned, SecretKey, SignatureError, Signed, Statement, Verifier};
pub use stream_info::{MAX_TITLE, Media, StreamInfo};
pub use time::Time;
pub use units::{Bitrate, ParseBitrateError};
pub use version::{VERSIONS, agree};
