//! What each target does with its input: read it, and if it reads, check that it means the same when written again.
//!
//! `wire/tests/smoke.rs` includes this file and runs the same on a stable toolchain, in every test run.

use headwater_wire::{Link, SecretKey, Signed, StreamInfo, UncheckedChunk, Verifier, codec};

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

fn verifier() -> Verifier {
    Verifier::new(key().stream_id().as_bytes()).expect("a secret key has a public key")
}

/// A frame of the control stream, after its length. True when it is a message.
pub fn control_frame(data: &[u8]) -> bool {
    let Ok(message) = codec::decode(data) else {
        return false;
    };
    let written = codec::encode(&message);
    let read = codec::decode(&written[codec::LENGTH_LEN..]).expect("what we wrote we can read");
    // Bytes, because a NaN is not equal to itself.
    assert_eq!(codec::encode(&read), written);
    true
}

/// A chunk stream. True when it is a chunk of the key whose secret bytes are all 7.
pub fn chunk_frame(data: &[u8]) -> bool {
    let Ok(unchecked) = UncheckedChunk::decode(data.to_vec().into()) else {
        return false;
    };
    let (hops, repair) = (unchecked.hops, unchecked.repair);
    let stream = key().stream_id();
    let good_tag = unchecked.stream_tag == stream.tag();
    let Ok(chunk) = unchecked.check(stream, &verifier()) else {
        return false;
    };
    let written = [&chunk.encode_header(hops, repair)[..], &chunk.payload()[..]].concat();
    assert!(!good_tag || written == data);
    true
}

/// A link. True when it is one.
pub fn link(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    match text.parse::<Link>() {
        Ok(link) => {
            assert_eq!(link.to_string().parse(), Ok(link));
            true
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
            false
        }
    }
}

/// The body of a signed description of a stream, or such a description with its signature. True when it is either.
pub fn stream_info(data: &[u8]) -> bool {
    if let Ok(signed) = rmp_serde::from_slice::<Signed<StreamInfo>>(data) {
        return signed.open(&verifier()).is_ok();
    }
    let Ok(info) = rmp_serde::from_slice::<StreamInfo>(data) else {
        return false;
    };
    let _ = (info.is_sane(), info.chunk_duration(), info.replaces(&info));
    assert_eq!(Signed::new(&info, &key()).open(&verifier()), Ok(info));
    true
}
