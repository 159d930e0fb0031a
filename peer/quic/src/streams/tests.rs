use std::time::Duration;

use wire::{ChunkFlags, ChunkHeader, SecretKey, Seq, Time};

use super::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn chunk(key: &SecretKey, seq: u64) -> Chunk {
    let header = ChunkHeader {
        stream: key.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::from_micros(seq),
        duration: Duration::from_millis(8),
        flags: ChunkFlags::default(),
    };
    Chunk::sign(header, Bytes::from(vec![seq as u8; 300]), key)
}

fn frame(chunk: &Chunk, hops: u8) -> Bytes {
    [&chunk.encode_header(hops, false)[..], &chunk.payload()[..]]
        .concat()
        .into()
}

fn check(streams: &Streams, frame: &Bytes) -> Checked {
    streams.check(frame, UncheckedChunk::decode(frame.clone()).unwrap())
}

#[test]
fn only_known_streams_and_right_signatures_pass() {
    let streams = Streams::default();
    assert!(streams.add(key(1).stream_id()));
    let good = frame(&chunk(&key(1), 5), 1);
    assert!(matches!(check(&streams, &good), Checked::Good(c) if c.seq() == Seq(5)));
    let mut bad = good.to_vec();
    bad[200] ^= 1;
    assert!(matches!(check(&streams, &bad.into()), Checked::Bad(_)));
    assert!(matches!(
        check(&streams, &frame(&chunk(&key(2), 5), 1)),
        Checked::Foreign
    ));
    streams.remove(key(1).stream_id());
    assert!(matches!(check(&streams, &good), Checked::Foreign));
}

#[test]
fn a_second_copy_is_the_first_one_whatever_way_it_came() {
    let streams = Streams::default();
    streams.add(key(1).stream_id());
    let chunk = chunk(&key(1), 5);
    let Checked::Good(first) = check(&streams, &frame(&chunk, 1)) else {
        panic!("the first copy is right");
    };
    let Checked::Good(second) = check(&streams, &frame(&chunk, 7)) else {
        panic!("the second copy is right");
    };
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_forged_second_copy_is_found_out() {
    let streams = Streams::default();
    streams.add(key(1).stream_id());
    let chunk = chunk(&key(1), 5);
    let Checked::Good(_held) = check(&streams, &frame(&chunk, 1)) else {
        panic!("the first copy is right");
    };
    for at in [6, 20, 34, 60, wire::CHUNK_HEADER_LEN, frame(&chunk, 1).len() - 1] {
        let mut forged = frame(&chunk, 1).to_vec();
        forged[at] ^= 0x80;
        assert!(
            matches!(check(&streams, &forged.into()), Checked::Bad(_)),
            "byte {at}"
        );
    }
}

#[test]
fn forgotten_chunks_take_no_memory() {
    let streams = Streams::default();
    streams.add(key(1).stream_id());
    let frame = frame(&chunk(&key(1), 5), 1);
    let Checked::Good(held) = check(&streams, &frame) else {
        panic!("the copy is right");
    };
    let weak = Arc::downgrade(&held);
    drop(held);
    assert!(weak.upgrade().is_none());
    assert!(matches!(check(&streams, &frame), Checked::Good(_)));
}
