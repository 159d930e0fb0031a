//! What the peercaster says of its stream.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sign::{Domain, Statement};
use crate::{Bitrate, MAX_SUBSTREAMS, Seq, Time};

/// The form of the bytes inside the chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// Bytes whose form is not known: any chunk is as good a start as another.
    #[default]
    Opaque,
    /// MPEG transport stream.
    MpegTs,
    /// Fragmented MP4.
    FragmentedMp4,
    /// Matroska or WebM.
    Matroska,
    /// Ogg.
    Ogg,
    /// A form that a later version knows.
    #[serde(other)]
    Unknown,
}

/// A description of a stream, signed by its key. A later one (greater session, then greater revision) replaces an earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// First chunk number of the peercaster's current session.
    pub session: Seq,
    /// Counts up within a session.
    pub revision: u32,
    /// When the session began, on the peercaster's clock (Unix time).
    pub started_at: Time,
    /// K, the number of substreams: 1 to 64.
    pub substreams: u8,
    /// Nominal length of a chunk.
    pub chunk_duration_us: u32,
    /// The media rate as measured or announced, without overhead.
    pub rate: Bitrate,
    /// What the bytes are.
    pub media: Media,
    /// A title for people; empty if none. At most [`MAX_TITLE`] bytes, and not to be trusted on a terminal as it is.
    #[serde(deserialize_with = "crate::text::at_most::<_, MAX_TITLE>")]
    pub title: String,
    /// Whether payloads are encrypted with a key that travels in the link.
    pub private: bool,
}

impl StreamInfo {
    /// Whether the values are ones a peer can work with; a stranger may sign anything with a key of its own.
    pub fn is_sane(&self) -> bool {
        (1..=MAX_SUBSTREAMS).contains(&self.substreams)
            && (100..=1_000_000).contains(&self.chunk_duration_us)
            && self.title.len() <= MAX_TITLE
            && self.rate.as_bps() <= 100_000_000_000
    }

    /// Nominal length of a chunk.
    pub fn chunk_duration(&self) -> Duration {
        Duration::from_micros(u64::from(self.chunk_duration_us))
    }

    /// Whether this description replaces `other`.
    pub fn replaces(&self, other: &StreamInfo) -> bool {
        (self.session, self.revision) > (other.session, other.revision)
    }
}

/// The longest title in bytes: one line on a screen, with room for scripts of three bytes a character.
pub const MAX_TITLE: usize = 240;

impl Statement for StreamInfo {
    const DOMAIN: Domain = Domain::STREAM_INFO;
}
