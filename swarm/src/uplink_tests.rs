use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wire::{Bitrate, Chunk, ChunkFlags, ChunkHeader, PeerId, SecretKey, Seq, Time};

use super::{Copy, LEAVES_WITHIN, LIVE_QUEUE, Turn, Uplink, bytes_on_link};
use crate::io::{Class, Outbox, Output};

fn chunk(seq: u64, len: usize) -> Arc<Chunk> {
    let key = SecretKey::from_bytes(&[7; 32]);
    let header = ChunkHeader {
        stream: key.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::ZERO,
        duration: Duration::from_millis(8),
        flags: ChunkFlags::default(),
    };
    Arc::new(Chunk::sign(header, Bytes::from(vec![0; len]), &key))
}

fn copy(seq: u64, class: Class) -> Copy {
    let chunk = chunk(seq, 3500);
    Copy {
        to: PeerId::from_bytes([1; 32]),
        chunk,
        hops: 2,
        class,
        goes_on: false,
        turn: Turn::Usual,
        expires: Time::from_millis(10_000),
    }
}

fn sent(out: &Outbox) -> Vec<u64> {
    out.iter()
        .map(|output| match output {
            Output::SendChunk { chunk, .. } => chunk.seq().0,
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

#[test]
fn never_faster_than_the_link() {
    let rate = Bitrate::from_kbps(4_000);
    let mut uplink = Uplink::new(rate);
    let mut out = Outbox::new();
    for seq in 0..20 {
        assert!(uplink.offer(Time::ZERO, copy(seq, Class::Live), &mut out));
    }
    let mut sent_bytes = bytes_on_link(out.len().max(1) * (3500 + wire::CHUNK_HEADER_LEN));
    while let Some(deadline) = uplink.next_deadline() {
        let before = out.len();
        uplink.release(deadline, &mut out);
        assert!(out.len() > before, "a deadline that does nothing would spin");
        sent_bytes = out.len() as u64 * bytes_on_link(3500 + wire::CHUNK_HEADER_LEN);
        // One copy may be on its way beyond the 2 ms allowance.
        let allowed = rate.bytes_in(deadline.since(Time::ZERO) + Duration::from_millis(2))
            + bytes_on_link(3500 + wire::CHUNK_HEADER_LEN);
        assert!(
            sent_bytes <= allowed,
            "{sent_bytes} bytes by {deadline}, allowed {allowed}"
        );
    }
    assert_eq!(sent(&out), (0..20).collect::<Vec<_>>());
    assert!(sent_bytes > 0);
}

#[test]
fn live_before_repair_before_the_past() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    uplink.offer(Time::ZERO, copy(0, Class::Live), &mut out);
    for (seq, class) in [
        (1, Class::Bulk),
        (2, Class::Repair),
        (3, Class::Live),
        (4, Class::Repair),
    ] {
        uplink.offer(Time::ZERO, copy(seq, class), &mut out);
    }
    uplink.release(Time::from_millis(1_000), &mut out);
    while let Some(deadline) = uplink.next_deadline() {
        uplink.release(deadline, &mut out);
    }
    assert_eq!(sent(&out), [0, 3, 2, 4, 1]);
}

#[test]
fn what_goes_on_is_sent_before_other_live_copies() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    let now = Time::ZERO;
    let goes_on = |seq, class| Copy {
        goes_on: true,
        ..copy(seq, class)
    };
    uplink.offer(now, copy(0, Class::Live), &mut out);
    uplink.offer(now, copy(1, Class::Live), &mut out);
    let before = uplink.backlog(now);
    uplink.offer(now, goes_on(2, Class::Live), &mut out);
    assert_eq!(
        uplink.backlog(now),
        before + uplink.copy_time(copy(2, Class::Live).chunk.frame_len())
    );
    uplink.offer(now, goes_on(3, Class::Repair), &mut out);
    uplink.offer(now, copy(4, Class::Live), &mut out);
    uplink.offer(now, goes_on(5, Class::Live), &mut out);
    while let Some(deadline) = uplink.next_deadline() {
        uplink.release(deadline, &mut out);
    }
    assert_eq!(sent(&out), [0, 2, 5, 1, 4, 3]);
}

#[test]
fn what_comes_last_goes_after_repairs_and_before_the_past() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    uplink.offer(Time::ZERO, copy(0, Class::Live), &mut out);
    let of = |turn, seq, class| Copy {
        turn,
        ..copy(seq, class)
    };
    uplink.offer(Time::ZERO, copy(1, Class::Bulk), &mut out);
    uplink.offer(Time::ZERO, of(Turn::Taker, 2, Class::Live), &mut out);
    uplink.offer(Time::ZERO, of(Turn::Taker, 3, Class::Repair), &mut out);
    let now = Time::ZERO;
    let idle = uplink.booked(now);
    assert_eq!(
        uplink.backlog_for(Class::Repair, Turn::Usual, now, 1.0),
        idle,
        "others do not wait for it"
    );
    let takers = uplink.backlog_for(Class::Repair, Turn::Taker, now, 1.0);
    assert!(takers > idle);
    uplink.offer(now, of(Turn::BeyondLine, 5, Class::Live), &mut out);
    assert_eq!(
        uplink.backlog_for(Class::Repair, Turn::Taker, now, 1.0),
        takers,
        "nor do takers for those beyond the line"
    );
    assert!(uplink.backlog_for(Class::Repair, Turn::BeyondLine, now, 1.0) > takers);
    uplink.offer(now, copy(4, Class::Repair), &mut out);
    uplink.offer(now, of(Turn::Taker, 6, Class::Repair), &mut out);
    while let Some(deadline) = uplink.next_deadline() {
        uplink.release(deadline, &mut out);
    }
    assert_eq!(sent(&out), [0, 4, 2, 3, 6, 5, 1]);
}

