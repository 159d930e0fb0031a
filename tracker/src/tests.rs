use std::collections::BTreeSet;
use std::net::SocketAddr;

use proptest::prelude::*;
use wire::{StreamId, Substream, SubstreamSet};

use super::*;

mod areas;
mod origins;
mod seats;

const HOST: PeerId = PeerId::from_bytes([255; 32]);

fn tracker() -> Tracker {
    Tracker::new(TrackerConfig::new(HOST, 16, 7))
}

fn id(n: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn number(peer: PeerId) -> u32 {
    peer.tag()
}

fn addr(n: u32) -> SocketAddr {
    SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 4000))
}

/// Where a member's connection comes from.
fn at(peer: PeerId) -> IpAddr {
    addr(number(peer)).ip()
}

/// A consumer at (x, 0) with 8 slots, 4 of them free, on substream n mod 16.
fn member(n: u32, x_ms: f64) -> PeerRecord {
    PeerRecord {
        peer: id(n),
        addrs: [addr(n)].into_iter().collect(),
        coord: Coord {
            x_ms,
            y_ms: 0.5,
            height_ms: 1.0,
        },
        role: Role::Consumer,
        slots: 8,
        free_slots: 4,
        primaries: SubstreamSet::one(Substream((n % 16) as u8)),
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(16),
        lag_ms: Some(100),
    }
}

fn ask(record: PeerRecord, want: u8, need: SubstreamSet) -> Join {
    Join {
        stream: StreamId::from_bytes([1; 32]),
        record,
        want,
        need,
        upload: wire::Bitrate::ZERO,
        known: None,
        promised: 0,
    }
}

fn register(tracker: &mut Tracker, now: Time, record: PeerRecord) -> Answer {
    let from = record.peer;
    tracker
        .join(now, from, at(from), &ask(record, 0, SubstreamSet::EMPTY))
        .unwrap()
}

fn named(tracker: &mut Tracker, record: PeerRecord, want: u8, need: SubstreamSet) -> Vec<u32> {
    let from = record.peer;
    let answer = tracker
        .join(Time::ZERO, from, at(from), &ask(record, want, need))
        .unwrap();
    answer.peers.iter().map(|(peer, _)| number(peer.peer)).collect()
}

/// Members 1 to `count`, 1 ms apart in a line from the source at x = 0.
fn line(count: u32) -> Tracker {
    let mut tracker = tracker();
    for n in 1..=count {
        register(&mut tracker, Time::ZERO, member(n, f64::from(n)));
    }
    tracker
}

#[test]
fn a_member_that_does_not_renew_expires_after_three_intervals() {
    let mut tracker = tracker();
    let first = register(&mut tracker, Time::ZERO, member(1, 10.0));
    assert!(
        first.refresh < Duration::from_secs(2),
        "early renewals are frequent"
    );
    let deadline = tracker.next_deadline().unwrap();
    assert_eq!(deadline, Time::ZERO + first.refresh * 3);
    assert!(
        tracker
            .handle_deadline(deadline - Duration::from_micros(1))
            .is_empty()
    );

    register(&mut tracker, Time::ZERO + first.refresh, member(1, 10.0));
    assert!(tracker.handle_deadline(deadline).is_empty(), "it renewed");
    let deadline = tracker.next_deadline().unwrap();
    assert_eq!(tracker.handle_deadline(deadline), [id(1)]);
    assert_eq!((tracker.members(), tracker.next_deadline()), (0, None));
}

#[test]
fn a_settled_member_renews_less_often_than_a_new_one() {
    let config = TrackerConfig::new(HOST, 16, 7);
    let mut tracker = tracker();
    let about = |time: Duration, nominal: Duration| time.abs_diff(nominal) <= nominal / 20;
    let first = register(&mut tracker, Time::ZERO, member(1, 10.0));
    assert!(about(first.refresh, config.refresh_early));
    let later = register(&mut tracker, Time::ZERO + config.early, member(1, 10.0));
    assert!(about(later.refresh, config.refresh));
    assert!(config.refresh_early < config.refresh);
}

