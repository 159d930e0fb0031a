//! The stream that the lab sends: an MPEG transport stream of a constant rate (or with key frames, if the scenario has
//! them) in which every packet is a function of its number, and says it. So the probe can build what it should have got,
//! and nothing of it needs to be kept.

use crc::{CRC_32_MPEG_2, Crc};

use crate::driver::{KEYFRAME_MS, rates};
use crate::scenario::Stream;
use crate::time::ms;

/// Bytes of a transport packet.
pub(crate) const PACKET: usize = 188;
/// What each begins with.
pub(crate) const SYNC: u8 = 0x47;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
const PID_TABLE: u16 = 0x100;
const PID_VIDEO: u16 = 0x101;
/// ISO/IEC 13818-1: a programme clock reference at least every 100 ms, which this is from 1 Mbit/s on.
const CLOCK_EVERY: u64 = 64;
/// Ticks of the programme clock in a nanosecond.
const CLOCK_PER_NS: f64 = 0.027;

// Of the adaptation field's flags.
const RANDOM_ACCESS: u8 = 0x40;
const HAS_CLOCK: u8 = 0x10;
const HAS_PRIVATE: u8 = 0x02;

/// Programme 1 has its map in [`PID_TABLE`].
const PROGRAMMES: [u8; 12] = [0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0x00];
/// Its clock and one stream of H.264 are in [`PID_VIDEO`].
const PROGRAMME: [u8; 17] = [
    2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 0x01, 0xf0, 0, 0x1b, 0xe1, 0x01, 0xf0, 0,
];
/// A frame of video of unknown length begins.
const FRAME: [u8; 9] = [0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Programmes,
    Programme,
    /// The first of a group.
    KeyFrame,
    Video,
}

/// The stream.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Which of several streams: the same packet of another one shows another picture.
    stream: u64,
    gop_ns: u64,
    gop_bytes: f64,
    key_bytes: f64,
    key_rate: f64,
    rest_rate: f64,
}

impl Content {
    pub(crate) fn new(stream: &Stream) -> Self {
        Self::of_stream(stream, 0)
    }

    /// One of several streams of the same form, of which no packet but tables is as one of the others.
    pub(crate) fn of_stream(stream: &Stream, number: u64) -> Self {
        let (key_rate, rest_rate) = rates(stream);
        Content {
            stream: number,
            gop_ns: ms(stream.gop_ms),
            gop_bytes: stream.rate.as_bps() as f64 / 8000.0 * stream.gop_ms,
            key_bytes: key_rate * ms(KEYFRAME_MS.min(stream.gop_ms)) as f64,
            key_rate,
            rest_rate,
        }
    }

    /// The first packet of a group.
    pub(crate) fn group_begins(&self, group: u64) -> u64 {
        (group as f64 * self.gop_bytes / PACKET as f64).ceil() as u64
    }

    /// The first packet that an encoder makes which begins anew after so many packets: that of the next group.
    pub(crate) fn begins_again(&self, sent: u64) -> u64 {
        match sent.checked_sub(1) {
            Some(last) => self.group_begins(self.group_of(last) + 1),
            None => 0,
        }
    }

    /// The group of a packet.
    fn group_of(&self, number: u64) -> u64 {
        let mut group = (number as f64 * PACKET as f64 / self.gop_bytes) as u64;
        // The quotient may be off by its last bit.
        while self.group_begins(group + 1) <= number {
            group += 1;
        }
        while self.group_begins(group) > number {
            group -= 1;
        }
        group
    }

