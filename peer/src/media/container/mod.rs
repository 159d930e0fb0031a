//! What kind of stream the input is, and where it can be cut and joined.
//!
//! Each kind has an analyser that walks the input once, in step with what is read, and tells the segmenter about
//! it through a [`Sink`]: how far the input may be cut already, where a segment must begin, where the clock breaks.

mod fmp4;
mod header;
mod matroska;
mod ogg;

use std::collections::VecDeque;

use bytes::Bytes;
use wire::Time;

use super::notice::{Notice, Notices};
use super::segmenter::Progress;
use super::ts;

#[cfg(test)]
mod tests;

/// The kinds of stream that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// MPEG-2 transport stream, 188-byte packets (ISO/IEC 13818-1).
    MpegTs,
    /// Fragmented MP4: `ftyp`, `moov`, then `moof` and `mdat` in turn (ISO/IEC 14496-12; CMAF).
    FragmentedMp4,
    /// Matroska or WebM (RFC 9559).
    Matroska,
    /// Ogg (RFC 3533), chained streams included.
    Ogg,
    /// Bytes of unknown meaning.
    Opaque,
}

impl Container {
    /// The media type to announce a stream of this kind with over HTTP.
    pub fn media_type(self) -> &'static str {
        match self {
            Container::MpegTs => "video/mp2t",
            Container::FragmentedMp4 => "video/mp4",
            Container::Matroska => "video/x-matroska",
            Container::Ogg => "application/ogg",
            Container::Opaque => "application/octet-stream",
        }
    }
}

/// Something at an offset of the input that the segmenter has to act on. An analyser reports them in ascending
/// order of offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A segment must begin here, and a player can start with it.
    Join(u64),
    /// A segment must begin here, and from here on the input may be cut at multiples of `unit` bytes only.
    Grid { at: u64, unit: usize },
    /// The segment that contains this byte holds a discontinuity.
    Discontinuity(u64),
}

/// What an analyser tells the segmenter.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) marks: VecDeque<Mark>,
    pub(super) notices: Notices,
    /// Everything before this offset is understood and may be cut off. Never beyond what was read.
    pub(super) settled: u64,
    /// Start of something that may turn out to be a random-access point once more of it is read.
    pub(super) undecided: Option<u64>,
    /// Segments are cut at multiples of this many bytes from their beginning.
    pub(super) unit: usize,
}

impl Sink {
    pub(super) fn new() -> Self {
        Sink {
            marks: VecDeque::new(),
            notices: Notices::default(),
            settled: 0,
            undecided: None,
            unit: 1,
        }
    }
}

/// The analyser of whatever the input is.
#[derive(Debug)]
pub(super) enum Analyser {
    /// Too little was read to tell. `hurry`: no more will come in time, decide with what is there.
    Probing {
        hurry: bool,
    },
    Ts(ts::Analyser),
    Fmp4(fmp4::Analyser),
    Matroska(matroska::Analyser),
    Ogg(ogg::Analyser),
    Opaque,
}

impl Analyser {
    pub(super) fn new() -> Self {
        Analyser::Probing { hurry: false }
    }

    /// Looks at what was appended to `data`, the bytes from offset `start` of the input on.
    pub(super) fn scan(&mut self, now: Time, start: u64, data: &[u8], sink: &mut Sink) {
        if let Analyser::Probing { hurry } = *self {
            match probe(data, hurry) {
                Some(found) => *self = Analyser::of(found, sink),
                None => return,
            }
        }
        let given_up = match self {
            Analyser::Probing { .. } => None,
            Analyser::Ts(ts) => {
                ts.scan(now, start, data, sink);
                None
            }
            Analyser::Fmp4(mp4) => mp4.scan(start, data, sink).err(),
            Analyser::Matroska(mkv) => mkv.scan(start, data, sink).err(),
            Analyser::Ogg(ogg) => ogg.scan(now, start, data, sink).err(),
            Analyser::Opaque => {
                sink.settled = start + data.len() as u64;
                None
            }
        };
        if let Some(reason) = given_up {
            sink.notices.push(Notice::NotJoinable { reason });
            sink.undecided = None;
            sink.settled = start + data.len() as u64;
            *self = Analyser::Opaque;
        }
    }

    fn of(container: Container, sink: &mut Sink) -> Self {
        match container {
            Container::MpegTs => Analyser::Ts(ts::Analyser::default()),
            Container::FragmentedMp4 => Analyser::Fmp4(fmp4::Analyser::default()),
            Container::Matroska => Analyser::Matroska(matroska::Analyser::default()),
            Container::Ogg => Analyser::Ogg(ogg::Analyser::default()),
            Container::Opaque => {
                sink.notices.push(Notice::OpaqueInput);
                Analyser::Opaque
            }
        }
    }

    /// No more bytes will come in time: decide with those there are at the next scan. False if that is decided.
    pub(super) fn hurry(&mut self) -> bool {
        match self {
            Analyser::Probing { hurry } => {
                *hurry = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Analyser::Probing { .. })
    }

    pub(super) fn container(&self) -> Container {
        match self {
            Analyser::Probing { .. } | Analyser::Opaque => Container::Opaque,
            Analyser::Ts(_) => Container::MpegTs,
            Analyser::Fmp4(_) => Container::FragmentedMp4,
            Analyser::Matroska(_) => Container::Matroska,
            Analyser::Ogg(_) => Container::Ogg,
        }
    }

    /// Whether every segment is a random-access segment, for want of a better idea.
    pub(super) fn joins_everywhere(&self) -> bool {
        matches!(self, Analyser::Probing { .. } | Analyser::Opaque)
    }

    pub(super) fn tables(&self) -> Bytes {
        match self {
            Analyser::Probing { .. } | Analyser::Opaque => Bytes::new(),
            Analyser::Ts(ts) => ts.psi().tables(),
            Analyser::Fmp4(mp4) => mp4.header(),
            Analyser::Matroska(mkv) => mkv.header(),
            Analyser::Ogg(ogg) => ogg.header(),
        }
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        match self {
            Analyser::Ts(ts) => ts.progress(),
            _ => None,
        }
    }

    pub(super) fn continuity_errors(&self) -> u64 {
        match self {
            Analyser::Ts(ts) => ts.continuity_errors(),
            _ => 0,
        }
    }
}

/// Recognises an input by its first bytes. `None` means: more bytes are needed, unless there is a `hurry`.
fn probe(data: &[u8], hurry: bool) -> Option<Container> {
    let starts = |magic: &[u8], at: usize| data.get(at..at + magic.len()) == Some(magic);
    if starts(b"OggS", 0) {
        return Some(Container::Ogg);
    }
    if starts(&[0x1a, 0x45, 0xdf, 0xa3], 0) {
        return Some(Container::Matroska);
    }
    // A CMAF stream may begin with `styp` when it is joined at a segment, but then it has no header to join with.
    if starts(b"ftyp", 4) {
        return Some(Container::FragmentedMp4);
    }
    match ts::find_grid(data) {
        ts::Grid::At(_) => Some(Container::MpegTs),
        // Transport streams are often joined somewhere in a packet; beyond one packet of garbage it is something else.
        ts::Grid::NotBefore(at) if at > ts::PACKET => Some(Container::Opaque),
        ts::Grid::NotBefore(at) if hurry => {
            // Two packets in a row that begin right are as good as it gets.
            let plausible = data.len() - at > ts::PACKET;
            Some(if plausible {
                Container::MpegTs
            } else {
                Container::Opaque
            })
        }
        ts::Grid::NotBefore(_) => None,
    }
}
