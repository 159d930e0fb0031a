//! What the segmenter has to say to a human.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Something about the input that its owner should know, emitted once per event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The packet grid of the MPEG transport stream broke at this byte of the input.
    LostSync {
        /// Offset in the input, in bytes since its start.
        offset: u64,
    },
    /// The packet grid was found again; `skipped` bytes in between belong to no packet and were carried as they are.
    Resynchronised {
        /// Bytes carried that belong to no packet.
        skipped: u64,
    },
    /// No container was recognised: every chunk counts as a place to start.
    OpaqueInput,
    /// A container was recognised but cannot be joined in the middle, for the reason given; carried as opaque bytes.
    NotJoinable {
        /// Why, in words that complete "it cannot be joined in the middle: …".
        reason: &'static str,
    },
    /// The programme clock (PCR) did not go on where it was.
    ClockJumped {
        /// How far, in microseconds; negative is backwards.
        by_us: i64,
    },
    /// Nothing was read for a while.
    EncoderPaused,
    /// Input goes on after [`Notice::EncoderPaused`].
    EncoderResumed {
        /// How long nothing was read.
        after: Duration,
    },
    /// Notices dropped because nobody collected them.
    Dropped {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::LostSync { offset } => write!(f, "lost MPEG-TS sync at byte {offset} of the input"),
            Notice::Resynchronised { skipped } => {
                write!(
                    f,
                    "resynchronised after {skipped} bytes that are not MPEG-TS packets"
                )
            }
            Notice::OpaqueInput => {
                write!(
                    f,
                    "the input is not MPEG-TS or another known container; carried as opaque bytes"
                )
            }
            Notice::NotJoinable { reason } => {
                write!(
                    f,
                    "the input cannot be joined in the middle: {reason}; carried as opaque bytes"
                )
            }
            Notice::ClockJumped { by_us } => {
                write!(f, "the input's clock jumped by {:.3} s", *by_us as f64 / 1e6)
            }
            Notice::EncoderPaused => write!(f, "the encoder paused: nothing to read"),
            Notice::EncoderResumed { after } => {
                write!(f, "the encoder resumed after {:.1} s", after.as_secs_f64())
            }
            Notice::Dropped { count } => write!(f, "{count} more notices were dropped"),
        }
    }
}

/// Notices waiting to be collected. A noisy input with nobody collecting must not grow without end: the oldest ones
/// are kept, because the first symptom tells most, and the rest are counted.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    dropped: u64,
}

/// A screenful; more than this between two collections is noise.
const WAITING_MAX: usize = 64;

impl Notices {
    pub(super) fn push(&mut self, notice: Notice) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(notice);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn drain(&mut self) -> Vec<Notice> {
        let mut all: Vec<Notice> = self.waiting.drain(..).collect();
        if self.dropped > 0 {
            all.push(Notice::Dropped {
                count: std::mem::take(&mut self.dropped),
            });
        }
        all
    }
}
