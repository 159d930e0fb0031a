//! The bytes on the wire, frozen.
//!
//! A failure here means that this build no longer understands peers of an earlier one. Changing a golden file is a
//! decision about the protocol, not a fix of a test: it needs a new version in `headwater_wire::VERSIONS` once anybody else runs
//! the old one. To rewrite the files after that decision: `UPDATE_GOLDEN=1 cargo test -p headwater-wire --test golden`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use headwater_wire::{CHUNK_HEADER_LEN, Opening, SecretKey, UncheckedChunk, Verifier, codec};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"))
}

/// Thirty-two bytes a line, so that a difference is seen where it is.
fn to_hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| HEXLOWER.encode(line) + "\n")
        .collect()
}

fn golden(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    HEXLOWER.decode(text.replace('\n', "").as_bytes()).unwrap()
}

fn check(name: &str, bytes: &[u8]) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(name), to_hex(bytes)).unwrap();
    }
    assert_eq!(
        to_hex(bytes),
        to_hex(&golden(name)),
        "the encoding of {name} changed"
    );
}

#[test]
fn messages_are_encoded_and_read_as_ever() {
    for message in common::examples() {
        let name = common::name(&message);
        check(name, &codec::encode(&message));
        assert_eq!(
            codec::decode(&golden(name)[codec::LENGTH_LEN..]).unwrap(),
            message
        );
    }
}

#[test]
fn a_chunk_is_encoded_signed_and_read_as_ever() {
    check("chunk", &common::chunk_frame());
    let frame = golden("chunk");
    assert_eq!(&frame[CHUNK_HEADER_LEN..], b"some media");
    let stream = common::key().stream_id();
    let unchecked = UncheckedChunk::decode(frame.into()).unwrap();
    assert_eq!((unchecked.hops, unchecked.repair), (3, true));
    let verifier = Verifier::new(stream.as_bytes()).unwrap();
    assert_eq!(unchecked.check(stream, &verifier).unwrap(), common::chunk());
}

#[test]
fn an_opening_is_encoded_signed_and_read_as_ever() {
    check("opening", &common::sealed_opening());
    let own = SecretKey::from_bytes(&[8; 32]).peer_id();
    assert_eq!(
        Opening::unseal(&golden("opening"), own).unwrap(),
        common::opening()
    );
}

#[test]
fn no_golden_file_is_left_over() {
    let expected: BTreeSet<String> = common::examples()
        .iter()
        .map(common::name)
        .chain(["chunk", "opening"])
        .map(|name| format!("{name}.hex"))
        .collect();
    let found: BTreeSet<String> = fs::read_dir(path("").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected);
}
