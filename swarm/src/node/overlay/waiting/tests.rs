use wire::SecretKey;
use wire::message::RingLeave;

use super::*;

fn peer(n: u8) -> PeerId {
    SecretKey::from_bytes(&[n; 32]).peer_id()
}

fn push(waiting: &mut Waiting, now: Time, n: u8, urgent: bool) {
    let addr = SocketAddr::from(([10, 0, 0, n], 4000));
    let message = RingLeave::default().into();
    waiting.push(now, peer(n), vec![addr], message, urgent);
}

#[test]
fn messages_wait_for_one_dial_and_go_together() {
    let mut waiting = Waiting::default();
    let now = Time::from_millis(1_000);
    for _ in 0..2 * MAX_MESSAGES {
        push(&mut waiting, now, 1, false);
    }
    assert_eq!(
        waiting.next_dial(now, Duration::ZERO).map(|dial| dial.peer),
        Some(peer(1))
    );
    assert!(waiting.next_dial(now, Duration::ZERO).is_none());
    assert!(waiting.holds(&peer(1)));
    assert_eq!(waiting.take(&peer(1), false).len(), MAX_MESSAGES, "bounded");
    assert!(!waiting.holds(&peer(1)) && waiting.take(&peer(1), false).is_empty());
}

#[test]
fn upkeep_waits_for_the_uplink_and_look_ups_do_not() {
    let mut waiting = Waiting::default();
    let now = Time::from_millis(1_000);
    for n in 1..=200 {
        push(&mut waiting, now, n, false);
    }
    assert_eq!(waiting.list.len(), MAX_PEERS, "bounded");
    assert!(waiting.next_dial(now, DIAL_BACKLOG).is_none());
    let dials = std::iter::from_fn(|| waiting.next_dial(now, Duration::ZERO));
    assert_eq!(dials.count(), DIALS_AT_ONCE);
    waiting.take(&peer(1), false);
    push(&mut waiting, now, 201, true);
    let next = waiting.next_dial(now, DIAL_BACKLOG).map(|dial| dial.peer);
    assert_eq!(next, Some(peer(201)));
    assert!(waiting.has_undialled());
}

#[test]
fn who_is_not_reached_in_time_is_given_up() {
    let mut waiting = Waiting::default();
    let begun = Time::from_millis(1_000);
    push(&mut waiting, begun, 1, true);
    push(&mut waiting, begun, 2, false);
    let _ = waiting.next_dial(begun, DIAL_BACKLOG);
    assert_eq!(waiting.expire(begun + DIAL_TIMEOUT), []);
    let later = begun + DIAL_TIMEOUT + Duration::from_millis(1);
    assert_eq!(waiting.expire(later), [peer(1)]);
    assert_eq!(
        waiting.expire(begun + 4 * DIAL_TIMEOUT),
        [peer(2)],
        "never had its turn"
    );
    assert!(!waiting.has_undialled());
}
