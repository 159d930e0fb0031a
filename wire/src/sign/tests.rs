use proptest::prelude::*;

use super::*;

fn hash(of: &[u8]) -> blake3::Hash {
    let mut hasher = Domain::CHUNK.hasher();
    hasher.update(of);
    hasher.finalize()
}

fn both(key: &[u8; 32]) -> (Verifier, Verifier) {
    let plain = Verifier::new(key).unwrap();
    let prepared = plain.clone().for_many();
    assert!(plain.multiples.is_none());
    (plain, prepared)
}

proptest! {
    #[test]
    fn preparing_for_many_changes_no_verdict(
        secret: [u8; 32],
        text: Vec<u8>,
        other: Vec<u8>,
        at in 0..64_usize,
        change in 1..=255_u8,
    ) {
        let secret = SecretKey::from_bytes(&secret);
        let (plain, prepared) = both(secret.stream_id().as_bytes());
        prop_assert!(prepared.multiples.is_some());
        let signature = secret.sign(&hash(&text));
        prop_assert_eq!(prepared.check(&hash(&text), &signature), Ok(()));
        prop_assert_eq!(plain.check(&hash(&text), &signature), Ok(()));
        let same = text == other;
        prop_assert_eq!(prepared.check(&hash(&other), &signature).is_ok(), same);
        prop_assert_eq!(plain.check(&hash(&other), &signature).is_ok(), same);
        let mut broken = signature;
        broken[at] ^= change;
        prop_assert!(prepared.check(&hash(&text), &broken).is_err());
        prop_assert!(plain.check(&hash(&text), &broken).is_err());
    }
}

#[test]
fn an_equivalent_signature_is_refused() {
    // The order of the base point, little endian: s + order fits the equation as well as s does.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let secret = SecretKey::from_bytes(&[7; 32]);
    let (plain, prepared) = both(secret.stream_id().as_bytes());
    let hash = hash(b"a chunk");
    let mut signature = secret.sign(&hash);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(plain.check(&hash, &signature).is_err());
    assert!(prepared.check(&hash, &signature).is_err());
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // The neutral point: R = s·B fits any text.
    let mut key = [0; 32];
    key[0] = 1;
    let (plain, prepared) = both(&key);
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(EdwardsPoint::mul_base(&Scalar::ONE).compress().as_bytes());
    signature[32] = 1;
    assert!(plain.check(&hash(b"anything"), &signature).is_err());
    assert!(prepared.check(&hash(b"anything"), &signature).is_err());
}

#[test]
fn what_was_found_right_is_remembered_with_its_signature_in_bounds() {
    let secret = SecretKey::from_bytes(&[7; 32]);
    let verifier = both(secret.stream_id().as_bytes()).1;
    for n in 0..3 * SHARED {
        let hash = hash(&n.to_be_bytes());
        let signature = secret.sign(&hash);
        let mut broken = signature;
        broken[n % 64] ^= 1;
        assert!(verifier.check_shared(&hash, &broken).is_err(), "before");
        assert_eq!(verifier.check_shared(&hash, &signature), Ok(()));
        assert_eq!(verifier.check_shared(&hash, &signature), Ok(()), "again");
        assert!(verifier.check_shared(&hash, &broken).is_err(), "after");
        assert_eq!(verifier.shared.lock().unwrap().good.len(), SHARED.min(n + 1));
    }
}
