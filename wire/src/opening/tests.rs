use super::*;
use crate::message::{Bye, ByeReason};

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn hello() -> Hello {
    Hello {
        versions: VERSIONS,
        ..Hello::default()
    }
}

fn bye() -> Vec<u8> {
    codec::encode(&Message::from(Bye {
        reason: ByeReason::Leaving,
    }))
}

fn seal(to: Option<PeerId>, messages: &[Vec<u8>]) -> Option<Vec<u8>> {
    Opening::seal(&key(1), to, &hello(), messages.iter().map(Vec::as_slice))
}

/// Signed rightly, whatever is in it.
fn signed(frames: Vec<u8>) -> Opening {
    let opening = Opening {
        from: key(1).peer_id(),
        to: None,
        frames,
    };
    let sealed = codec::to_msgpack(&Signed::new(&opening, &key(1)));
    Opening::unseal(&sealed, key(2).peer_id()).unwrap()
}

#[test]
fn what_is_said_is_heard_by_whom_it_is_for() {
    let (own, other) = (key(2).peer_id(), key(3).peer_id());
    let messages = vec![bye(); MAX_OPENING_MESSAGES];
    for to in [None, Some(own)] {
        let opening = Opening::unseal(&seal(to, &messages).unwrap(), own).unwrap();
        assert_eq!((opening.from, opening.to), (key(1).peer_id(), to));
        let (said, heard) = opening.read().unwrap();
        assert_eq!(said, hello());
        assert_eq!(heard.len(), messages.len());
        for (message, bytes) in heard {
            assert_eq!((codec::encode(&message.unwrap()), bytes), (bye(), bye().len()));
        }
    }
    let to_other = Opening::unseal(&seal(Some(other), &messages).unwrap(), own);
    assert!(matches!(to_other, Err(OpeningError::Receiver)), "{to_other:?}");
    let to_oneself = Opening::unseal(&seal(None, &messages).unwrap(), key(1).peer_id());
    assert!(
        matches!(to_oneself, Err(OpeningError::Receiver)),
        "{to_oneself:?}"
    );
}

#[test]
fn every_changed_byte_shows() {
    let own = key(2).peer_id();
    let good = seal(Some(own), &[bye()]).unwrap();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(Opening::unseal(&changed, own).is_err(), "byte {at}");
        assert!(Opening::unseal(&good[..at], own).is_err(), "cut at {at}");
    }
}

#[test]
fn too_much_is_not_sealed() {
    assert!(seal(None, &vec![bye(); MAX_OPENING_MESSAGES + 1]).is_none());
    assert!(seal(None, &[vec![0; MAX_OPENING]]).is_none());
    // What is sealed can be unsealed, up to the last byte.
    let longest = (0..MAX_OPENING).rev().find_map(|len| seal(None, &[vec![0; len]]));
    let longest = longest.unwrap();
    assert_eq!(longest.len(), MAX_OPENING);
    assert!(Opening::unseal(&longest, key(2).peer_id()).is_ok());
    let longer = Opening::unseal(&[&longest[..], &[0]].concat(), key(2).peer_id());
    assert!(matches!(longer, Err(OpeningError::Length(_))), "{longer:?}");
}

#[test]
fn what_is_no_opening_inside_is_refused() {
    let greeted = codec::encode(&hello().into());
    let foreign = codec::encode(&Message::from(Hello {
        versions: (7, 9),
        ..Hello::default()
    }));
    for frames in [vec![], bye(), foreign, vec![0, 0, 0, 2, 13, 7]] {
        let read = signed(frames).read();
        assert!(matches!(read, Err(OpeningError::Hello)), "{read:?}");
    }
    let more = [greeted.clone(), bye().repeat(MAX_OPENING_MESSAGES + 1)].concat();
    let cut = [&greeted[..], &bye()[..5]].concat();
    let endless = [&greeted[..], &[0xff; 8]].concat();
    for frames in [more, cut, endless, [&greeted[..], &[0; 3]].concat()] {
        let read = signed(frames).read();
        assert!(matches!(read, Err(OpeningError::Frames)), "{read:?}");
    }
    // A message that does not decode is for the caller to judge.
    let odd = [&greeted[..], &[0, 0, 0, 2, 13, 7], &[0, 0, 0, 2, 250, 7]].concat();
    let (_, messages) = signed(odd).read().unwrap();
    assert!(matches!(
        messages[..],
        [
            (Err(FrameError::Body { .. }), 6),
            (Err(FrameError::UnknownKind(250)), 6)
        ]
    ));
}
