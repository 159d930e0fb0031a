//! What a player that connects in the middle of a stream must be given, and where a recording can end.

use bytes::Bytes;

use super::ts::{Packet, Psi, packets};

#[cfg(test)]
mod tests;

/// A stream's chunks from a random-access point on are kept up to this many bytes: more than a GOP of 10 s at
/// 25 Mbit/s. When a stream goes beyond without another point, players wait for the next one.
const BACKLOG_MAX: usize = 32 * 1024 * 1024;

/// What to send a player first; then every chunk that follows, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Tables or initialisation header. May be empty.
    pub header: Bytes,
    /// Payloads since the latest random-access point.
    pub backlog: Vec<Bytes>,
}

impl Joined {
    /// All of it in the order it is to be sent.
    pub fn into_parts(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.header)
            .filter(|header| !header.is_empty())
            .chain(self.backlog)
    }
}

/// Watches a stream's chunks go by, and can tell at any moment what a player that connects now needs.
#[derive(Debug, Default)]
pub struct JoinTracker {
    /// Initialisation header, from the stream's description.
    given: Bytes,
    psi: Psi,
    is_ts: bool,
    /// The tables as they were at the random-access point: a change after it is in the backlog.
    at_join: Bytes,
    backlog: Vec<Bytes>,
    backlog_bytes: usize,
    joinable: bool,
}

impl JoinTracker {
    /// `header` is [`tables`](super::Segmenter::tables) as the peercaster announced it; for MPEG-TS the tables found
    /// in the stream itself take precedence.
    pub fn new(header: Bytes) -> Self {
        JoinTracker {
            given: header,
            ..JoinTracker::default()
        }
    }

    /// The peercaster announced another header.
    pub fn set_header(&mut self, header: Bytes) {
        self.given = header;
    }

    /// Takes the next chunk's payload, in order. A chunk that never came is simply left out.
    pub fn push(&mut self, payload: &Bytes, random_access: bool) {
        if random_access {
            self.at_join = self.psi.tables();
            self.backlog.clear();
            self.backlog_bytes = 0;
            self.joinable = true;
        }
        self.backlog_bytes += payload.len();
        if self.backlog_bytes > BACKLOG_MAX {
            self.backlog.clear();
            self.joinable = false;
        }
        if self.joinable {
            self.backlog.push(payload.clone());
        }
        // Chunks of a transport stream begin at a packet, except where the stream itself is broken.
        for (_, packet) in packets(payload) {
            self.is_ts |= self.psi.packet(packet);
        }
    }

    /// What a player that connects now needs, or `None` until there was a random-access point.
    pub fn join(&self) -> Option<Joined> {
        if !self.joinable {
            return None;
        }
        let known = if self.is_ts && !self.at_join.is_empty() {
            &self.at_join
        } else {
            &self.given
        };
        Some(Joined {
            header: known.clone(),
            backlog: self.backlog.clone(),
        })
    }
}

/// Offset of the last packet boundary in a chunk's payload at which a video frame (PES packet) of an MPEG transport
/// stream begins: everything before it belongs to complete frames.
pub fn frame_end(payload: &[u8]) -> Option<usize> {
    frame_starts(payload).last()
}

/// Offset of the first such boundary: where a recording that is over can stop with its last frame complete.
pub fn next_frame_start(payload: &[u8]) -> Option<usize> {
    frame_starts(payload).next()
}

fn frame_starts(payload: &[u8]) -> impl Iterator<Item = usize> {
    packets(payload)
        .filter(|&(_, packet)| begins_video(packet))
        .map(|(at, _)| at)
}

/// Stream ids of video in a PES header (ISO/IEC 13818-1, table 2-22): MPEG video, and the extended id of others.
fn begins_video(packet: Packet<'_>) -> bool {
    let id = packet.pes_start().and_then(|pes| pes.get(3));
    id.is_some_and(|id| matches!(id, 0xe0..=0xef | 0xfd))
}
