//! Fragmented MP4 (ISO/IEC 14496-12): header, then fragments, each of which may be a place to start.

use bytes::Bytes;

use super::header::Header;
use super::{Mark, Sink};

/// The four letters of a box.
type Kind = [u8; 4];

/// A fragment's directory of more bytes is not waited for: it would hold back the stream. Real ones have some
/// hundred bytes, a few KiB for many samples.
const MOOF_MAX: u64 = 32 * 1024;

/// Sample flag: this sample needs others (8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// Follows the boxes of the outermost level.
#[derive(Debug, Default)]
pub(in crate::media) struct Analyser {
    /// Offset of the next box.
    at: u64,
    header: Header,
    in_fragments: bool,
    tracks: Vec<Track>,
    /// Where the boxes that introduce a fragment begin.
    group: Option<u64>,
    /// `(from, to)` of the fragment directory that is being read.
    moof: Option<(u64, u64)>,
}

/// A video track of the header.
#[derive(Debug, PartialEq, Eq)]
struct Track {
    id: u32,
    /// Flags of samples that have none of their own.
    default_flags: u32,
}

impl Analyser {
    pub(super) fn header(&self) -> Bytes {
        self.header.get()
    }

    /// Looks at what was appended to `data`, the bytes from offset `start` on. The error is the reason why this
    /// cannot go on.
    pub(super) fn scan(&mut self, start: u64, data: &[u8], sink: &mut Sink) -> Result<(), &'static str> {
        let end = start + data.len() as u64;
        let settled = loop {
            if let Some((from, to)) = self.moof {
                if to > end {
                    break end;
                }
                self.moof = None;
                let group = self.group.take().unwrap_or(from);
                // If it had to be let go before it was complete, its beginning is not in `data` any more.
                if from >= start && self.is_join(&data[(from - start) as usize..(to - start) as usize]) {
                    sink.marks.push_back(Mark::Join(group));
                }
            }
            if self.at >= end {
                break end;
            }
            let rest = &data[self.at.saturating_sub(start) as usize..];
            let Some((kind, len)) = box_header(rest)? else {
                break self.at;
            };
            let next = self.at.saturating_add(len);
            if self.in_fragments {
                self.fragment_box(kind, next, sink);
            } else {
                self.header.extend(start, data, self.at)?;
                self.header_box(kind, next)?;
            }
            self.at = next;
        };
        if !self.in_fragments {
            self.header.extend(start, data, self.at)?;
        }
        sink.settled = settled;
        sink.undecided = self.group;
        Ok(())
    }

    fn header_box(&mut self, kind: Kind, next: u64) -> Result<(), &'static str> {
        match &kind {
            b"styp" | b"sidx" | b"prft" | b"emsg" | b"moof" => {
                self.header.finish();
                let header = self.header.get();
                let moov = find(&header, *b"moov").ok_or("it has no `moov` box before its first fragment")?;
                find(moov, *b"mvex").ok_or("its `moov` box announces no fragments")?;
                self.tracks = video_tracks(moov);
                self.in_fragments = true;
                self.fragment(kind, next);
                Ok(())
            }
            b"mdat" => Err("it is MP4 but not fragmented (ffmpeg: -movflags frag_keyframe+empty_moov)"),
            _ => Ok(()),
        }
    }

    fn fragment_box(&mut self, kind: Kind, next: u64, sink: &mut Sink) {
        if &kind == b"ftyp" {
            // Another header: the encoder started anew.
            self.in_fragments = false;
            self.group = None;
            self.header.begin(self.at);
            sink.marks.push_back(Mark::Discontinuity(self.at));
        } else {
            self.fragment(kind, next);
        }
    }

    fn fragment(&mut self, kind: Kind, next: u64) {
        match &kind {
            b"styp" | b"sidx" | b"prft" | b"emsg" => {
                self.group.get_or_insert(self.at);
            }
            b"moof" => {
                self.group.get_or_insert(self.at);
                if next - self.at <= MOOF_MAX {
                    self.moof = Some((self.at, next));
                } else {
                    self.group = None;
                }
            }
            _ => self.group = None,
        }
    }

    /// Whether a player can start with the fragment of this `moof` box.
    fn is_join(&self, moof: &[u8]) -> bool {
        if self.tracks.is_empty() {
            return true;
        }
        let body = moof.get(8..).unwrap_or(&[]);
        boxes(body).filter(|(kind, _)| kind == b"traf").any(|(_, traf)| {
            let Some((track, flags)) = track_fragment(traf) else {
                return false;
            };
            let known = self.tracks.iter().find(|known| known.id == track);
            known.is_some_and(|known| flags.unwrap_or(known.default_flags) & NON_SYNC == 0)
        })
    }
}

