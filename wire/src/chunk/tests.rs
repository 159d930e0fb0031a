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

/// What arrives and passes the check, if anything does.
fn receive(frame: Bytes) -> Option<Chunk> {
    UncheckedChunk::decode(frame)
        .ok()?
        .check(key().stream_id(), &verifier())
        .ok()
}

#[test]
fn any_change_to_a_frame_is_noticed() {
    let chunk = Chunk::sign(header(), Bytes::from_static(b"some media"), &key());
    let good = frame(&chunk, 3, false);
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
    };
    assert_eq!(receive(frame(&forged, 1, false)), None);
}

#[test]
fn the_limits_of_a_frame() {
    let largest = Chunk::sign(
        header(),
        Bytes::from(vec![0; MAX_PAYLOAD + AEAD_OVERHEAD]),
        &key(),
    );
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
        UncheckedChunk::decode(Bytes::from_static(&[1; 98])),
        Err(ChunkFrameError::Short(98))
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
        }
        prop_assert_eq!(receive(bytes.into()), None);
    }
}
