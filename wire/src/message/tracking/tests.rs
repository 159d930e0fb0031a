use coords::Coord;

use super::*;
use crate::message::{Lease, TrackerLease};

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

#[test]
fn an_appointment_is_good_for_its_stream_and_tracker_only() {
    let (stream, tracker) = (key(1), key(2).peer_id());
    let signed = Appointment::sign(&stream, tracker, 7);
    let opened = Appointment::open(&signed, stream.stream_id(), tracker).expect("good");
    assert_eq!(opened.serial, 7);
    let other = Appointment::open(&signed, stream.stream_id(), key(3).peer_id());
    assert_eq!(other, Err(SignatureError::Subject));
    let other = Appointment::open(&signed, key(3).stream_id(), tracker);
    assert_eq!(other, Err(SignatureError::Mismatch));
    // In the stream's name, by somebody else.
    let forged = Signed::new(&opened, &key(3));
    let forged = Appointment::open(&forged, stream.stream_id(), tracker);
    assert_eq!(forged, Err(SignatureError::Mismatch));
}

#[test]
fn a_lease_takes_two_signatures() {
    let (stream, tracker) = (key(1), key(2));
    let node = RingNode::new(tracker.peer_id(), &Coord::default(), List::default());
    let said = TrackerLease {
        stream: stream.stream_id(),
        tracker: node,
        siblings: List::default(),
        serial: 1,
        ttl_ms: 30_000,
        members: 3,
        short: 0,
    };
    let good = Lease {
        lease: Signed::new(&said, &tracker),
        tracker: tracker.peer_id(),
        appointment: Appointment::sign(&stream, tracker.peer_id(), 1),
    };
    assert_eq!(good.open(), Ok(said.clone()));
    let self_appointed = Lease {
        appointment: Appointment::sign(&tracker, tracker.peer_id(), 1),
        ..good.clone()
    };
    assert_eq!(self_appointed.open(), Err(SignatureError::Mismatch));
    let of_another = Lease {
        appointment: Appointment::sign(&stream, key(3).peer_id(), 1),
        ..good.clone()
    };
    assert_eq!(of_another.open(), Err(SignatureError::Subject));
    let in_its_name = Lease {
        lease: Signed::new(&said, &key(3)),
        ..good
    };
    assert_eq!(in_its_name.open(), Err(SignatureError::Mismatch));
    let names_another = Lease {
        lease: Signed::new(&said, &key(3)),
        tracker: key(3).peer_id(),
        appointment: Appointment::sign(&stream, key(3).peer_id(), 1),
    };
    assert_eq!(names_another.open(), Err(SignatureError::Subject));
}