    /// When the encoder has it, in nanoseconds from the stream's beginning.
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        let byte = number as f64 * PACKET as f64;
        let group = (byte / self.gop_bytes) as u64;
        let rest = (byte - group as f64 * self.gop_bytes).max(0.0);
        let within = if rest < self.key_bytes {
            rest / self.key_rate
        } else {
            self.key_bytes / self.key_rate + (rest - self.key_bytes) / self.rest_rate
        };
        group * self.gop_ns + (within as u64).min(self.gop_ns)
    }

    /// The packet with this number.
    pub(crate) fn packet(&self, number: u64) -> [u8; PACKET] {
        let group = self.group_of(number);
        let (kind, in_group) = match number - self.group_begins(group) {
            0 => (Kind::Programmes, 0),
            1 => (Kind::Programme, 1),
            2 => (Kind::KeyFrame, 2),
            n => (Kind::Video, n),
        };
        let video = matches!(kind, Kind::KeyFrame | Kind::Video);
        let (pid, counter) = match kind {
            Kind::Programmes => (0, group),
            Kind::Programme => (PID_TABLE, group),
            // Two packets of each group so far are tables.
            Kind::KeyFrame | Kind::Video => (PID_VIDEO, number - 2 * (group + 1)),
        };
        let mut packet = [0xff; PACKET];
        let starts = kind != Kind::Video;
        packet[0] = SYNC;
        packet[1] = u8::from(starts) << 6 | (pid >> 8) as u8;
        packet[2] = pid as u8;
        // Adaptation field and payload.
        packet[3] = 0x30 | (counter & 15) as u8;
        let clock = video && (in_group - 2).is_multiple_of(CLOCK_EVERY);
        let mut at = 6;
        packet[5] = HAS_PRIVATE;
        if kind == Kind::KeyFrame {
            packet[5] |= RANDOM_ACCESS;
        }
        if clock {
            packet[5] |= HAS_CLOCK;
            packet[at..at + 6].copy_from_slice(&clock_reference(self.due_ns(number)));
            at += 6;
        }
        packet[at] = 8;
        packet[at + 1..at + 9].copy_from_slice(&number.to_be_bytes());
        at += 9;
        packet[4] = (at - 5) as u8;
        let payload = &mut packet[at..];
        // A stream has less than 2^56 packets.
        let seed = number | self.stream << 56;
        match kind {
            Kind::Programmes => section(payload, &PROGRAMMES),
            Kind::Programme => section(payload, &PROGRAMME),
            Kind::KeyFrame => {
                payload[..FRAME.len()].copy_from_slice(&FRAME);
                fill(&mut payload[FRAME.len()..], seed);
            }
            Kind::Video => fill(payload, seed),
        }
        packet
    }

    /// The number that a packet claims to have.
    pub(crate) fn claimed(packet: &[u8; PACKET]) -> Option<u64> {
        if packet[0] != SYNC || packet[3] & 0x20 == 0 {
            return None;
        }
        let at = if packet[5] & HAS_CLOCK == 0 { 7 } else { 13 };
        Some(u64::from_be_bytes(*packet[at..].first_chunk()?))
    }
}

/// A table's section with its pointer and checksum; what follows it stays stuffing.
fn section(payload: &mut [u8], table: &[u8]) {
    payload[0] = 0;
    payload[1..=table.len()].copy_from_slice(table);
    let sum = CRC.checksum(table).to_be_bytes();
    payload[table.len() + 1..table.len() + 5].copy_from_slice(&sum);
}

fn clock_reference(ns: u64) -> [u8; 6] {
    let ticks = (ns as f64 * CLOCK_PER_NS) as u64;
    let (base, extension) = ((ticks / 300) & 0x1_ffff_ffff, ticks % 300);
    let bits = base << 15 | 0x3f << 9 | extension;
    let [_, _, rest @ ..] = bits.to_be_bytes();
    rest
}

/// Bytes that differ from packet to packet and do not compress (splitmix64).
fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed;
    for word in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes()[..word.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(keyframe_x: f64) -> Content {
        Content::new(&Stream {
            keyframe_x,
            ..Stream::default()
        })
    }

    #[test]
    fn the_rate_is_met_and_key_frames_come_fast() {
        for keyframe_x in [1.0, 6.0] {
            let content = content(keyframe_x);
            let times: Vec<u64> = (0..23_400).map(|n| content.due_ns(n)).collect();
            assert!(times.is_sorted());
            // 3.5 Mbit/s are 2327.1 packets a second.
            let in_ten_seconds = times.iter().filter(|at| **at < 10_000_000_000).count();
            assert!((23_271..=23_272).contains(&in_ten_seconds), "{in_ten_seconds}");
            let key = times.iter().filter(|at| **at < 40_000_000).count() as f64;
            assert!((key / 93.1 - keyframe_x).abs() < 0.02, "{key}");
        }
    }

    #[test]
    fn packets_say_their_number_and_have_their_counters_in_order() {
        let content = content(1.0);
        let mut counters = std::collections::BTreeMap::new();
        let mut starts = 0;
        for number in 0..10_000 {
            let packet = content.packet(number);
            assert_eq!(Content::claimed(&packet), Some(number));
            assert_eq!(packet, content.packet(number));
            let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
            let counter = packet[3] & 15;
            let before = counters.insert(pid, counter);
            assert!(
                before.is_none_or(|before| (before + 1) & 15 == counter),
                "{number}"
            );
            starts += u64::from(packet[5] & RANDOM_ACCESS != 0);
        }
        assert_eq!((starts, counters.len()), (5, 3), "four seconds and a bit");
        assert_ne!(content.packet(100)[30..], content.packet(101)[30..]);
    }

    #[test]
    fn an_encoder_begins_anew_with_a_key_frame() {
        let content = content(1.0);
        let second = content.group_begins(1);
        for (sent, first) in [
            (0, 0),
            (1, second),
            (second, second),
            (second + 1, content.group_begins(2)),
        ] {
            assert_eq!(content.begins_again(sent), first, "{sent}");
        }
    }

    #[test]
    fn a_clock_reference_reads_back() {
        let [a, b, c, d, e, f] = clock_reference(3_000_000_000);
        let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7);
        let extension = u64::from(e & 1) << 8 | u64::from(f);
        assert_eq!(base * 300 + extension, 81_000_000);
    }
}
