//! Ogg (RFC 3533): header pages, then data pages, most of which are places to start.

use std::time::Duration;

use bytes::Bytes;
use wire::Time;

use super::header::Header;
use super::{Mark, Sink};

/// Pages come several times a second; one point a second is enough for a player and keeps chunks regular.
const SPACING: Duration = Duration::from_secs(1);

const CAPTURE: &[u8; 4] = b"OggS";
/// Page flags: its first packet began on an earlier page; it begins a logical stream.
const CONTINUED: u8 = 1;
const BEGINS: u8 = 2;

/// Follows the pages.
#[derive(Debug, Default)]
pub(in crate::media) struct Analyser {
    /// Offset of the next page.
    at: u64,
    header: Header,
    in_data: bool,
    /// The page chain broke and the next page was not found yet.
    lost: bool,
    latest: Option<Time>,
}

impl Analyser {
    pub(super) fn header(&self) -> Bytes {
        self.header.get()
    }

    /// Looks at what was appended to `data`, the bytes from offset `start` on. The error is the reason why this
    /// cannot go on.
    pub(super) fn scan(
        &mut self,
        now: Time,
        start: u64,
        data: &[u8],
        sink: &mut Sink,
    ) -> Result<(), &'static str> {
        let end = start + data.len() as u64;
        while self.at < end {
            let rest = &data[self.at.saturating_sub(start) as usize..];
            match page(rest) {
                Page::Incomplete => break,
                Page::Lost => {
                    // At least one byte on; the capture pattern may be cut off at the end.
                    let next = rest[1..].windows(4).position(|window| window == CAPTURE);
                    let skip = next.map_or(rest.len().saturating_sub(3).max(1), |at| at + 1);
                    self.at += skip as u64;
                    self.lost = true;
                }
                Page::Head { flags, granule, len } => {
                    if std::mem::take(&mut self.lost) {
                        sink.marks.push_back(Mark::Discontinuity(self.at));
                    }
                    self.page(now, flags, granule, start, data, sink)?;
                    self.at += len;
                }
            }
            if !self.in_data {
                self.header.extend(start, data, self.at)?;
            }
        }
        if !self.in_data {
            self.header.extend(start, data, self.at)?;
        }
        sink.settled = self.at.min(end);
        Ok(())
    }

    fn page(
        &mut self,
        now: Time,
        flags: u8,
        granule: u64,
        start: u64,
        data: &[u8],
        sink: &mut Sink,
    ) -> Result<(), &'static str> {
        if flags & BEGINS != 0 && self.in_data {
            // The next of several chained streams, as radio stations send one for each title.
            self.in_data = false;
            self.header.begin(self.at);
            sink.marks.push_back(Mark::Discontinuity(self.at));
        }
        // Header pages end at position 0, or in the middle of a packet.
        if !self.in_data && !matches!(granule, 0 | u64::MAX) {
            self.header.extend(start, data, self.at)?;
            self.header.finish();
            self.in_data = true;
            self.latest = None;
        }
        let due = self.latest.is_none_or(|latest| now.since(latest) >= SPACING);
        if self.in_data && flags & CONTINUED == 0 && due {
            self.latest = Some(now);
            sink.marks.push_back(Mark::Join(self.at));
        }
        Ok(())
    }
}

enum Page {
    Incomplete,
    Lost,
    Head { flags: u8, granule: u64, len: u64 },
}

/// The page at the beginning of `data`.
fn page(data: &[u8]) -> Page {
    if !CAPTURE.starts_with(&data[..data.len().min(4)]) && !data.starts_with(CAPTURE) {
        return Page::Lost;
    }
    let Some((head, rest)) = data.split_first_chunk::<27>() else {
        return Page::Incomplete;
    };
    let Some(lacing) = rest.get(..usize::from(head[26])) else {
        return Page::Incomplete;
    };
    let body: u64 = lacing.iter().map(|&len| u64::from(len)).sum();
    let mut granule = [0; 8];
    granule.copy_from_slice(&head[6..14]);
    Page::Head {
        flags: head[5],
        granule: u64::from_le_bytes(granule),
        len: 27 + lacing.len() as u64 + body,
    }
}
