use std::time::Duration;

use bytes::Bytes;

use super::{JoinTracker, frame_end, next_frame_start};
use crate::media::testing::{Run, card, ffmpeg};
use crate::media::ts::{PACKET, Packet};

#[test]
fn a_late_player_gets_tables_and_everything_since_the_key_frame() {
    let input = card(2);
    let run = Run::live(&input);
    let mut tracker = JoinTracker::default();
    let mut latest = None;
    for (i, segment) in run.segments.iter().enumerate() {
        tracker.push(&segment.payload, segment.random_access);
        latest = if segment.random_access { Some(i) } else { latest };
        let joined = tracker.join();
        assert_eq!(joined.is_some(), latest.is_some());
        if let (Some(joined), Some(from)) = (joined, latest) {
            assert_eq!(joined.header.len(), 2 * PACKET, "one packet of PAT, one of PMT");
            let since: Vec<Bytes> = run.segments[from..=i].iter().map(|s| s.payload.clone()).collect();
            assert_eq!(joined.backlog, since);
        }
    }
}

#[test]
fn a_decoder_has_nothing_to_complain_about_what_a_late_player_gets() {
    let run = Run::live(&card(3));
    let mut tracker = JoinTracker::default();
    let (before, after) = run.segments.split_at(run.segments.len() / 2);
    for segment in before {
        tracker.push(&segment.payload, segment.random_access);
    }
    let parts = tracker.join().unwrap().into_parts();
    let stream: Vec<u8> = parts
        .chain(after.iter().map(|segment| segment.payload.clone()))
        .flatten()
        .collect();
    let Some((_, said)) = ffmpeg(&stream, "-f mpegts -i @ -f null -") else {
        return;
    };
    assert_eq!(said, "");
}

#[test]
fn a_header_that_was_announced_serves_what_is_no_transport_stream() {
    let mut tracker = JoinTracker::new(Bytes::from_static(b"header"));
    tracker.push(&Bytes::from_static(b"tail"), false);
    assert_eq!(tracker.join(), None, "nothing to start with yet");
    tracker.push(&Bytes::from_static(b"one"), true);
    tracker.push(&Bytes::from_static(b"two"), false);
    let joined: Vec<Bytes> = tracker.join().unwrap().into_parts().collect();
    assert_eq!(joined, ["header", "one", "two"]);
}

#[test]
fn a_backlog_without_end_is_given_up() {
    let mut tracker = JoinTracker::default();
    let payload = Bytes::from(vec![0; 64 * 1024]);
    tracker.push(&payload, true);
    for _ in 0..600 {
        tracker.push(&payload, false);
    }
    assert_eq!(tracker.join(), None);
    tracker.push(&payload, true);
    assert_eq!(tracker.join().unwrap().backlog.len(), 1);
}

#[test]
fn frames_end_where_the_next_one_starts() {
    let input = card(1);
    let frames: Vec<usize> = (0..input.len() / PACKET)
        .map(|i| i * PACKET)
        .filter(|&at| Packet::at(&input[at..]).unwrap().pes_start().is_some())
        .collect();
    // The last ones are still on their way when the second is over.
    assert!((20..=25).contains(&frames.len()), "{}", frames.len());
    assert_eq!(frame_end(&input), frames.last().copied());
    assert_eq!(next_frame_start(&input), frames.first().copied());
    assert_eq!(frame_end(&input[..frames[0]]), None);
    assert_eq!(frame_end(b"G no transport stream"), None);
}

#[test]
fn a_recording_that_stops_at_a_frame_is_whole() {
    let run = Run::new(&card(2), 500, Duration::from_millis(4));
    let middle = run.segments.len() / 2;
    let mut recorded: Vec<u8> = run.segments[..middle]
        .iter()
        .flat_map(|s| s.payload.clone())
        .collect();
    let end = frame_end(&recorded).unwrap();
    recorded.truncate(end);
    let Some((_, said)) = ffmpeg(&recorded, "-f mpegts -i @ -f null -") else {
        return;
    };
    assert_eq!(said, "");
}
