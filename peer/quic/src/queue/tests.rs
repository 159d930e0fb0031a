use std::time::Duration;

use wire::{ChunkFlags, ChunkHeader, SecretKey, Seq};

use super::*;

fn chunk(seq: u64, class: Class, expires_ms: u64) -> QueuedChunk {
    let key = SecretKey::from_bytes(&[1; 32]);
    let header = ChunkHeader {
        stream: key.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::ZERO,
        duration: Duration::from_millis(8),
        flags: ChunkFlags::default(),
    };
    QueuedChunk {
        chunk: Arc::new(Chunk::sign(header, Bytes::from(vec![0; 32 * 1024]), &key)),
        hops: 1,
        class,
        expires: Time::from_millis(expires_ms),
    }
}

fn seqs(queue: &mut SendQueue, now: Time) -> Vec<u64> {
    std::iter::from_fn(|| queue.pop_chunk(now))
        .map(|c| c.chunk.seq().0)
        .collect()
}

#[test]
fn live_goes_before_repair_before_bulk() {
    let mut queue = SendQueue::default();
    for (seq, class) in [
        (1, Class::Bulk),
        (2, Class::Repair),
        (3, Class::Live),
        (4, Class::Repair),
        (5, Class::Live),
    ] {
        queue.push_chunk(chunk(seq, class, 1000), Time::ZERO);
    }
    assert_eq!(seqs(&mut queue, Time::ZERO), [3, 5, 2, 4, 1]);
    assert_eq!(queue.chunk_bytes(), 0);
}

#[test]
fn what_is_too_late_is_dropped_and_counted() {
    let mut queue = SendQueue::default();
    for seq in 0..4 {
        queue.push_chunk(chunk(seq, Class::Live, 100 * seq), Time::ZERO);
    }
    assert_eq!(seqs(&mut queue, Time::from_millis(150)), [2, 3]);
    assert_eq!(queue.dropped().expired, 2);
    assert_eq!(queue.chunk_bytes(), 0);
}

#[test]
fn a_full_queue_drops_the_least_important_and_oldest() {
    let mut queue = SendQueue::default();
    let now = Time::ZERO;
    queue.push_chunk(chunk(100, Class::Bulk, 1000), now);
    queue.push_chunk(chunk(101, Class::Bulk, 1000), now);
    // 256 KiB hold seven chunks of a little more than 32 KiB.
    for seq in 0..8 {
        queue.push_chunk(chunk(seq, Class::Live, 1000), now);
        assert!(queue.chunk_bytes() <= MIN_CHUNK_BYTES);
    }
    assert_eq!(queue.dropped().overflowed, 3);
    assert_eq!(seqs(&mut queue, now), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_full_queue_drops_what_is_too_late_first() {
    let mut queue = SendQueue::default();
    for seq in 0..7 {
        queue.push_chunk(
            chunk(seq, Class::Live, if seq == 5 { 10 } else { 1000 }),
            Time::ZERO,
        );
    }
    queue.push_chunk(chunk(7, Class::Live, 1000), Time::from_millis(20));
    assert_eq!(
        queue.dropped(),
        Dropped {
            expired: 1,
            overflowed: 0
        }
    );
    assert_eq!(seqs(&mut queue, Time::from_millis(20)), [0, 1, 2, 3, 4, 6, 7]);
}

#[test]
fn control_messages_are_never_dropped_but_bounded() {
    let mut queue = SendQueue::default();
    let frame = Bytes::from(vec![0; 1024]);
    for _ in 0..MAX_CONTROL_BYTES / frame.len() {
        assert_eq!(queue.push_control(frame.clone()), Ok(()));
    }
    assert_eq!(queue.push_control(frame), Err(ControlFull));
    queue.finish();
    assert!(!queue.is_finished());
    while queue.pop_control().is_some() {}
    assert!(queue.is_finished());
}
