//! Where in a transport stream a player can start.

use std::time::Duration;

use super::packet::Packet;
use super::psi::{Codec, MainStream};

/// Audio can be joined at every frame; once a second is enough for a player and keeps chunks regular.
const AUDIO_SPACING: Duration = Duration::from_secs(1);

/// Video in which nothing ever marked a random-access point for so long (an unknown codec, a scrambled stream, intra
/// refresh without recovery points) is joined at any frame: a decoder sorts itself out, and never starting is worse.
/// Longer than the longest usual distance of key frames, 10 s.
const BLIND_AFTER: Duration = Duration::from_secs(12);

/// So many packets of a frame are searched for what kind of frame it is. Parameter sets and supplemental messages
/// come first in a key frame and fit in the first kilobyte or two.
const SEARCH_PACKETS: u8 = 12;

/// Finds random-access points in the stream's main elementary stream.
///
/// The multiplexer's random_access_indicator decides if it was ever set. If not, the beginning of each frame is
/// searched for what only key frames have.
#[derive(Debug, Default)]
pub(super) struct JoinFinder {
    stream: Option<MainStream>,
    indicator_seen: bool,
    search: Option<Search>,
    /// Media time of the first frame.
    first: Option<Duration>,
    /// Media time of the latest point.
    latest: Option<Duration>,
    /// A point was recognised as such, so there is no need to guess.
    recognised: bool,
}

impl JoinFinder {
    /// The tables say that this is the main stream.
    pub(super) fn follow(&mut self, stream: Option<MainStream>) {
        if self.stream != stream {
            *self = JoinFinder {
                stream,
                ..JoinFinder::default()
            };
        }
    }

    /// The packets that follow do not continue those before.
    pub(super) fn forget(&mut self) {
        self.search = None;
    }

    /// Offset of a frame that is not known to be a key frame or not.
    pub(super) fn undecided(&self) -> Option<u64> {
        self.search.as_ref().map(|search| search.at)
    }

    /// Takes any packet; `at` is its offset, `media_time` where the stream's clock is. Returns the offset of a packet
    /// that begins a random-access point: this one or an earlier one.
    pub(super) fn packet(&mut self, media_time: Duration, at: u64, packet: Packet<'_>) -> Option<u64> {
        let stream = self.stream.filter(|stream| stream.pid == packet.pid())?;
        if let Some(pes) = packet.pes_start() {
            self.search = None;
            let waited = since(media_time, &mut self.first);
            let spaced = self.latest.is_none() || since(media_time, &mut self.latest) >= AUDIO_SPACING;
            if stream.codec == Codec::Audio {
                return if spaced { self.found(media_time, at) } else { None };
            }
            if packet.random_access_indicator() {
                self.indicator_seen = true;
                return self.found(media_time, at);
            }
            if !self.recognised && waited >= BLIND_AFTER && spaced {
                self.latest = Some(media_time);
                return Some(at);
            }
            if !self.indicator_seen && !packet.is_scrambled() && stream.codec != Codec::OtherVideo {
                // Stream id, length, flags: nine bytes, the last of which says how many more follow.
                let header = pes.get(8).map_or(pes.len(), |&more| 9 + usize::from(more));
                let mut search = Search::new(at);
                let outcome = search.feed(stream.codec, pes.get(header..).unwrap_or(&[]));
                self.search = Some(search);
                return self.conclude(media_time, outcome);
            }
            return None;
        }
        let search = self.search.as_mut()?;
        let outcome = search.feed(stream.codec, packet.payload());
        self.conclude(media_time, outcome)
    }

    fn conclude(&mut self, media_time: Duration, outcome: Outcome) -> Option<u64> {
        match outcome {
            Outcome::Undecided => None,
            Outcome::OtherFrame => {
                self.search = None;
                None
            }
            Outcome::KeyFrame => {
                let at = self.search.take()?.at;
                self.found(media_time, at)
            }
        }
    }

    fn found(&mut self, media_time: Duration, at: u64) -> Option<u64> {
        self.latest = Some(media_time);
        self.recognised = true;
        Some(at)
    }
}

/// Time passed since `then`, which is moved to `now` if it is unknown or the clock was set back.
fn since(now: Duration, then: &mut Option<Duration>) -> Duration {
    let then = then.get_or_insert(now);
    *then = (*then).min(now);
    now - *then
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    KeyFrame,
    OtherFrame,
    Undecided,
}

/// Looks through the start codes of one frame.
#[derive(Debug)]
struct Search {
    at: u64,
    packets: u8,
    /// The latest bytes, newest lowest.
    window: u64,
}

impl Search {
    fn new(at: u64) -> Self {
        Search {
            at,
            packets: 0,
            window: u64::MAX,
        }
    }

    fn feed(&mut self, codec: Codec, payload: &[u8]) -> Outcome {
        for &byte in payload {
            self.window = self.window << 8 | u64::from(byte);
            // Start code, its type byte and one byte more.
            if (self.window >> 16) & 0xff_ffff == 1 {
                let outcome = judge(codec, (self.window >> 8) as u8, byte);
                if outcome != Outcome::Undecided {
                    return outcome;
                }
            }
        }
        self.packets += 1;
        if self.packets >= SEARCH_PACKETS {
            Outcome::OtherFrame
        } else {
            Outcome::Undecided
        }
    }
}

/// What the byte after a start code, and the one after that, say about the frame.
fn judge(codec: Codec, kind: u8, next: u8) -> Outcome {
    match codec {
        // ISO/IEC 13818-2, table 6-1: sequence header; picture.
        Codec::Mpeg2 => match kind {
            0xb3 => Outcome::KeyFrame,
            0x00 => Outcome::OtherFrame,
            _ => Outcome::Undecided,
        },
        // H.264 table 7-1: IDR slice, sequence parameter set; recovery point message; other slices.
        Codec::H264 => match kind & 0x1f {
            5 | 7 => Outcome::KeyFrame,
            6 if next == 6 => Outcome::KeyFrame,
            1..=4 => Outcome::OtherFrame,
            _ => Outcome::Undecided,
        },
        // H.265 table 7-1: IRAP slices, VPS, SPS; other slices.
        Codec::H265 => match (kind >> 1) & 0x3f {
            16..=23 | 32 | 33 => Outcome::KeyFrame,
            0..=15 => Outcome::OtherFrame,
            _ => Outcome::Undecided,
        },
        Codec::OtherVideo | Codec::Audio => Outcome::OtherFrame,
    }
}
