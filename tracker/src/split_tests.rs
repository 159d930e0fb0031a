use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use wire::message::Join;
use wire::{Bitrate, StreamId, SubstreamSet};

use super::*;
use crate::{Tracker, TrackerConfig};

const HOST: PeerId = PeerId::from_bytes([255; 32]);

fn id(n: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn at(x_ms: f64, y_ms: f64) -> Coord {
    Coord {
        x_ms,
        y_ms,
        height_ms: 2.0,
    }
}

fn record(n: usize, coord: Coord) -> PeerRecord {
    let addr = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 4000));
    PeerRecord {
        peer: id(n),
        addrs: [addr].into_iter().collect(),
        coord,
        role: Role::Consumer,
        slots: 16,
        free_slots: 4,
        primaries: SubstreamSet::EMPTY,
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(16),
        lag_ms: Some(100),
    }
}

fn tracker_of(records: impl IntoIterator<Item = PeerRecord>) -> Tracker {
    let mut tracker = Tracker::new(TrackerConfig::new(HOST, 16, 1));
    for record in records {
        let join = Join {
            stream: StreamId::from_bytes([1; 32]),
            want: 0,
            need: SubstreamSet::EMPTY,
            upload: Bitrate::ZERO,
            known: None,
            promised: 0,
            record,
        };
        let ip: IpAddr = join
            .record
            .addrs
            .first()
            .map_or(IpAddr::from([10, 9, 9, 9]), |a| a.ip());
        tracker.join(Time::ZERO, join.record.peer, ip, &join).unwrap();
    }
    tracker
}

fn later(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// Twenty members in each of two places.
fn two_towns() -> Vec<PeerRecord> {
    let town = |n: usize| if n < 20 { (-80.0, 10.0) } else { (90.0, -20.0) };
    let spread = |n: usize| (n % 5) as f64;
    (0..40)
        .map(|n| record(n, at(town(n).0 + spread(n), town(n).1 + spread(n / 5))))
        .collect()
}

#[test]
fn the_farther_of_two_towns_goes_with_a_host_in_its_middle() {
    let tracker = tracker_of(two_towns());
    let split = tracker.split(later(10), &at(60.0, 0.0), &[]).unwrap();
    let moved: BTreeSet<PeerId> = split.members.iter().copied().collect();
    assert_eq!(moved, (0..20).map(id).collect());
    let split = tracker.split(later(10), &at(-60.0, 0.0), &[]).unwrap();
    let moved: BTreeSet<PeerId> = split.members.iter().copied().collect();
    assert_eq!(moved, (20..40).map(id).collect());
    assert_eq!(split.hosts.len(), HOSTS);
    // The four rows of this town are at 4, 0, 1 and 2: its middle is in the last.
    assert_eq!(split.hosts[0], id(37));
    let avoid = split.hosts;
    let others = tracker.split(later(10), &at(-60.0, 0.0), &avoid).unwrap().hosts;
    assert!(
        others
            .iter()
            .all(|peer| !avoid.contains(peer) && moved.contains(peer))
    );
}

/// Asserts that whoever differs in this way from the others of its town is not its host.
#[track_caller]
fn check_no_host(change: impl Fn(&mut PeerRecord)) {
    let mut records = two_towns();
    records[20..]
        .iter_mut()
        .filter(|r| r.peer != id(39))
        .for_each(&change);
    let split = tracker_of(records)
        .split(later(10), &at(-60.0, 0.0), &[])
        .unwrap();
    assert_eq!(split.hosts, [id(39)], "the only one left");
}

#[test]
fn a_host_is_reachable_and_takes_part_and_has_upload() {
    check_no_host(|r| r.addrs = [].into_iter().collect());
    check_no_host(|r| r.role = Role::Passive);
    check_no_host(|r| r.slots = 7);
    check_no_host(|r| r.lag_ms = None);
}

#[test]
fn nobody_is_made_a_host_in_its_first_seconds() {
    let tracker = tracker_of(two_towns());
    assert_eq!(tracker.split(later(2), &at(-60.0, 0.0), &[]), None);
    assert_eq!(tracker.deputies(later(2), &at(-60.0, 0.0), &[]), []);
    let near = tracker.deputies(later(3), &at(-60.0, 12.0), &[]);
    assert_eq!((near.len(), near[0]), (HOSTS, id(14)));
}

#[test]
fn too_few_or_unplaced_members_are_not_split() {
    let few = two_towns().into_iter().take(2 * LEAST_TO_SPLIT - 1);
    assert_eq!(tracker_of(few).split(later(10), &at(0.0, 0.0), &[]), None);
    let unplaced = (0..100).map(|n| record(n, Coord::ORIGIN));
    assert_eq!(tracker_of(unplaced).split(later(10), &at(0.0, 0.0), &[]), None);
}

#[test]
fn one_town_with_an_outlier_is_halved() {
    let mut records: Vec<PeerRecord> = (0..60)
        .map(|n| record(n, at(10.0 + (n % 8) as f64, (n / 8) as f64)))
        .collect();
    records.push(record(60, at(400.0, 400.0)));
    let split = tracker_of(records).split(later(10), &at(0.0, 0.0), &[]).unwrap();
    assert!(
        (30..=31).contains(&split.members.len()),
        "{}",
        split.members.len()
    );
    assert!(split.members.contains(&id(60)));
}

proptest! {
    #[test]
    fn any_area_is_divided_into_parts_that_are_worth_it(
        places in prop::collection::vec((-500.0..500.0f64, -500.0..500.0f64), 16..120),
        home in (-500.0..500.0f64, -500.0..500.0f64),
    ) {
        let records = places.iter().enumerate().map(|(n, &(x, y))| record(n, at(x, y)));
        let tracker = tracker_of(records);
        let home = at(home.0, home.1);
        let split = tracker.split(later(10), &home, &[]).unwrap();
        let again = tracker.split(later(10), &home, &[]).unwrap();
        prop_assert_eq!(&split, &again);
        let moved: BTreeSet<PeerId> = split.members.iter().copied().collect();
        prop_assert_eq!(moved.len(), split.members.len());
        prop_assert!(split.hosts.iter().all(|host| moved.contains(host)));
        prop_assert!(moved.len() * LEAST_PART >= places.len());
        prop_assert!((places.len() - moved.len()) * LEAST_PART >= places.len());
        let middle_of = |which: bool| {
            let all = places.iter().enumerate().filter(|(n, _)| moved.contains(&id(*n)) == which);
            let coords: Vec<Coord> = all.map(|(_, &(x, y))| at(x, y)).collect();
            middle(coords.iter())
        };
        let far = planar_distance_ms(&middle_of(true), &home);
        prop_assert!(far >= planar_distance_ms(&middle_of(false), &home) - 1e-6);
    }
}
