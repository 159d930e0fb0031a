use std::net::SocketAddr;
use std::time::Duration;

use wire::{PeerId, Time};

use super::{CALL_AGAIN, CALL_SLACK, Neighbours, ROLL_EVERY};

const RTT: Duration = Duration::from_millis(100);

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn neighbours(now: Time) -> Neighbours {
    let mut neighbours = Neighbours::default();
    for n in 1..=3 {
        let addr = SocketAddr::from(([10, 0, 0, n], 4000));
        neighbours.insert(now, peer(n), addr, vec![addr], Some(RTT), true);
    }
    neighbours.due_pings(now);
    neighbours
}

#[test]
fn who_does_not_answer_the_roll_is_mute_until_it_says_something() {
    let start = Time::from_millis(1_000);
    let mut neighbours = neighbours(start);
    let called = start + Duration::from_millis(200);
    // One was heard just now: it need not be called.
    neighbours.hear(called - Duration::from_millis(10), &peer(1));
    neighbours.call_roll(called, |_| true);
    assert!(neighbours.is_calling(called));
    let pinged: Vec<_> = neighbours
        .due_pings(called)
        .into_iter()
        .map(|(peer, _)| peer)
        .collect();
    assert_eq!(pinged, [peer(2), peer(3)]);
    assert!(neighbours.get(&peer(2)).expect("connected").is_in_doubt());
    assert!(neighbours.hear(called + RTT, &peer(2)));
    let mute = |neighbours: &Neighbours, now: Time| {
        (1..=3)
            .filter(|&n| neighbours.is_mute(&peer(n), now))
            .collect::<Vec<_>>()
    };
    assert_eq!(mute(&neighbours, called + RTT), []);
    let over = called + RTT.mul_f64(1.5) + CALL_SLACK + Duration::from_millis(1);
    assert_eq!(mute(&neighbours, over), [3]);
    assert!(neighbours.expects_answers(over));
    let again = called + RTT * 3 + 2 * CALL_SLACK;
    assert!(!neighbours.is_gone(&peer(3), again - Duration::from_millis(1)));
    assert!(neighbours.is_gone(&peer(3), again + Duration::from_millis(1)));
    neighbours.hear(over, &peer(3));
    assert_eq!(mute(&neighbours, over), []);
    // A stranger is nobody's neighbour.
    assert!(!neighbours.hear(over, &peer(9)));
}

#[test]
fn the_roll_is_not_called_all_the_time() {
    let start = Time::from_millis(1_000);
    let mut neighbours = neighbours(start);
    let mut calls = 0;
    for ms in 0..3_000 {
        let now = start + Duration::from_millis(100 + ms);
        neighbours.call_roll(now, |_| true);
        calls += u32::from(neighbours.is_calling(now));
    }
    assert_eq!(calls, 3_000 / ROLL_EVERY.as_millis() as u32);
}

#[test]
fn one_neighbour_is_called_every_so_often() {
    let start = Time::from_millis(1_000);
    let mut neighbours = neighbours(start);
    let mut pings = 0;
    for ms in 0..900 {
        let now = start + CALL_AGAIN + Duration::from_millis(1 + ms);
        neighbours.call(now, &peer(2));
        let due = neighbours.due_pings(now);
        pings += due.iter().filter(|(to, _)| *to == peer(2)).count();
    }
    assert!((2..=4).contains(&pings), "{pings}");
}