#[test]
fn supply_follows_every_change() {
    let mut tracker = tracker();
    let mut record = member(1, 10.0);
    record.primaries = [Substream(2), Substream(3)].into_iter().collect();
    assert_eq!(
        register(&mut tracker, Time::ZERO, record.clone()).supply[..5],
        [0, 0, 4, 4, 0]
    );
    let mut other = member(3, 20.0);
    other.free_slots = 2;
    assert_eq!(
        register(&mut tracker, Time::ZERO, other).supply[..5],
        [0, 0, 4, 6, 0]
    );
    record.free_slots = 1;
    assert_eq!(
        register(&mut tracker, Time::ZERO, record).supply[..5],
        [0, 0, 1, 3, 0]
    );
    tracker.leave(Time::ZERO, id(3));
    let answer = register(&mut tracker, Time::ZERO, member(5, 20.0));
    assert_eq!(answer.supply[..6], [0, 0, 1, 1, 0, 4]);
    assert_eq!((answer.members, answer.supply.len()), (2, 16));
}

#[test]
fn the_mix_has_near_ones_ones_toward_the_source_jumps_and_strangers() {
    let mut tracker = line(1000);
    let named = named(&mut tracker, member(2000, 500.4), 40, SubstreamSet::EMPTY);
    assert_eq!(named.len(), 40);
    assert_eq!(named.iter().collect::<BTreeSet<_>>().len(), 40, "nobody twice");
    let count = |range: std::ops::RangeInclusive<u32>| named.iter().filter(|n| range.contains(n)).count();
    // 16 toward the source and, of the near ones that are not among them, those on the far side.
    assert!(count(470..=500) >= 16, "{named:?}");
    assert!(count(501..=511) >= 4, "{named:?}");
    assert!(count(1..=300) >= 10, "{named:?}");
    // The first ten already hold some of each.
    let first = |range: std::ops::RangeInclusive<u32>| named[..10].iter().any(|n| range.contains(n));
    assert!(
        first(470..=500) && first(501..=511) && first(1..=300),
        "{named:?}"
    );
}

#[test]
fn a_small_swarm_is_named_whole() {
    let mut tracker = line(30);
    let mut named = named(&mut tracker, member(99, 15.0), 40, SubstreamSet::EMPTY);
    named.sort_unstable();
    assert_eq!(named, (1..=30).collect::<Vec<_>>());
}

#[test]
fn an_unplaced_joiner_is_told_of_low_lags() {
    let mut tracker = tracker();
    for n in 1..=200 {
        let mut record = member(n, f64::from(n));
        record.lag_ms = Some(if n % 10 == 0 { 50 } else { 5000 });
        register(&mut tracker, Time::ZERO, record);
    }
    let mut joiner = member(999, 0.0);
    joiner.coord = Coord::ORIGIN;
    let named = named(&mut tracker, joiner, 20, SubstreamSet::EMPTY);
    let low = named.iter().filter(|n| *n % 10 == 0).count();
    assert!(low >= 15, "{named:?}");
    assert!(low < 20, "and some strangers: {named:?}");
}

#[test]
fn donors_near_the_source_are_favoured() {
    let mut tracker = tracker();
    for n in 1..=400 {
        let mut record = member(n, f64::from(n));
        record.role = if n % 2 == 0 { Role::Donor } else { Role::Consumer };
        register(&mut tracker, Time::ZERO, record);
    }
    let (mut donors, mut jumps) = (0, 0);
    for n in 500..520 {
        let named = named(&mut tracker, member(n, 500.0), 40, SubstreamSet::EMPTY);
        let nearest_donors = (370..=400).step_by(2).filter(|n| named.contains(n)).count();
        assert!(n > 500 || nearest_donors == 16, "{named:?}");
        // Below 300 are the jumps and a few at random.
        for n in named {
            donors += u32::from(n < 300 && n % 2 == 0);
            jumps += u32::from(n < 300);
        }
    }
    assert!(
        donors * 10 > jumps * 6,
        "half of all are donors, of {jumps} jumps {donors}"
    );
}

/// Asserts that `record` is never named.
#[track_caller]
fn check_never_named(change: impl FnOnce(&mut PeerRecord)) {
    let mut tracker = tracker();
    let mut record = member(1, 10.0);
    change(&mut record);
    let supply = register(&mut tracker, Time::ZERO, record).supply;
    assert_eq!(supply, [0; 16], "what it has is of no use to anybody");
    assert_eq!(
        named(&mut tracker, member(2, 11.0), 40, SubstreamSet::one(Substream(1))),
        [0; 0]
    );
}

#[test]
fn who_cannot_help_is_never_named() {
    check_never_named(|r| r.addrs = [].into_iter().collect());
    check_never_named(|r| r.role = Role::Passive);
    check_never_named(|r| r.slots = 0);
    for nonsense in [
        "0.0.0.0:4000",
        "10.0.0.1:0",
        "224.0.0.1:4000",
        "255.255.255.255:4000",
        "[::]:1",
    ] {
        check_never_named(|r| r.addrs = [nonsense.parse().unwrap()].into_iter().collect());
    }
}

