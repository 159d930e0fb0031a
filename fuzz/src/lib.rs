//! What each target does with its input: read it, and if it reads, check that it means the same when written again.
//!
//! `wire/tests/smoke.rs` includes this file and runs the same on a stable toolchain, in every test run.

use headwater_wire::trust::{FraudProof, TrustMessage};
use headwater_wire::{
    Cosigned, Link, MAX_OPENING, MAX_OPENING_MESSAGES, Opening, SecretKey, Signed, Statement, StreamInfo,
    UncheckedChunk, Verifier, codec,
};

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

/// What a dialler says with its first packet. True when it is a right opening to the peer whose secret bytes are all 8.
pub fn opening(data: &[u8]) -> bool {
    let own = SecretKey::from_bytes(&[8; 32]).peer_id();
    let Ok(opening) = Opening::unseal(data, own) else {
        return false;
    };
    assert!(data.len() <= MAX_OPENING && opening.from != own);
    let Ok((_, messages)) = opening.read() else {
        return false;
    };
    assert!(messages.len() <= MAX_OPENING_MESSAGES);
    true
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

/// A frame of a message about trust: its statements are read, checked and used as a peer does. True when it is one and all of its
/// statements can be read.
pub fn trust(data: &[u8]) -> bool {
    let Ok(message) = codec::decode(data) else {
        return false;
    };
    let Ok(message) = TrustMessage::try_from(message) else {
        return false;
    };
    match message {
        TrustMessage::Receipt(receipt) => signed(&receipt),
        TrustMessage::Propose(proposal) => {
            let named = proposal
                .orders
                .iter()
                .all(|prepare| prepare.order.id().0 != [0; 32]);
            let receipts = proposal.receipts.iter().all(signed);
            named && signed(&proposal.state) && receipts && proposal.notes.iter().all(signed)
        }
        TrustMessage::Account(state) => {
            let read = state.peek();
            read.is_ok_and(|state| state.low_owes().unsigned_abs() < 1 << 67) && cosigned(&state)
        }
        TrustMessage::Prepare(prepare) => prepare.order.id().0 != [0; 32],
        TrustMessage::Note(note) => signed(&note),
        TrustMessage::Advertise(edge) => edge.peek().is_ok_and(|edge| edge.bytes().count_ones() <= 1),
        TrustMessage::Advertised(edge) => cosigned(&edge),
        TrustMessage::Walk(edges) => edges.iter().all(cosigned),
        TrustMessage::TellEdges(edges) => edges.iter().all(cosigned),
        TrustMessage::Fraud(proof) => {
            // Only who signed both is convicted.
            assert!(proof.check().is_ok_and(|by| by == proof.accused()) || proof.check().is_err());
            matches!(proof, FraudProof::States(..) | FraudProof::Receipts(..))
        }
        TrustMessage::Decline { .. }
        | TrustMessage::Abort(_)
        | TrustMessage::Release(_)
        | TrustMessage::AskEdges { .. } => true,
    }
}

fn signed<T: Statement>(statement: &Signed<T>) -> bool {
    let _ = statement.open(&verifier());
    statement.peek().is_ok()
}

fn cosigned<T: Statement>(statement: &Cosigned<T>) -> bool {
    let _ = statement.open(&verifier(), &verifier());
    assert_eq!(statement.first().body_hash(), statement.second().body_hash());
    statement.peek().is_ok()
}
