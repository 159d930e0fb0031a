use super::*;
use crate::scenario::Stream;

const MS: u64 = 1_000_000;

fn content() -> Content {
    Content::new(&Stream::default())
}

fn bytes(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers
        .into_iter()
        .flat_map(|number| content().packet(number))
        .collect()
}

fn piece(at_ns: u64, from: u64, to: u64) -> Piece {
    Piece { at_ns, from, to }
}

#[test]
fn what_comes_as_it_was_sent_is_right_however_it_is_cut() {
    let all = bytes(40..100);
    let mut probe = Probe::new(content());
    for (at, part) in (0..).zip(all.chunks(1000)) {
        probe.take(at, part);
    }
    let seen = probe.finish();
    assert_eq!((seen.right, seen.wrong), (60 * 188, 0));
    assert_eq!(
        (seen.pieces[0].from, seen.pieces.last().map(|p| p.to)),
        (40, Some(100))
    );
    assert!(seen.pieces.windows(2).all(|p| p[0].to == p[1].from));
}

#[test]
fn every_wrong_byte_is_seen() {
    let mut probe = Probe::new(content());
    probe.take(1, &bytes([5, 6, 9]));
    assert_eq!(
        probe.seen.pieces,
        [piece(1, 5, 7), piece(1, 9, 10)],
        "a gap is none"
    );
    probe.take(2, &bytes([9, 8]));
    assert_eq!(probe.seen.wrong, 2 * 188, "twice, and out of order");
    let mut changed = bytes([10, 11]);
    changed[100] ^= 1;
    probe.take(3, &changed);
    assert_eq!(probe.seen.wrong, 3 * 188);
    assert_eq!(probe.seen.pieces.last(), Some(&piece(3, 11, 12)));
    probe.take(4, &[1, 2, 3]);
    probe.take(5, &bytes([12]));
    assert_eq!(probe.seen.pieces.last(), Some(&piece(5, 12, 13)), "found again");
    probe.take(6, &bytes([13])[..100]);
    let seen = probe.finish();
    assert_eq!((seen.wrong, seen.cut), (3 * 188 + 3, 100));
    assert_eq!(seen.clone().of_ended(true).wrong, 3 * 188 + 3);
    assert_eq!(seen.of_ended(false).wrong, 3 * 188 + 3 + 100);
}

#[test]
fn a_cut_packet_is_right_as_far_as_it_goes_or_wrong() {
    let mut probe = Probe::new(content());
    probe.take(1, &bytes([5]));
    let mut next = bytes([6])[..100].to_vec();
    next[50] ^= 1;
    probe.take(2, &next);
    let seen = probe.finish();
    assert_eq!((seen.wrong, seen.cut), (100, 0));
}

#[test]
fn another_streams_picture_is_wrong() {
    let other = Content::of_stream(&Stream::default(), 1);
    let mut probe = Probe::new(content());
    let others: Vec<u8> = (5..8).flat_map(|number| other.packet(number)).collect();
    probe.take(1, &others);
    assert_eq!((probe.seen.right, probe.seen.wrong), (0, 3 * 188));
    assert!((0..5000).all(|number| Content::claimed(&other.packet(number)) == Some(number)));
}

/// Packets sent one a millisecond from 100 ms on; chunks of 8 ms.
fn playout<'a>(seen: &'a Seen, sent: &'a Sent) -> Playout<'a> {
    Playout {
        seen,
        sent,
        chunk_ns: 8 * MS,
    }
}

fn sent(packets: u64) -> Sent {
    Sent {
        at_ns: (0..packets).map(|n| (100 + n) * MS).collect(),
        ..Sent::default()
    }
}

#[test]
fn each_chunk_has_the_lag_of_its_first_byte() {
    let sent = sent(1000);
    let seen = Seen {
        // One chunk; two at once; one in two halves; one that is short.
        pieces: vec![
            piece(300 * MS, 0, 8),
            piece(310 * MS, 8, 24),
            piece(320 * MS, 24, 28),
            piece(321 * MS, 28, 32),
            piece(330 * MS, 40, 42),
            piece(340 * MS, 50, 58),
        ],
        ..Seen::default()
    };
    let playout = playout(&seen, &sent);
    let all = playout.lags_ms(&(0..u64::MAX));
    assert_eq!(all, [200.0, 202.0, 194.0, 196.0, 190.0, 190.0]);
    assert_eq!(playout.lags_ms(&(108 * MS..116 * MS)), [202.0]);
    assert_eq!(playout.began_ns(), Some(300 * MS));
}

#[test]
fn what_is_missing_counts_to_the_end() {
    let sent = sent(1000);
    let seen = Seen {
        pieces: vec![piece(300 * MS, 100, 200), piece(500 * MS, 250, 300)],
        ..Seen::default()
    };
    let playout = playout(&seen, &sent);
    // The last packet that came, 299, was sent at 399: a lag of 101 ms.
    let all = 0..u64::MAX;
    assert_eq!(playout.came_and_due(&all, 501 * MS), Some((150, 200)));
    assert_eq!(
        playout.came_and_due(&all, 901 * MS),
        Some((150, 600)),
        "it stalled"
    );
    assert_eq!(
        playout.came_and_due(&(250 * MS..330 * MS), 901 * MS),
        Some((50, 80))
    );
    assert_eq!(
        playout.came_and_due(&(900 * MS..950 * MS), 501 * MS),
        Some((0, 0))
    );
    let nothing = Seen::default();
    let none = super::tests::playout(&nothing, &sent);
    assert_eq!(none.came_and_due(&all, 501 * MS), None);
}

#[test]
fn what_no_encoder_made_is_not_missed() {
    // One ends after packet 399 at 499 ms, the next one begins with packet 500 at 800 ms.
    let mut sent = sent(400);
    sent.go_on(800 * MS, 500, (0..300).map(|n| (800 + n) * MS).collect());
    assert_eq!(sent.at_ns.len(), 800);
    assert!(sent.at_ns.is_sorted());
    assert_eq!(sent.within(&(450 * MS..850 * MS)), 50 + 50);
    let seen = Seen {
        pieces: vec![piece(300 * MS, 100, 390), piece(1000 * MS, 520, 800)],
        ..Seen::default()
    };
    let playout = playout(&seen, &sent);
    // Ten were lost before the end of the one, twenty after the beginning of the other.
    assert_eq!(
        playout.came_and_due(&(0..u64::MAX), 1200 * MS),
        Some((290 + 280, 300 + 300))
    );
    let mut first = Sent::default();
    first.go_on(7, 0, vec![8, 9]);
    assert_eq!(
        (first.at_ns.as_slice(), first.never.len()),
        ([8, 9].as_slice(), 0)
    );
}