/// Kind and whole length of the box at the beginning of `data`; `None` if more bytes are needed.
fn box_header(data: &[u8]) -> Result<Option<(Kind, u64)>, &'static str> {
    let Some(&[a, b, c, d, ref kind @ ..]) = data.first_chunk::<8>() else {
        return Ok(None);
    };
    let len = match u64::from(u32::from_be_bytes([a, b, c, d])) {
        // To the end of the input.
        0 => u64::MAX,
        1 => match data.get(8..16).and_then(|long| long.first_chunk()) {
            Some(&long) if u64::from_be_bytes(long) >= 16 => u64::from_be_bytes(long),
            Some(_) => return Err("a box has an impossible length"),
            None => return Ok(None),
        },
        len if len < 8 => return Err("a box has an impossible length"),
        len => len,
    };
    Ok(Some((*kind, len)))
}

/// The boxes in `data`, up to the first that is damaged or incomplete. Headers with 64-bit lengths do not occur in
/// what is looked at here.
fn boxes(mut data: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, len) = box_header(data).ok()??;
        let (this, rest) = data.split_at_checked(usize::try_from(len).ok()?)?;
        data = rest;
        Some((kind, this.get(8..)?))
    })
}

fn find(data: &[u8], kind: Kind) -> Option<&[u8]> {
    boxes(data).find(|(k, _)| *k == kind).map(|(_, body)| body)
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn video_tracks(moov: &[u8]) -> Vec<Track> {
    let defaults = |id| {
        let mvex = find(moov, *b"mvex")?;
        let trex = boxes(mvex)
            .find(|(kind, trex)| kind == b"trex" && word(trex, 4) == Some(id))?
            .1;
        word(trex, 20)
    };
    let track = |trak| {
        let tkhd = find(trak, *b"tkhd")?;
        let id = word(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 })?;
        let hdlr = find(find(trak, *b"mdia")?, *b"hdlr")?;
        let is_video = hdlr.get(8..12)? == b"vide";
        is_video.then(|| Track {
            id,
            default_flags: defaults(id).unwrap_or(0),
        })
    };
    boxes(moov)
        .filter(|(kind, _)| kind == b"trak")
        .filter_map(|(_, trak)| track(trak))
        .collect()
}

/// Track and, if the fragment says so, flags of the first sample.
fn track_fragment(traf: &[u8]) -> Option<(u32, Option<u32>)> {
    let tfhd = find(traf, *b"tfhd")?;
    let track = word(tfhd, 4)?;
    let present = word(tfhd, 0)? & 0xff_ffff;
    // Optional fields in order: base data offset, description index, duration, size, flags.
    let before: usize = [(0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)]
        .iter()
        .filter(|(bit, _)| present & bit != 0)
        .map(|(_, len)| len)
        .sum();
    let default = if present & 0x20 != 0 {
        word(tfhd, 8 + before)
    } else {
        None
    };
    let first = find(traf, *b"trun").and_then(|trun| {
        let present = word(trun, 0)? & 0xff_ffff;
        let fields = 8 + if present & 0x1 != 0 { 4 } else { 0 };
        if present & 0x4 != 0 {
            return word(trun, fields);
        }
        // Per sample, in order: duration, size, flags.
        let sample = [0x100, 0x200].iter().filter(|&bit| present & bit != 0).count() * 4;
        if present & 0x400 != 0 {
            word(trun, fields + sample)
        } else {
            None
        }
    });
    Some((track, first.or(default)))
}
