use std::time::Duration;

use crc::{CRC_32_MPEG_2, Crc};
use proptest::prelude::*;
use wire::Time;

use super::clock::Clock;
use super::psi::{Codec, MainStream};
use super::random_access::JoinFinder;
use super::{Grid, PACKET, Packet, Psi, find_grid};
use crate::media::testing::card;

/// A packet with this payload, filled up with an adaptation field.
fn packet(pid: u16, start: bool, payload: &[u8]) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    let mut packet = vec![0x47, high | if start { 0x40 } else { 0 }, low];
    let stuffing = PACKET - 4 - payload.len();
    packet.push(if stuffing > 0 { 0x30 } else { 0x10 });
    if stuffing > 0 {
        packet.push(stuffing as u8 - 1);
        packet.extend(
            std::iter::once(0)
                .chain(std::iter::repeat(0xff))
                .take(stuffing - 1),
        );
    }
    packet.extend_from_slice(payload);
    assert_eq!(packet.len(), PACKET);
    packet
}

/// A section from its table id, extension and content, with length and check sum.
fn section(table: u8, extension: u16, content: &[u8]) -> Vec<u8> {
    let len = (5 + content.len() + 4) as u16 | 0xb000;
    let mut section = vec![table];
    section.extend_from_slice(&len.to_be_bytes());
    section.extend_from_slice(&extension.to_be_bytes());
    section.extend_from_slice(&[0xc1, 0, 0]);
    section.extend_from_slice(content);
    let sum = Crc::<u32>::new(&CRC_32_MPEG_2).checksum(&section);
    section.extend_from_slice(&sum.to_be_bytes());
    section
}

fn pat(programmes: &[(u16, u16)]) -> Vec<u8> {
    let entry = |&(number, pid): &(u16, u16)| [number.to_be_bytes(), (pid | 0xe000).to_be_bytes()].concat();
    section(0, 1, &programmes.iter().flat_map(entry).collect::<Vec<u8>>())
}

fn pmt(programme: u16, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut content = vec![0xe1, 0x00, 0xf0, 0x00];
    for (kind, pid, descriptors) in streams {
        content.push(*kind);
        content.extend_from_slice(&(pid | 0xe000).to_be_bytes());
        content.extend_from_slice(&(descriptors.len() as u16 | 0xf000).to_be_bytes());
        content.extend_from_slice(descriptors);
    }
    section(2, programme, &content)
}

/// A section in as many packets as it takes.
fn packetised(pid: u16, section: &[u8]) -> Vec<u8> {
    let payload = [&[0], section].concat();
    payload
        .chunks(PACKET - 4)
        .enumerate()
        .flat_map(|(i, part)| packet(pid, i == 0, part))
        .collect()
}

fn feed(psi: &mut Psi, packets: &[u8]) {
    for data in packets.chunks(PACKET) {
        psi.packet(Packet::at(data).unwrap());
    }
}

#[test]
fn the_grid_needs_five_packets() {
    let mut data = vec![0; 3];
    for _ in 0..4 {
        data.extend_from_slice(&packet(1, false, &[]));
    }
    assert_eq!(find_grid(&data), Grid::NotBefore(3));
    data.push(0x47);
    assert_eq!(find_grid(&data), Grid::At(3));
    data[3 + 2 * PACKET] = 0;
    assert_eq!(find_grid(&data), Grid::NotBefore(3 + 3 * PACKET));
    assert_eq!(find_grid(&[0; 1000]), Grid::NotBefore(1000));
    assert_eq!(find_grid(&[]), Grid::NotBefore(0));
}

#[test]
fn video_of_the_first_programme_that_has_any_is_the_main_stream() {
    let mut psi = Psi::default();
    let pat = packetised(0, &pat(&[(0, 0x10), (1, 0x20), (2, 0x30)]));
    feed(&mut psi, &pat);
    assert_eq!((psi.main_stream(), psi.tables().len()), (None, 0));
    let radio = packetised(0x20, &pmt(1, &[(0x06, 0x21, &[]), (0x0f, 0x22, &[])]));
    feed(&mut psi, &radio);
    assert_eq!(
        psi.main_stream(),
        Some(MainStream {
            pid: 0x22,
            codec: Codec::Audio
        })
    );
    let television = packetised(0x30, &pmt(2, &[(0x0f, 0x32, &[]), (0x24, 0x31, &[])]));
    feed(&mut psi, &television);
    assert_eq!(
        psi.main_stream(),
        Some(MainStream {
            pid: 0x31,
            codec: Codec::H265
        })
    );
    assert!(psi.is_clock_pid(0x100) && !psi.is_clock_pid(0x31));
    assert_eq!(psi.tables(), [pat, radio, television].concat());
}