#[test]
fn who_speaks_only_ipv6_is_not_named_to_who_speaks_only_ipv4() {
    let mut tracker = tracker();
    let mut six = member(1, 10.0);
    six.addrs = ["[2001:db8::1]:4000".parse().unwrap()].into_iter().collect();
    register(&mut tracker, Time::ZERO, six.clone());
    assert_eq!(
        named(&mut tracker, member(2, 11.0), 40, SubstreamSet::EMPTY),
        [0; 0]
    );
    let mut dials_out = member(3, 11.0);
    dials_out.addrs = [].into_iter().collect();
    assert_eq!(named(&mut tracker, dials_out, 40, SubstreamSet::EMPTY), [1, 2]);
    six.peer = id(4);
    assert_eq!(named(&mut tracker, six, 40, SubstreamSet::EMPTY), [1]);
}

#[test]
fn a_boast_is_brought_into_bounds() {
    let mut tracker = tracker();
    let mut record = member(1, 10.0);
    record.peer = id(77);
    record.slots = u16::MAX;
    record.free_slots = u16::MAX;
    record.primaries = SubstreamSet(u64::MAX);
    tracker
        .join(Time::ZERO, id(1), at(id(1)), &ask(record, 0, SubstreamSet::EMPTY))
        .unwrap();
    let believed = tracker.records().next().unwrap();
    assert_eq!(believed.peer, id(1), "the id is the connection's");
    assert_eq!(
        (believed.slots, believed.free_slots),
        (registry::MAX_SLOTS, registry::MAX_SLOTS)
    );
    assert_eq!(believed.primaries, SubstreamSet::all(16));
}

#[test]
fn nobody_else_is_the_peercaster() {
    let mut tracker = tracker();
    let mut impostor = member(1, 0.0);
    impostor.role = Role::Peercaster;
    let answer = tracker.join(
        Time::ZERO,
        id(1),
        at(id(1)),
        &ask(impostor, 40, SubstreamSet::EMPTY),
    );
    assert_eq!(answer, Err(RefuseReason::Misbehaved));
    let answer = tracker.join(
        Time::ZERO,
        HOST,
        at(HOST),
        &ask(member(2, 0.0), 40, SubstreamSet::EMPTY),
    );
    assert_eq!(answer, Err(RefuseReason::Misbehaved));
    assert_eq!(tracker.members(), 0);
}

#[test]
fn a_flood_is_refused_also_across_leaving() {
    let mut tracker = tracker();
    let join = ask(member(1, 10.0), 40, SubstreamSet::EMPTY);
    let mut accepted = 0;
    for attempt in 0..100 {
        if tracker
            .join(Time::from_millis(attempt), id(1), at(id(1)), &join)
            .is_ok()
        {
            accepted += 1;
        }
        if attempt % 2 == 0 {
            tracker.leave(Time::from_millis(attempt), id(1));
        }
    }
    assert_eq!(accepted, 8);
    // After a pause it is served again, and others were all the time.
    assert!(
        tracker
            .join(Time::from_millis(100), id(2), at(id(2)), &join)
            .is_ok()
    );
    assert!(
        tracker
            .join(Time::from_millis(600), id(1), at(id(1)), &join)
            .is_ok()
    );
}

#[test]
fn a_full_tracker_refuses_newcomers_and_keeps_members() {
    let mut config = TrackerConfig::new(HOST, 16, 7);
    config.max_members = 3;
    let mut tracker = Tracker::new(config);
    for n in 1..=3 {
        register(&mut tracker, Time::ZERO, member(n, 10.0));
    }
    let newcomer = ask(member(4, 10.0), 40, SubstreamSet::EMPTY);
    assert_eq!(
        tracker.join(Time::ZERO, id(4), at(id(4)), &newcomer),
        Err(RefuseReason::Full)
    );
    register(&mut tracker, Time::ZERO, member(3, 10.0));
    tracker.leave(Time::ZERO, id(1));
    assert!(tracker.join(Time::ZERO, id(4), at(id(4)), &newcomer).is_ok());
}

