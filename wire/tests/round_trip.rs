//! What is encoded is decoded to the same, whatever the values.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeSet;

use headwater_wire::{Message, SecretKey, SignatureError, Signed, Verifier, codec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[track_caller]
fn decode(frame: &[u8]) -> Message {
    let (length, frame) = frame.split_first_chunk().unwrap();
    assert_eq!(codec::frame_len(*length).unwrap(), frame.len());
    codec::decode(frame).unwrap()
}

proptest! {
    #[test]
    fn any_message_survives(message in common::generate::any_message()) {
        let frame = codec::encode(&message);
        prop_assert_eq!(decode(&frame), message);
    }
}

#[test]
fn the_generator_makes_every_message() {
    let mut runner = TestRunner::deterministic();
    let strategy = common::generate::any_message();
    let made: BTreeSet<u8> = (0..2000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current().code())
        .collect();
    assert_eq!(made, Message::CODES.iter().map(|&(code, _)| code).collect());
}

#[test]
fn examples_survive() {
    for message in common::examples() {
        assert_eq!(decode(&codec::encode(&message)), message);
    }
}

#[test]
fn a_signed_statement_opens_with_its_key_alone() {
    let signed = Signed::new(&common::stream_info(), &common::key());
    let verifier = |secret: u8| {
        let key = SecretKey::from_bytes(&[secret; 32]);
        Verifier::new(key.peer_id().as_bytes()).unwrap()
    };
    assert_eq!(signed.open(&verifier(7)).unwrap(), common::stream_info());
    assert_eq!(signed.open(&verifier(8)), Err(SignatureError::Mismatch));
}
