//! A flood of registrations from one place.

use std::net::Ipv6Addr;

use super::*;

fn placed(n: u32) -> PeerRecord {
    member(n, f64::from(n % 500))
}

#[test]
fn a_hundred_thousand_registrations_from_one_address_leave_room_for_everybody_else() {
    let mut tracker = tracker();
    let most = tracker.config().max_from_one_address;
    let flood: IpAddr = "203.0.113.7".parse().unwrap();
    let mut accepted = 0;
    for n in 0..100_000 {
        let now = Time::from_micros(u64::from(n) * 20);
        let join = ask(placed(1_000_000 + n), 4, SubstreamSet::all(16));
        accepted += u32::from(tracker.join(now, join.record.peer, flood, &join).is_ok());
        if n % 100 == 0 {
            // Honest peers, each from its own address, come in between and are answered.
            let honest = ask(placed(1 + n / 100), 4, SubstreamSet::all(16));
            let answer = tracker.join(now, honest.record.peer, at(honest.record.peer), &honest);
            assert!(answer.is_ok(), "{n}");
        }
    }
    assert_eq!(accepted, most);
    assert_eq!(tracker.members(), 1000 + most as usize);
}

#[test]
fn whoever_left_makes_room_for_another_from_there_and_a_renewal_always_counts() {
    let mut tracker = tracker();
    let most = tracker.config().max_from_one_address;
    let home: IpAddr = "203.0.113.7".parse().unwrap();
    let join = |tracker: &mut Tracker, n: u32| {
        let join = ask(placed(n), 0, SubstreamSet::EMPTY);
        tracker
            .join(Time::ZERO, join.record.peer, home, &join)
            .map(|_| ())
    };
    for n in 1..=most {
        assert_eq!(join(&mut tracker, n), Ok(()));
    }
    assert_eq!(join(&mut tracker, most + 1), Err(RefuseReason::Full));
    assert_eq!(join(&mut tracker, 1), Ok(()), "it is a member");
    tracker.leave(Time::ZERO, id(2));
    assert_eq!(join(&mut tracker, most + 1), Ok(()));
    assert_eq!(join(&mut tracker, most + 2), Err(RefuseReason::Full));
    // What has run out counts no more.
    tracker.handle_deadline(Time::from_millis(3_600_000));
    assert_eq!(join(&mut tracker, most + 2), Ok(()));
}

#[test]
fn one_ipv6_network_is_one_place_and_loopback_and_home_are_none() {
    let mut config = TrackerConfig::new(HOST, 16, 7);
    config.max_from_one_address = 2;
    config.neighbours_at = vec!["203.0.113.9".parse().unwrap()];
    let mut tracker = Tracker::new(config);
    let mut n = 0;
    let mut accepted = |ip: IpAddr| {
        n += 1;
        let join = ask(placed(n), 0, SubstreamSet::EMPTY);
        tracker.join(Time::ZERO, join.record.peer, ip, &join).is_ok()
    };
    let host =
        |network: u16, host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
    let taken = [host(1, 1), host(1, 2), host(1, 3), host(2, 1)].map(&mut accepted);
    assert_eq!(taken, [true, true, false, true]);
    let mapped: IpAddr = "::ffff:203.0.113.7".parse().unwrap();
    let plain: IpAddr = "203.0.113.7".parse().unwrap();
    assert_eq!([plain, mapped, plain].map(&mut accepted), [true, true, false]);
    for ip in ["127.0.0.1", "::1", "203.0.113.9"] {
        assert!((0..10).all(|_| accepted(ip.parse().unwrap())), "{ip}");
    }
}
