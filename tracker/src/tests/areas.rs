//! Members of other areas, and members that are handed over.

use super::*;

const AREA: PeerId = PeerId::from_bytes([77; 32]);

#[test]
fn who_has_room_in_another_area_is_named_with_its_tracker() {
    let mut tracker = tracker();
    tracker.set_abroad(AREA, &[member(1, 10.0)]);
    assert_eq!((tracker.members(), tracker.is_member(id(1))), (0, false));
    let joiner = member(2, 11.0);
    let join = ask(joiner, 8, SubstreamSet::all(16));
    let answer = tracker.join(Time::ZERO, id(2), at(id(2)), &join).unwrap();
    let (named, seats) = &answer.peers[0];
    assert_eq!((named.peer, seats.len(), answer.peers.len()), (id(1), 4, 1));
    assert_eq!(tracker.area_of(id(1)), Some(AREA));
    assert_eq!((answer.members, answer.supply[1]), (1, 0), "counted elsewhere");
    // What was promised is not promised again until there is news.
    let other = ask(member(3, 11.0), 8, SubstreamSet::all(16));
    let answer = tracker.join(Time::ZERO, id(3), at(id(3)), &other).unwrap();
    assert!(
        answer
            .peers
            .iter()
            .all(|(peer, seats)| peer.peer != id(1) || seats.is_empty())
    );
    tracker.set_abroad(AREA, &[member(1, 10.0)]);
    let answer = tracker
        .join(Time::from_millis(600), id(3), at(id(3)), &other)
        .unwrap();
    assert!(
        answer
            .peers
            .iter()
            .any(|(peer, seats)| peer.peer == id(1) && seats.len() == 4)
    );
    tracker.set_abroad(AREA, &[]);
    assert_eq!(tracker.area_of(id(1)), None);
}

#[test]
fn whoever_registers_here_is_of_this_area() {
    let mut tracker = tracker();
    tracker.set_abroad(AREA, &[member(1, 10.0), member(4, 10.0)]);
    register(&mut tracker, Time::ZERO, member(1, 10.0));
    assert_eq!((tracker.members(), tracker.area_of(id(1))), (1, None));
    // The other area's word does not change that.
    tracker.set_abroad(AREA, &[member(1, 500.0)]);
    assert_eq!((tracker.members(), tracker.area_of(id(1))), (1, None));
    assert_eq!(tracker.area_of(id(4)), None);
    tracker.leave(Time::ZERO, id(1));
    assert_eq!(tracker.members(), 0);
}

#[test]
fn who_is_handed_over_counts_until_it_should_have_registered() {
    let mut tracker = tracker();
    for n in 1..=3 {
        tracker.take_in(Time::ZERO, &member(n, f64::from(n)));
    }
    assert_eq!(tracker.members(), 3);
    // A promise that was made elsewhere does not count here, whatever the member has counted.
    let mut join = ask(member(1, 1.0), 0, SubstreamSet::EMPTY);
    join.promised = 40;
    tracker
        .join(Time::from_millis(2_000), id(1), at(id(1)), &join)
        .unwrap();
    let joiner = ask(member(9, 1.0), 8, SubstreamSet::one(Substream(1)));
    let answer = tracker
        .join(Time::from_millis(2_000), id(9), at(id(9)), &joiner)
        .unwrap();
    assert!(
        answer
            .peers
            .iter()
            .any(|(peer, seats)| peer.peer == id(1) && !seats.is_empty())
    );
    let gone = tracker.handle_deadline(Time::from_millis(15_000));
    assert!(gone.contains(&id(2)) && gone.contains(&id(3)), "{gone:?}");
    // Nobody makes the host or a peercaster a member in this way.
    let mut source = member(5, 1.0);
    source.role = Role::Peercaster;
    let mut host = member(6, 1.0);
    host.peer = HOST;
    let before = tracker.members();
    tracker.take_in(Time::from_millis(15_000), &source);
    tracker.take_in(Time::from_millis(15_000), &host);
    assert_eq!(tracker.members(), before);
}

#[test]
fn spare_room_is_told_with_the_soonest_first() {
    let mut tracker = tracker();
    for n in 1..=40 {
        let mut record = member(n, f64::from(n) * 10.0);
        record.lag_ms = Some(100 + u16::try_from(n % 4).unwrap() * 200);
        record.free_slots = if n % 4 == 0 { 0 } else { 4 };
        register(&mut tracker, Time::ZERO, record);
    }
    tracker.set_abroad(AREA, &[member(100, 0.0)]);
    let from = Coord {
        x_ms: 400.0,
        y_ms: 0.5,
        height_ms: 0.0,
    };
    let spare = tracker.spare(&from, 5);
    let peers: Vec<u32> = spare.iter().map(|record| number(record.peer)).collect();
    // A round trip of 200 ms more counts as much as 100 ms of lag.
    assert_eq!(peers, [37, 33, 29, 25, 21]);
    assert!(tracker.hold(id(37), SubstreamSet::all(4)));
    assert!(
        !tracker.hold(id(100), SubstreamSet::all(4)),
        "it is another's member"
    );
    let spare = tracker.spare(&from, 1);
    assert_eq!(number(spare[0].peer), 33, "all its slots are promised");
}

#[test]
fn an_area_is_short_of_what_its_members_cannot_give() {
    let mut tracker = tracker();
    assert_eq!(tracker.short(0), 0);
    for n in 1..=4 {
        register(&mut tracker, Time::ZERO, member(n, f64::from(n)));
    }
    // Four want 64 copies; each has eight slots, and the host sixteen.
    assert_eq!((tracker.short(0), tracker.short(16)), (500, 250));
    let mut donor = member(5, 5.0);
    (donor.role, donor.slots) = (Role::Donor, 100);
    register(&mut tracker, Time::ZERO, donor);
    assert_eq!(tracker.short(0), 0);
}

#[test]
fn a_host_that_takes_part_registers_with_itself() {
    let mut config = TrackerConfig::new(HOST, 16, 7);
    config.lists_host = true;
    let mut tracker = Tracker::new(config);
    let mut own = member(1, 1.0);
    own.peer = HOST;
    let join = ask(own, 0, SubstreamSet::EMPTY);
    assert!(tracker.join(Time::ZERO, HOST, at(HOST), &join).is_ok());
    assert_eq!(
        named(&mut tracker, member(2, 1.0), 8, SubstreamSet::EMPTY),
        [number(HOST)]
    );
}