#[test]
fn a_table_may_span_packets_and_share_them() {
    let long = pmt(1, &[(0x1b, 0x21, &[0x52; 600])]);
    let packets = packetised(0x20, &long);
    assert_eq!(packets.len(), 4 * PACKET);
    let mut psi = Psi::default();
    feed(&mut psi, &packetised(0, &pat(&[(1, 0x20), (2, 0x20)])));
    feed(&mut psi, &packets[..3 * PACKET]);
    assert_eq!(psi.main_stream(), None);
    // The end of one section and the whole of another in one packet.
    let tail = &long[3 * (PACKET - 4) - 1..];
    let other = pmt(2, &[(0x0f, 0x41, &[])]);
    let payload = [&[tail.len() as u8], tail, &other].concat();
    feed(&mut psi, &packet(0x20, true, &payload));
    assert_eq!(
        psi.main_stream(),
        Some(MainStream {
            pid: 0x21,
            codec: Codec::H264
        })
    );
    assert_eq!(
        psi.tables().len(),
        (1 + 4) * PACKET,
        "the packet that both share comes once"
    );
}

#[test]
fn damaged_tables_are_not_believed() {
    let mut psi = Psi::default();
    let mut damaged = pat(&[(1, 0x20)]);
    damaged[9] ^= 1;
    feed(&mut psi, &packetised(0, &damaged));
    feed(&mut psi, &packetised(0x20, &pmt(1, &[(0x1b, 0x21, &[])])));
    assert_eq!(psi.main_stream(), None);
}

#[test]
fn a_new_table_replaces_the_old() {
    let mut psi = Psi::default();
    feed(&mut psi, &packetised(0, &pat(&[(1, 0x20)])));
    feed(&mut psi, &packetised(0x20, &pmt(1, &[(0x1b, 0x21, &[])])));
    let tables = [
        packetised(0, &pat(&[(7, 0x50)])),
        packetised(0x50, &pmt(7, &[(0x02, 0x51, &[])])),
    ]
    .concat();
    feed(&mut psi, &tables);
    assert_eq!(
        psi.main_stream(),
        Some(MainStream {
            pid: 0x51,
            codec: Codec::Mpeg2
        })
    );
    assert_eq!(psi.tables(), tables);
}

#[test]
fn tables_beyond_all_measure_are_bounded() {
    let mut psi = Psi::default();
    let programmes: Vec<(u16, u16)> = (1..=200).map(|i| (i, 0x100 + i)).collect();
    feed(&mut psi, &packetised(0, &pat(&programmes)));
    for &(number, pid) in &programmes {
        feed(
            &mut psi,
            &packetised(pid, &pmt(number, &[(0x1b, 0x21, &[0x52; 900])])),
        );
    }
    assert!(psi.tables().len() <= 80 * 1024, "{}", psi.tables().len());
}

#[test]
fn the_clock_goes_on_through_wraps_and_disorder() {
    const WRAP: u64 = (1 << 33) * 300;
    const SECOND: u64 = 27_000_000;
    let mut clock = Clock::default();
    let mut observe = |pcr| {
        let jump = clock.observe(Time::ZERO, 0, pcr);
        (jump, clock.elapsed().as_millis())
    };
    assert_eq!(observe(WRAP - SECOND / 2), (None, 0));
    assert_eq!(observe(SECOND / 2), (None, 1000));
    assert_eq!(
        observe(SECOND / 2 - SECOND / 20),
        (None, 1000),
        "50 ms back is disorder"
    );
    assert_eq!(observe(SECOND), (None, 1550));
    assert_eq!(
        observe(0),
        (Some(-1_000_000), 2100),
        "a jump lasts as long as the step before"
    );
    assert_eq!(observe(10 * SECOND), (Some(10_000_000), 2650));
}

/// A PES packet of video with this payload.
fn pes(payload: &[u8]) -> Vec<u8> {
    [
        &[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1][..],
        payload,
    ]
    .concat()
}

/// Feeds packets of PID 0x21; gives the numbers of those at which a player can start.
fn joins(codec: Codec, packets: &[(bool, Vec<u8>)]) -> Vec<u64> {
    let mut finder = JoinFinder::default();
    finder.follow(Some(MainStream { pid: 0x21, codec }));
    let mut found = Vec::new();
    for (i, (start, payload)) in packets.iter().enumerate() {
        let data = packet(0x21, *start, payload);
        found.extend(finder.packet(Duration::ZERO, i as u64, Packet::at(&data).unwrap()));
    }
    found
}

