//! Programme tables (ISO/IEC 13818-1, 2.4.4): which PIDs carry what, and the packets that say so.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use crc::{CRC_32_MPEG_2, Crc};

use super::packet::{PID_NULL, PID_PAT, Packet};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);

/// Largest section of a PAT or PMT, in bytes: 1021 after the three that hold the length.
const SECTION_MAX: usize = 1024;
/// More programmes than fit in one multiplex (a 50 Mbit/s one carries some 20) are not followed.
const PROGRAMMES_MAX: usize = 64;
/// Sections kept of all tables together.
const SECTIONS_MAX: usize = 128;

const TABLE_PAT: u8 = 0;
const TABLE_PMT: u8 = 2;

/// What an elementary stream is, as far as random access into it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) enum Codec {
    Mpeg2,
    H264,
    H265,
    OtherVideo,
    Audio,
}

/// The elementary stream that decides where a player can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) struct MainStream {
    pub(in crate::media) pid: u16,
    pub(in crate::media) codec: Codec,
}

/// A PID's section while it is being put together.
#[derive(Debug, Default)]
struct Partial {
    section: Vec<u8>,
    packets: Vec<u8>,
}

/// A complete section and the packets it came in.
#[derive(Debug)]
struct Section {
    body: Vec<u8>,
    packets: Vec<u8>,
}

/// Sections are told apart by PID, table, table extension (programme number) and section number.
type SectionKey = (u16, u8, u16, u8);

/// Follows the programme association table and the programme map tables it names.
#[derive(Debug, Default)]
pub(in crate::media) struct Psi {
    /// By PID; only for [`PID_PAT`] and the PIDs in `programmes`.
    partial: BTreeMap<u16, Partial>,
    sections: BTreeMap<SectionKey, Section>,
    /// `(programme number, PID of its map table)`, in the order of the PAT.
    programmes: Vec<(u16, u16)>,
    main: Option<MainStream>,
    clock_pid: Option<u16>,
}

impl Psi {
    /// Latest packets of the PAT and of the PMTs it names, in that order. Empty until both are there.
    pub(in crate::media) fn tables(&self) -> Bytes {
        if self.main.is_none() {
            return Bytes::new();
        }
        let mut tables = BytesMut::new();
        for section in self.sections.values() {
            // Several short sections can share a packet.
            if !tables.ends_with(&section.packets) {
                tables.extend_from_slice(&section.packets);
            }
        }
        tables.freeze()
    }

    /// The first programme's video; its audio if no programme has video.
    pub(in crate::media) fn main_stream(&self) -> Option<MainStream> {
        self.main
    }

    /// Whether the main programme's clock is in this PID. Until the tables say so, any may be.
    pub(in crate::media) fn is_clock_pid(&self, pid: u16) -> bool {
        self.clock_pid.is_none_or(|clock| clock == pid)
    }

    /// Bytes are missing: a section that is only half there cannot be continued.
    pub(in crate::media) fn forget_partial(&mut self) {
        self.partial.clear();
    }

    /// Takes any packet. True if the main stream or the clock's PID changed.
    pub(in crate::media) fn packet(&mut self, packet: Packet<'_>) -> bool {
        let pid = packet.pid();
        let is_table = pid == PID_PAT || self.programmes.iter().any(|&(_, map)| map == pid);
        if !is_table || packet.is_scrambled() {
            return false;
        }
        let before = (self.main, self.clock_pid);
        let mut payload = packet.payload();
        if packet.is_unit_start() {
            // The pointer field: how many bytes still belong to the section before.
            let Some((&pointer, rest)) = payload.split_first() else {
                return false;
            };
            let Some((tail, fresh)) = rest.split_at_checked(usize::from(pointer)) else {
                self.partial.remove(&pid);
                return false;
            };
            if pointer > 0 {
                self.extend(pid, packet, tail);
            }
            self.partial.insert(pid, Partial::default());
            payload = fresh;
        }
        self.extend(pid, packet, payload);
        before != (self.main, self.clock_pid)
    }

    /// Appends to the section that `pid` is in the middle of, and takes those that are complete.
    fn extend(&mut self, pid: u16, packet: Packet<'_>, payload: &[u8]) {
        let Some(mut partial) = self.partial.remove(&pid) else {
            return;
        };
        partial.packets.extend_from_slice(packet.bytes());
        partial.section.extend_from_slice(payload);
        // Stuffing after the last section is 0xff, which no table has as its id.
        while partial.section.first().is_some_and(|&id| id != 0xff) {
            let &[_, high, low, ..] = &partial.section[..] else {
                break;
            };
            let len = 3 + usize::from(u16::from_be_bytes([high & 0x0f, low]));
            if len > SECTION_MAX {
                return;
            }
            if partial.section.len() < len {
                break;
            }
            let rest = partial.section.split_off(len);
            let body = std::mem::replace(&mut partial.section, rest);
            self.section(pid, body, &partial.packets);
            // What is left began in this packet.
            partial.packets.clear();
            partial.packets.extend_from_slice(packet.bytes());
        }
        let in_progress = partial.section.first().is_some_and(|&id| id != 0xff);
        if in_progress && partial.section.len() <= SECTION_MAX {
            self.partial.insert(pid, partial);
        }
    }

