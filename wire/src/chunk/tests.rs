use proptest::prelude::*;

use super::*;

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

fn header() -> ChunkHeader {
    ChunkHeader {
        stream: key().stream_id(),
        session: Seq(1_700_000_000_000_000),
        seq: Seq(1_700_000_000_000_123),
        generated_at: Time::from_micros(1_700_000_001_000_000),
        duration: Duration::from_micros(8000),
        flags: ChunkFlags {
            random_access: true,
            ..ChunkFlags::default()
        },
    }
}

fn verifier() -> Verifier {
    Verifier::new(key().stream_id().as_bytes()).unwrap()
}

fn frame(chunk: &Chunk, hops: u8, repair: bool) -> Bytes {
    [chunk.encode_header(hops, repair), chunk.payload().clone()]
        .concat()
        .into()
}

fn piece(n: u64) -> (ChunkHeader, Bytes) {
    let header = header();
    let seq = header.seq.plus(n);
    (ChunkHeader { seq, ..header }, Bytes::from_static(b"some media"))
}

/// So many chunks signed together.
fn group(count: usize) -> Vec<Chunk> {
    Chunk::sign_all((0..count as u64).map(piece).collect(), &key())
}

/// What arrives and passes the check, if anything does.
fn receive(frame: Bytes) -> Option<Chunk> {
    receive_by(frame, &verifier())
}

fn receive_by(frame: Bytes, verifier: &Verifier) -> Option<Chunk> {
    UncheckedChunk::decode(frame)
        .ok()?
        .check(key().stream_id(), verifier)
        .ok()
}

fn any_change_is_noticed(chunk: &Chunk, verifier: &Verifier) {
    let receive = |frame| receive_by(frame, verifier);
    let good = frame(chunk, 3, false);
    assert_eq!(receive(good.clone()), Some(chunk.clone()));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            // The hop count, the repair flag and the short stream tag are not the peercaster's to sign.
            let unsigned = (1..6).contains(&at);
            let expected = unsigned.then(|| chunk.clone());
            assert_eq!(receive(bad.into()), expected, "byte {at} bit {bit}");
        }
    }
    for cut in 0..good.len() {
        assert_eq!(receive(good.slice(..cut)), None, "cut at {cut}");
    }
    let longer = [&good[..], b"x"].concat();
    assert_eq!(receive(longer.into()), None);
}

#[test]
fn any_change_to_a_frame_is_noticed() {
    let chunk = Chunk::sign(header(), Bytes::from_static(b"some media"), &key());
    any_change_is_noticed(&chunk, &verifier());
}

#[test]
fn any_change_to_one_of_several_is_noticed_although_their_signature_is_known() {
    let verifier = verifier();
    for chunk in group(3) {
        any_change_is_noticed(&chunk, &verifier);
    }
}

#[test]
fn each_of_several_chunks_stands_by_itself() {
    for count in 0..=2 * MAX_GROUP + 1 {
        let chunks = group(count);
        assert_eq!(chunks.len(), count);
        let together = verifier();
        for chunk in chunks.iter().rev() {
            let frame = frame(chunk, 1, false);
            assert_eq!(chunk.frame_len(), frame.len());
            assert_eq!(receive(frame.clone()).as_ref(), Some(chunk), "alone, of {count}");
            assert_eq!(receive_by(frame, &together).as_ref(), Some(chunk), "of {count}");
        }
    }
}

#[test]
fn signing_one_alone_or_as_the_only_one_of_several_is_the_same() {
    let (header, payload) = piece(0);
    let alone = Chunk::sign(header, payload, &key());
    assert_eq!(group(1), [alone]);
}

#[test]
fn a_parent_is_not_taken_for_a_chunk() {
    let hash = |n| {
        let (header, payload) = piece(n);
        chunk_hash(&header, &payload)
    };
    let hashes = [0, 1, 2, 3].map(hash);
    let (root, _) = proof::tree(&hashes);
    let (left, _) = proof::tree(&hashes[..2]);
    let (right, _) = proof::tree(&hashes[2..]);
    assert_eq!(proof::tree(&[left, right]).0, root);
    // What two hashes would make if a parent were hashed as a chunk is.
    let as_chunk = Domain::CHUNK
        .hasher()
        .update(left.as_bytes())
        .update(right.as_bytes())
        .finalize();
    assert_ne!(as_chunk, root);
}

#[test]
fn a_proof_begins_with_a_one_and_at_most_four_levels() {
    let good = frame(&group(1)[0], 1, false).to_vec();
    for first in 0..=255 {
        let mut frame = good.clone();
        frame[PROOF_AT] = first;
        frame.extend_from_slice(&[0; proof::MAX_HASHES]);
        let decoded = UncheckedChunk::decode(frame.into());
        if (1..32).contains(&first) {
            assert!(decoded.is_ok(), "{first}");
        } else {
            assert_eq!(decoded, Err(ChunkFrameError::Proof(first)));
        }
    }
}