#[test]
fn key_frames_of_every_codec_are_recognised_by_their_start_codes() {
    let start = |payload: &[u8]| (true, pes(payload));
    let check = |codec, key: &[u8], other: &[u8]| {
        let frames = [start(other), start(key), start(other), start(key)];
        assert_eq!(joins(codec, &frames), [1, 3], "{codec:?} {key:x?}");
    };
    let h264_other = [0, 0, 1, 9, 0x30, 0, 0, 1, 0x41, 0x9a];
    check(
        Codec::H264,
        &[0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 66],
        &h264_other,
    );
    check(Codec::H264, &[0, 0, 1, 9, 0x10, 0, 0, 1, 0x65, 0x88], &h264_other);
    // A recovery point, with which intra refresh begins.
    check(
        Codec::H264,
        &[0, 0, 1, 9, 0x30, 0, 0, 1, 6, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x41],
        &h264_other,
    );
    let h265_other = [0, 0, 1, 0x46, 1, 0x50, 0, 0, 1, 0x02, 1];
    check(
        Codec::H265,
        &[0, 0, 1, 0x46, 1, 0x10, 0, 0, 1, 0x40, 1],
        &h265_other,
    );
    check(Codec::H265, &[0, 0, 1, 0x28, 1, 0xaf], &h265_other);
    check(Codec::Mpeg2, &[0, 0, 1, 0xb3, 0x2d], &[0, 0, 1, 0x00, 0x00]);
}

#[test]
fn what_makes_a_key_frame_may_come_packets_later() {
    let head = [&[0, 0, 1, 9, 0x10, 0, 0, 1, 6, 5][..], &[0x80; 150], &[0, 0]].concat();
    let frames = [
        (true, pes(&head)),
        (false, vec![1, 0x67, 66]),
        (true, pes(&[0, 0, 1, 0x41, 0])),
    ];
    assert_eq!(joins(Codec::H264, &frames), [0]);
    // But not for ever.
    let mut long = vec![(true, pes(&[0, 0, 1, 9, 0x10]))];
    long.extend((0..20).map(|_| (false, vec![0x80; 184])));
    long.push((false, vec![0, 0, 1, 0x67, 66]));
    assert_eq!(joins(Codec::H264, &long), [0; 0]);
}

#[test]
fn audio_can_be_joined_once_a_second_and_unmarked_video_after_a_while() {
    let times = |codec, payload: &[u8]| {
        let mut finder = JoinFinder::default();
        finder.follow(Some(MainStream { pid: 0x21, codec }));
        let data = packet(0x21, true, &pes(payload));
        // A frame every 40 ms.
        let all = (0..500).filter(|&i| {
            let time = Duration::from_millis(40 * i);
            finder.packet(time, i, Packet::at(&data).unwrap()).is_some()
        });
        all.map(|i| 40 * i).collect::<Vec<u64>>()
    };
    assert_eq!(
        times(Codec::Audio, &[0xff, 0xf1]),
        (0..20).map(|i| i * 1000).collect::<Vec<u64>>()
    );
    assert_eq!(
        times(Codec::OtherVideo, &[1]),
        (12..20).map(|i| i * 1000).collect::<Vec<u64>>()
    );
    assert_eq!(
        times(Codec::H264, &[0, 0, 1, 0x41, 0]),
        (12..20).map(|i| i * 1000).collect::<Vec<u64>>()
    );
}

proptest! {
    #[test]
    fn hostile_sections_are_survived(
        sections in prop::collection::vec(
            (any::<bool>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..900)),
            1..20,
        ),
        pids in prop::collection::vec(0..0x2000_u16, 1..20),
    ) {
        let mut psi = Psi::default();
        let programmes: Vec<(u16, u16)> = pids.iter().map(|&pid| (pid, pid)).collect();
        feed(&mut psi, &packetised(0, &pat(&programmes)));
        for ((is_pat, extension, content), pid) in sections.iter().zip(pids.iter().cycle()) {
            let (pid, table) = if *is_pat { (0, 0) } else { (*pid, 2) };
            feed(&mut psi, &packetised(pid, &section(table, *extension, content)));
        }
        prop_assert!(psi.tables().len() <= 256 * 1024);
    }

    #[test]
    fn hostile_packets_are_survived(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 187), 1..50)) {
        let mut psi = Psi::default();
        let mut finder = JoinFinder::default();
        feed(&mut psi, &card(1)[..PACKET * 20]);
        finder.follow(psi.main_stream());
        for (i, mut body) in packets.into_iter().enumerate() {
            // Mostly on PIDs that are looked at.
            let [high, low] = [0_u16, 0x1000, 0x100][i % 3].to_be_bytes();
            body[0] = body[0] & 0x40 | high;
            body[1] = low;
            body.insert(0, 0x47);
            let packet = Packet::at(&body).unwrap();
            packet.pcr();
            psi.packet(packet);
            finder.packet(Duration::ZERO, i as u64, packet);
        }
    }
}