#[test]
fn the_source_may_move() {
    let mut tracker = line(1000);
    tracker.set_source(Coord {
        x_ms: 512.0,
        y_ms: 0.0,
        height_ms: 0.0,
    });
    let named = named(&mut tracker, member(2000, 200.4), 40, SubstreamSet::EMPTY);
    let toward = named.iter().filter(|n| (201..=300).contains(*n)).count();
    assert!(toward >= 16, "{named:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Join {
        peer: u32,
        record: PeerRecord,
        want: u8,
        need: u64,
    },
    Leave(u32),
    Wait(u64),
    Source(f64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![
        4 => Just(Role::Consumer), 2 => Just(Role::Donor), 1 => Just(Role::Passive),
        1 => Just(Role::Peercaster), 1 => Just(Role::Unknown)
    ];
    let record = (
        0..40u32,
        -512.0..512.0f64,
        role,
        any::<(u16, u16, u64, Option<u16>, bool)>(),
    )
        .prop_map(|(n, x, role, (slots, free, primaries, lag, reachable))| {
            let mut record = member(n, x);
            record.role = role;
            record.slots = slots;
            record.free_slots = free;
            record.primaries = SubstreamSet(primaries);
            record.lag_ms = lag;
            if !reachable {
                record.addrs = [].into_iter().collect();
            }
            record
        });
    prop_oneof![
        6 => (0..40u32, record, any::<u8>(), any::<u64>())
            .prop_map(|(peer, record, want, need)| Step::Join { peer, record, want, need }),
        1 => (0..40u32).prop_map(Step::Leave),
        2 => (0..4_000_000u64).prop_map(Step::Wait),
        1 => (-512.0..512.0).prop_map(Step::Source),
    ]
}

/// Runs the steps, checks what must hold after each, and returns everything that was answered.
fn run(steps: &[Step]) -> Vec<Result<Answer, RefuseReason>> {
    let mut config = TrackerConfig::new(HOST, 16, 7);
    config.max_members = 30;
    let mut tracker = Tracker::new(config);
    let mut now = Time::ZERO;
    let mut answers = Vec::new();
    for step in steps {
        match step {
            Step::Wait(us) => now += Duration::from_micros(*us),
            Step::Leave(peer) => tracker.leave(now, id(*peer)),
            Step::Source(x_ms) => tracker.set_source(Coord {
                x_ms: *x_ms,
                ..Coord::ORIGIN
            }),
            Step::Join {
                peer,
                record,
                want,
                need,
            } => {
                let answer = tracker.join(
                    now,
                    id(*peer),
                    at(id(*peer)),
                    &ask(record.clone(), *want, SubstreamSet(*need)),
                );
                if let Ok(answer) = &answer {
                    check(&tracker, *peer, *want, SubstreamSet(*need), answer);
                }
                answers.push(answer);
            }
        }
        tracker.handle_deadline(now);
        assert!(tracker.next_deadline().is_none_or(|at| at > now));
        assert!(tracker.members() <= 30);
    }
    answers
}

fn check(tracker: &Tracker, asker: u32, want: u8, need: SubstreamSet, answer: &Answer) {
    let registered: BTreeSet<PeerId> = tracker.records().map(|record| record.peer).collect();
    let distinct: BTreeSet<PeerId> = answer.peers.iter().map(|(peer, _)| peer.peer).collect();
    assert_eq!(distinct.len(), answer.peers.len(), "nobody is named twice");
    let nameable = |r: &&PeerRecord| {
        r.peer != id(asker) && r.role != Role::Passive && r.slots > 0 && !r.addrs.is_empty()
    };
    let most = usize::from(want).min(wire::message::MAX_PEERS);
    assert_eq!(
        answer.peers.len(),
        tracker.records().filter(nameable).count().min(most)
    );
    let mut seated = SubstreamSet::EMPTY;
    for (peer, seats) in &answer.peers {
        assert!(nameable(&peer) && registered.contains(&peer.peer));
        assert!(seats.and(seated).is_empty(), "no substream has two seats");
        seated = seated.or(*seats);
        let given = tracker.records().find(|r| r.peer == peer.peer).unwrap();
        assert_eq!(seats.minus(given.has.or(given.primaries)), SubstreamSet::EMPTY);
    }
    assert_eq!(seated.minus(need), SubstreamSet::EMPTY);
    for substream in 0..16 {
        let passes_on = |r: &&PeerRecord| {
            r.role != Role::Passive && r.primaries.and(r.has).contains(Substream(substream))
        };
        let reachable = tracker
            .records()
            .filter(passes_on)
            .filter(|r| r.slots > 0 && !r.addrs.is_empty());
        let sum: u32 = reachable.map(|r| u32::from(r.free_slots)).sum();
        assert_eq!(u32::from(answer.supply[usize::from(substream)]), sum.min(65_535));
    }
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_promises_and_repeats(steps in prop::collection::vec(any_step(), 0..120)) {
        prop_assert_eq!(run(&steps), run(&steps));
    }
}