    fn section(&mut self, pid: u16, body: Vec<u8>, packets: &[u8]) {
        // table id, flags and length (2), extension (2), version and current_next, section, last section … CRC (4)
        let &[table, _, _, ext_high, ext_low, version, number, ..] = &body[..] else {
            return;
        };
        let wanted = if pid == PID_PAT { TABLE_PAT } else { TABLE_PMT };
        let is_current = version & 1 == 1;
        // The remainder over a section with its CRC is zero.
        if table != wanted || !is_current || body.len() < 12 || CRC.checksum(&body) != 0 {
            return;
        }
        let key = (pid, table, u16::from_be_bytes([ext_high, ext_low]), number);
        let new = self.sections.get(&key).is_none_or(|known| known.body != body);
        if new && self.sections.len() >= SECTIONS_MAX && !self.sections.contains_key(&key) {
            return;
        }
        self.sections.insert(
            key,
            Section {
                body,
                packets: packets.to_vec(),
            },
        );
        if new {
            if table == TABLE_PAT {
                // Another table version may have fewer sections, another multiplex another id.
                let id = key.2;
                let last = self.sections[&key].body[7];
                self.sections
                    .retain(|k, _| k.1 != TABLE_PAT || (k.2 == id && k.3 <= last));
            }
            self.choose();
        }
    }

    /// Works out the programmes and the main stream anew.
    fn choose(&mut self) {
        let mut programmes = Vec::new();
        for (_, section) in self
            .sections
            .range((PID_PAT, TABLE_PAT, 0, 0)..(PID_PAT, TABLE_PMT, 0, 0))
        {
            for entry in entries(&section.body, 8).chunks_exact(4) {
                let number = u16::from_be_bytes([entry[0], entry[1]]);
                let pid = u16::from_be_bytes([entry[2] & 0x1f, entry[3]]);
                // Number 0 names the network information table.
                let plausible = number != 0 && pid != PID_PAT && pid != PID_NULL;
                if plausible && programmes.len() < PROGRAMMES_MAX {
                    programmes.push((number, pid));
                }
            }
        }
        self.sections
            .retain(|&(pid, table, number, _), _| table == TABLE_PAT || programmes.contains(&(number, pid)));
        self.partial
            .retain(|&pid, _| pid == PID_PAT || programmes.iter().any(|&(_, map)| map == pid));

        let (mut video, mut audio) = (None, None);
        for &(number, pid) in &programmes {
            let Some(map) = self.sections.get(&(pid, TABLE_PMT, number, 0)) else {
                continue;
            };
            let Some(&[clock_high, clock_low, ..]) = map.body.get(8..12) else {
                continue;
            };
            let clock = u16::from_be_bytes([clock_high & 0x1f, clock_low]);
            for stream in elementary_streams(&map.body) {
                let first = if stream.codec == Codec::Audio {
                    &mut audio
                } else {
                    &mut video
                };
                first.get_or_insert((stream, clock));
            }
        }
        self.programmes = programmes;
        let main = video.or(audio);
        self.main = main.map(|(stream, _)| stream);
        self.clock_pid = main.map(|(_, clock)| clock).filter(|&clock| clock != PID_NULL);
    }
}

/// The bytes from `from` up to the CRC.
fn entries(section: &[u8], from: usize) -> &[u8] {
    section.get(from..section.len().saturating_sub(4)).unwrap_or(&[])
}

/// Elementary streams of a programme map section, as far as their kind is known.
fn elementary_streams(map: &[u8]) -> Vec<MainStream> {
    let Some(&[high, low]) = map.get(10..12) else {
        return Vec::new();
    };
    let mut rest = entries(map, 12 + usize::from(u16::from_be_bytes([high & 0x0f, low])));
    let mut streams = Vec::new();
    while let &[kind, pid_high, pid_low, len_high, len_low, ref after @ ..] = rest {
        let pid = u16::from_be_bytes([pid_high & 0x1f, pid_low]);
        let len = usize::from(u16::from_be_bytes([len_high & 0x0f, len_low]));
        let Some((descriptors, next)) = after.split_at_checked(len) else {
            break;
        };
        if let Some(codec) = codec(kind, descriptors) {
            streams.push(MainStream { pid, codec });
        }
        rest = next;
    }
    streams
}

/// Table 2-34 of ISO/IEC 13818-1, with what ATSC and DVB add.
fn codec(kind: u8, descriptors: &[u8]) -> Option<Codec> {
    /// Registration descriptor of AV1 in MPEG-TS.
    const AV1: &[u8] = &[0x05, 0x04, b'A', b'V', b'0', b'1'];
    Some(match kind {
        0x01 | 0x02 => Codec::Mpeg2,
        0x1b => Codec::H264,
        0x24 => Codec::H265,
        // MPEG-4 visual, JPEG 2000, JPEG XS, VVC, AVS, AVS2, AVS3, VC-1
        0x10 | 0x21 | 0x32 | 0x33 | 0x42 | 0xd2 | 0xd4 | 0xea => Codec::OtherVideo,
        0x06 if descriptors.windows(AV1.len()).any(|d| d == AV1) => Codec::OtherVideo,
        // MPEG audio, AAC (ADTS, LATM), AC-3, E-AC-3
        0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x87 => Codec::Audio,
        // Private data with a descriptor that says AC-3, E-AC-3, DTS, AAC, AC-4/others (extension), or "Opus".
        0x06 if descriptors
            .first()
            .is_some_and(|tag| matches!(tag, 0x6a | 0x7a | 0x7b | 0x7c | 0x7f)) =>
        {
            Codec::Audio
        }
        0x06 if descriptors.windows(4).any(|d| d == b"Opus") => Codec::Audio,
        _ => return None,
    })
}