#[test]
fn a_chunk_of_another_key_or_stream_is_not_ours() {
    let other = SecretKey::from_bytes(&[8; 32]);
    let forged = Chunk::sign(header(), Bytes::from_static(b"x"), &other);
    assert_eq!(receive(frame(&forged, 1, false)), None);

    let chunk = Chunk::sign(header(), Bytes::from_static(b"x"), &key());
    let unchecked = UncheckedChunk::decode(frame(&chunk, 1, false)).unwrap();
    let result = unchecked.check(other.stream_id(), &verifier());
    assert_eq!(result, Err(SignatureError::Mismatch), "the stream is signed, too");
}

#[test]
fn a_signature_for_another_purpose_does_not_count() {
    // The same bytes, signed as if they were a description of a stream.
    let mut fields = [0u8; 29];
    put_signed_fields(&mut &mut fields[..], &header());
    let hash = Domain::STREAM_INFO
        .hasher()
        .update(b"x")
        .update(header().stream.as_bytes())
        .update(&fields)
        .finalize();
    let forged = Chunk {
        header: header(),
        payload: Bytes::from_static(b"x"),
        signature: key().sign(&hash),
        proof: Bytes::from_static(proof::ALONE),
    };
    assert_eq!(receive(frame(&forged, 1, false)), None);
}

#[test]
fn the_limits_of_a_frame() {
    let payload = Bytes::from(vec![0; MAX_PAYLOAD + AEAD_OVERHEAD]);
    let pieces = vec![(header(), payload); MAX_GROUP];
    let largest = Chunk::sign_all(pieces, &key()).swap_remove(MAX_GROUP - 1);
    assert_eq!(largest.frame_len(), MAX_CHUNK_FRAME);
    let bytes = frame(&largest, 1, false);
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(
        UncheckedChunk::decode(longer.into()),
        Err(ChunkFrameError::Long(MAX_CHUNK_FRAME + 1))
    );
    assert_eq!(receive(bytes), Some(largest));
    assert_eq!(
        UncheckedChunk::decode(Bytes::new()),
        Err(ChunkFrameError::Short(0))
    );
    assert_eq!(
        UncheckedChunk::decode(Bytes::from_static(&[1; 99])),
        Err(ChunkFrameError::Short(99))
    );
    assert_eq!(
        UncheckedChunk::decode(Bytes::from_static(&[2; 200])),
        Err(ChunkFrameError::Type(2))
    );
}

#[test]
#[should_panic(expected = "at most 64 KiB")]
fn nobody_signs_what_nobody_would_take() {
    Chunk::sign(
        header(),
        Bytes::from(vec![0; MAX_PAYLOAD + AEAD_OVERHEAD + 1]),
        &key(),
    );
}

#[test]
fn a_payload_is_not_copied_on_its_way() {
    let chunk = Chunk::sign(header(), Bytes::from_static(b"some media"), &key());
    let arrived = frame(&chunk, 1, false);
    let media = arrived[CHUNK_HEADER_LEN..].as_ptr();
    assert_eq!(receive(arrived).unwrap().payload().as_ptr(), media);
}

proptest! {
    #[test]
    fn what_is_sent_arrives(
        session in any::<u64>(),
        seq in any::<u64>(),
        generated_at in any::<u64>(),
        duration in any::<std::time::Duration>(),
        flags in any::<u8>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        hops in any::<u8>(),
        repair in any::<bool>(),
    ) {
        let header = ChunkHeader {
            stream: key().stream_id(),
            session: Seq(session),
            seq: Seq(seq),
            generated_at: Time::from_micros(generated_at),
            duration,
            flags: ChunkFlags::from_byte(flags),
        };
        let chunk = Chunk::sign(header.clone(), payload.into(), &key());
        prop_assert_eq!(chunk.header().flags.to_byte(), flags, "also bits that have no meaning yet");
        let unchecked = UncheckedChunk::decode(frame(&chunk, hops, repair)).unwrap();
        prop_assert_eq!((unchecked.hops, unchecked.repair), (hops.min(127), repair));
        prop_assert_eq!((unchecked.stream_tag, unchecked.claimed_seq()), (header.stream.tag(), header.seq));
        prop_assert_eq!(unchecked.check(header.stream, &verifier()), Ok(chunk));
    }

    #[test]
    fn no_bytes_are_too_much(mut bytes in prop::collection::vec(any::<u8>(), 0..300), good_type in any::<bool>()) {
        if good_type && !bytes.is_empty() {
            bytes[0] = CHUNK_FRAME_TYPE;
            if let Some(proof) = bytes.get_mut(PROOF_AT) {
                *proof %= 32;
            }
        }
        prop_assert_eq!(receive(bytes.into()), None);
    }
}
