use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::*;
use crate::driver::Clock;

/// The largest lead of an input whose clock has come to `elapsed_ms` at `now_ms`, for each pair.
fn largest_lead_ms(observations: impl IntoIterator<Item = (u64, u64)>) -> u128 {
    let mut lead = Lead::default();
    let leads = observations.into_iter().map(|(now_ms, elapsed_ms)| {
        // An hour after the epoch: the input may have begun before the first observation.
        let now = Time::from_millis(3_600_000 + now_ms);
        lead.observe(now, Duration::from_millis(elapsed_ms)).as_millis()
    });
    leads.max().unwrap()
}

#[test]
fn a_live_input_has_no_lead_but_its_bursts() {
    // Bursts of 400 ms, as from an encoder that writes a group of pictures at a time.
    let lead = largest_lead_ms((0..10_000).map(|ms| (ms, ms / 400 * 400 + 400)));
    assert!((390..=400).contains(&lead), "{lead}");
}

#[test]
fn a_fast_encoder_clock_is_no_lead() {
    // Ten hours with a clock that is fast by 100 parts per million.
    assert_eq!(
        largest_lead_ms((0..36_000).map(|s| (s * 1000, s * 1000 + s / 10))),
        0
    );
}

#[test]
fn a_file_in_a_pipe_has_a_growing_lead() {
    let lead = largest_lead_ms([(0, 0), (1, 900), (2, 5000)]);
    assert!((4990..=5000).contains(&lead), "{lead}");
}

#[test]
fn a_pause_is_not_made_up_for_in_a_burst() {
    let lead = largest_lead_ms([(0, 0), (1000, 1000), (61_000, 1500), (61_001, 20_000)]);
    assert!((18_400..=18_500).contains(&lead), "{lead}");
}

/// MPEG-TS of `packets` packets: every tenth one carries a clock reference, 10 ms later each.
fn transport_stream(packets: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    // PAT: programme 1 has its table on packet id 0x100; PMT: clock and one stream on 0x101.
    let section = |pid: u16, section: &[u8]| {
        let mut packet = vec![0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10, 0];
        packet.extend_from_slice(section);
        packet.extend_from_slice(&crc32(section).to_be_bytes());
        packet.resize(188, 0xff);
        packet
    };
    stream.extend(section(0, &[0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0]));
    stream.extend(section(
        0x100,
        &[
            2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 1, 0xf0, 0, 0x1b, 0xe1, 1, 0xf0, 0,
        ],
    ));
    for n in 0..packets {
        let mut packet = vec![0x47, 1, 1, 0x10 | (n % 16) as u8];
        if n % 10 == 0 {
            let base = n * 90;
            packet[3] |= 0x20;
            packet.extend([7, 0x10]);
            packet.extend([
                (base >> 25) as u8,
                (base >> 17) as u8,
                (base >> 9) as u8,
                (base >> 1) as u8,
            ]);
            packet.extend([((base & 1) << 7) as u8 | 0x7e, 0]);
        }
        packet.resize(188, n as u8);
        stream.extend(packet);
    }
    stream
}

/// The checksum of MPEG-TS sections (ISO/IEC 13818-1, annex A).
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[test]
fn a_file_in_a_pipe_comes_whole_and_at_its_own_pace() {
    // 1.6 s of media.
    let stream = transport_stream(1600);
    let (sender, mut pieces) = mpsc::channel(10_000);
    let out = PieceSender {
        sender,
        clock: Clock::start(),
    };
    let input = stream.clone();
    let started = Instant::now();
    let reading = std::thread::spawn(move || {
        // A pipe gives 64 KiB at a time.
        let done = follow(&mut &input[..], &out);
        assert!(done.is_ok());
    });
    let mut found = Vec::new();
    let mut sizes = VecDeque::new();
    while let Some(piece) = pieces.blocking_recv() {
        let piece = piece.unwrap();
        sizes.push_back(piece.bytes.len());
        found.extend_from_slice(&piece.bytes);
    }
    reading.join().unwrap();
    assert_eq!(found, stream);
    // All but the first half second and what one read brought waits for its time; then it comes in small pieces.
    assert!(
        started.elapsed() > Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    assert!(*sizes.back().unwrap() < 2000, "{sizes:?}");
}