#[test]
fn what_is_too_late_is_dropped_and_counted() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    uplink.offer(Time::ZERO, copy(0, Class::Live), &mut out);
    uplink.offer(
        Time::ZERO,
        Copy {
            expires: Time::from_millis(3),
            ..copy(1, Class::Live)
        },
        &mut out,
    );
    uplink.offer(Time::ZERO, copy(2, Class::Live), &mut out);
    uplink.release(Time::from_millis(50), &mut out);
    assert_eq!(sent(&out), [0, 2]);
    assert_eq!(uplink.dropped, 1);
}

#[test]
fn the_live_queue_is_bounded_in_time() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    let accepted = (0..1000)
        .filter(|&seq| uplink.offer(Time::ZERO, copy(seq, Class::Live), &mut out))
        .count();
    let takes = uplink.copy_time(3500 + wire::CHUNK_HEADER_LEN);
    assert!(
        (accepted as u32 - 2) * takes <= LIVE_QUEUE + takes,
        "{accepted} accepted"
    );
    assert_eq!(uplink.dropped, 1000 - accepted as u64);
}

#[test]
fn forgetting_gives_the_time_back() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    for seq in 0..10 {
        uplink.offer(Time::ZERO, copy(seq, Class::Live), &mut out);
    }
    uplink.forget(|_| true);
    assert_eq!(uplink.next_deadline(), None);
    assert!(uplink.backlog(Time::ZERO) <= uplink.copy_time(3500 + wire::CHUNK_HEADER_LEN) * out.len() as u32);
}

#[test]
fn a_peer_that_uploads_nothing_sends_nothing() {
    let mut uplink = Uplink::new(Bitrate::ZERO);
    let mut out = Outbox::new();
    assert!(!uplink.offer(Time::ZERO, copy(0, Class::Live), &mut out));
    assert!(out.is_empty());
}

#[test]
fn a_change_of_the_rate_leaves_no_queue_behind() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(1_000));
    let mut out = Outbox::new();
    for seq in 0..5 {
        uplink.offer(Time::ZERO, copy(seq, Class::Live), &mut out);
        uplink.offer(Time::ZERO, copy(10 + seq, Class::Repair), &mut out);
    }
    // What was booked at the slow rate does not hold up the fast one.
    uplink.set_rate(Time::ZERO, Bitrate::from_kbps(100_000));
    assert!(uplink.backlog_for(Class::Repair, Turn::Usual, Time::ZERO, 1.0) < Duration::from_millis(10));
    while let Some(deadline) = uplink.next_deadline() {
        uplink.release(deadline, &mut out);
    }
    assert_eq!(
        uplink.backlog_for(Class::Repair, Turn::Usual, Time::from_millis(40), 1.0),
        Duration::ZERO
    );
    // Without any rate nothing overflows.
    for seq in 0..20 {
        uplink.offer(Time::from_millis(40), copy(seq, Class::Live), &mut out);
    }
    uplink.set_rate(Time::from_millis(40), Bitrate::ZERO);
    assert!(
        uplink.backlog_for(Class::Repair, Turn::Usual, Time::from_millis(40), 1.0) > Duration::from_secs(1)
    );
    uplink.forget(|_| true);
    uplink.set_rate(Time::from_millis(40), Bitrate::from_kbps(1_000));
    assert_eq!(
        uplink.backlog_for(Class::Repair, Turn::Usual, Time::from_millis(40), 1.0),
        Duration::ZERO
    );
}

#[test]
fn the_peercasters_own_copies_wait_longer() {
    let mut uplink = Uplink::new(Bitrate::from_kbps(4_000));
    let mut out = Outbox::new();
    let first_hop = |seq| Copy {
        hops: 1,
        ..copy(seq, Class::Live)
    };
    let accepted = (0..1000)
        .filter(|&seq| uplink.offer(Time::ZERO, first_hop(seq), &mut out))
        .count();
    let takes = uplink.copy_time(3500 + wire::CHUNK_HEADER_LEN);
    assert!(accepted as u32 * takes > LIVE_QUEUE * 2, "{accepted} accepted");
    assert!(uplink.dropped > 0, "bounded all the same");
}

#[test]
fn what_the_transport_sends_by_itself_takes_its_time_on_the_link() {
    let rate = Bitrate::from_kbps(1_000);
    let mut uplink = Uplink::new(rate);
    let mut out = Outbox::new();
    let start = Time::from_millis(1_000);
    uplink.offer(start, copy(0, Class::Live), &mut out);
    let booked = bytes_on_link(copy(0, Class::Live).chunk.frame_len());
    let until = uplink.booked(start);
    // What was booked has left, and nothing else.
    uplink.reconcile(start, booked / 2);
    uplink.reconcile(start, booked - booked / 2);
    assert_eq!(uplink.booked(start), until);
    // The transport has repeated all of it.
    uplink.reconcile(start, booked);
    assert!(uplink.booked(start) >= until * 2 - Duration::from_micros(2));
    // A copy that never left does not hide such a thing for ever.
    let later = start + Duration::from_secs(1);
    uplink.offer(later, copy(1, Class::Live), &mut out);
    let idle = later + Duration::from_secs(1);
    uplink.reconcile(idle, 0);
    uplink.reconcile(idle, booked);
    let hidden = rate.bytes_in(LEAVES_WITHIN);
    assert!(
        uplink.booked(idle) >= rate.time_for(booked - hidden),
        "{:?}",
        uplink.booked(idle)
    );
}
