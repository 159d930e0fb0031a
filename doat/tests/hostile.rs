//! Whatever strangers say, a member does not panic, keeps what it holds bounded and stays in its ring.

mod support;

use std::time::Duration;

use coords::Coord;
use headwater_doat::{Filter, Outbox, Output, Way};
use proptest::prelude::*;
use support::{Net, stream, stream_key};
use wire::message::*;
use wire::{List, Message, PeerId, SecretKey, Signed};

fn any_node() -> impl Strategy<Value = RingNode> {
    let ms = || {
        prop_oneof![
            12 => -600.0..600.0f64,
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ]
    };
    (0..12u8, ms(), ms(), ms()).prop_map(|(n, x_ms, y_ms, height_ms)| RingNode {
        peer: PeerId::from_bytes([n; 32]),
        // As it is: over the wire no such number comes.
        coord: Coord {
            x_ms,
            y_ms,
            height_ms,
        },
        addrs: List::default(),
    })
}

fn any_nodes<const N: usize>() -> impl Strategy<Value = List<RingNode, N>> {
    prop::collection::vec(any_node(), 0..=N).prop_map(|nodes| nodes.into_iter().collect())
}

fn any_change() -> impl Strategy<Value = FilterChange> {
    prop_oneof![
        prop::collection::vec(any::<u16>(), 0..20)
            .prop_map(|bits| FilterChange::Flips(bits.into_iter().collect())),
        prop::collection::vec(any::<u8>(), 0..3_000).prop_map(FilterChange::Whole),
    ]
}

fn any_state() -> impl Strategy<Value = FilterState> {
    (0..3u32, 0..3u32).prop_map(|(epoch, seq)| FilterState { epoch, seq })
}

/// One in two is signed by its tracker, and one in two appointed by the stream's key.
fn any_lease() -> impl Strategy<Value = Lease> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u16>());
    let honest = any::<(bool, bool)>();
    (0..4u8, 1..4u8, any_node(), numbers, honest).prop_map(|(n, by, tracker, numbers, honest)| {
        let key = stream_key(by);
        let tracker = if honest.0 {
            RingNode::new(key.peer_id(), &tracker.coord, List::default())
        } else {
            tracker
        };
        let peer = tracker.peer;
        let (serial, ttl_ms, members, short) = numbers;
        let lease = TrackerLease {
            stream: stream(n),
            tracker,
            siblings: List::default(),
            serial,
            ttl_ms,
            members,
            short,
        };
        let appointed_by = if honest.1 { n } else { by };
        Lease {
            lease: Signed::new(&lease, &key),
            tracker: peer,
            appointment: Appointment::sign(&stream_key(appointed_by), peer, serial),
        }
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let nonce = || prop_oneof![any::<u64>(), 0..4u64];
    prop_oneof![
        (any::<u64>(), nonce(), any::<u8>()).prop_map(|(position, nonce, hops)| RingSeek {
            position,
            nonce,
            hops
        }
        .into()),
        (nonce(), any::<u8>(), any_nodes())
            .prop_map(|(nonce, hops, nodes)| RingSeen { nonce, hops, nodes }.into()),
        (any_node(), any_nodes(), any_nodes(), any::<bool>()).prop_map(
            |(me, successors, predecessors, answer)| {
                RingNews {
                    me,
                    successors,
                    predecessors,
                    answer,
                    revision: 1,
                }
                .into()
            }
        ),
        any_nodes().prop_map(|nodes| RingLeave { nodes }.into()),
        (any::<bool>(), any::<u8>(), prop::option::of(any_state())).prop_map(|(up, level, have)| Watch {
            up,
            level,
            have,
            finger: have.map(|_| 0),
        }
        .into()),
        (0..3u32, prop::option::of(0..3u32), any::<bool>()).prop_map(|(mine, yours, answer)| RingPulse {
            mine,
            yours,
            answer
        }
        .into()),
        (any::<bool>(), any::<u8>()).prop_map(|(up, level)| Unchanged { up, level }.into()),
        (
            any::<bool>(),
            0..30u8,
            prop::option::of(any_node()),
            any_state(),
            prop::option::of(0..3u32),
            any_change(),
            any::<u32>()
        )
            .prop_map(|(up, level, finger, state, since, change, check)| {
                Watched {
                    up,
                    level,
                    finger,
                    state,
                    since,
                    change,
                    check,
                }
                .into()
            }),
        (
            0..4u8,
            nonce(),
            prop::option::of(any::<bool>()),
            any::<u64>(),
            0..12u8,
            any::<u8>()
        )
            .prop_map(|(n, nonce, up, begun_at, by, hops)| {
                let begun_by = PeerId::from_bytes([by; 32]);
                Find {
                    stream: stream(n),
                    nonce,
                    up,
                    near: up.is_none().then_some(begun_at),
                    begun_at,
                    begun_by,
                    hops,
                    attempt: 0,
                    guest: None,
                    except: None,
                }
                .into()
            }),
        (nonce(), any::<bool>(), any::<u8>(), prop::option::of(any_lease())).prop_map(
            |(nonce, up, hops, lease)| Found {
                nonce,
                up,
                hops,
                lease
            }
            .into()
        ),
        any_lease().prop_map(Message::Lease),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_strangers_say_it_neither_panics_nor_grows(
        said in prop::collection::vec((0..12u8, any_message(), 0..400u64), 1..200),
    ) {
        let mut net = Net::new(1);
        let peer = net.add(&Coord::default());
        let node = net.nodes.get_mut(&peer).expect("there");
        let mut now = net.now;
        let mut answers = 0;
        for (from, message, passed_ms) in said {
            let mut out = Outbox::new();
            node.handle(now, PeerId::from_bytes([from; 32]), message, &mut out);
            // One message makes it ask no more than the lists of one message can name.
            prop_assert!(out.len() <= 80, "{}", out.len());
            now += Duration::from_millis(passed_ms);
            while node.next_deadline() <= now {
                node.handle_deadline(now, &mut out);
            }
            answers += out.len();
            let to_itself = out.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == peer));
            prop_assert!(!to_itself, "it talks to itself");
            for way in Way::BOTH {
                prop_assert!(node.ring().list(way).len() <= MAX_RING_LIST);
                prop_assert!(node.fingers(way).count() <= usize::from(MAX_RING_LEVELS));
            }
            prop_assert!(node.under_way() <= 3_328 && node.leases() <= 12);
        }
        prop_assert!(answers < 200_000);
        prop_assert!(node.is_member());
    }
}

/// A member that answers look-ups with nonsense costs others no more than its own share.
#[test]
fn an_answer_from_somebody_who_was_not_asked_counts_nothing() {
    let mut net = Net::new(2);
    for _ in 0..20 {
        let coord = net.anywhere(false);
        net.add(&coord);
        net.pass(Duration::from_millis(100));
    }
    net.pass(Duration::from_secs(20));
    let asker = net.ring()[3].peer;
    let tracker = net.ring()[12].peer;
    net.lease(tracker, 1, Vec::new());
    net.pass(Duration::from_secs(2));
    let query = net.find(asker, stream(1));
    let stranger = PeerId::from_bytes([9; 32]);
    let foreign = net.signed_lease(asker, 1);
    let node = net.nodes.get_mut(&asker).expect("there");
    let mut out = Outbox::new();
    for nonce in query.1.saturating_sub(4)..query.1 + 8 {
        let found = Found {
            nonce,
            up: true,
            hops: 0,
            lease: Some(foreign.clone()),
        };
        node.handle(net.now, stranger, found.into(), &mut out);
    }
    assert_eq!(out, []);
    net.pass(Duration::from_secs(3));
    let answer = net.answer(query);
    assert_eq!(answer.ways, 2);
    assert!(answer.trackers.iter().all(|found| found.peer == tracker) && !answer.trackers.is_empty());
    assert_eq!(net.misbehaved, []);
}

/// Somebody names ever new members that are not there.
#[test]
fn those_who_are_only_named_are_asked_in_bounds() {
    let mut net = Net::new(3);
    let peer = net.add(&Coord::default());
    let node = net.nodes.get_mut(&peer).expect("there");
    let mut now = net.now;
    let mut asked = 0;
    for round in 0..200u32 {
        let stranger = |n: u32| {
            let id = (round * 100 + n + 1).to_le_bytes();
            let id = PeerId::from_bytes(std::array::from_fn(|i| id[i % 4]));
            let coord = Coord {
                x_ms: f64::from(n) - 8.0,
                ..Coord::default()
            };
            RingNode::new(id, &coord, List::default())
        };
        let news = RingNews {
            me: stranger(50),
            successors: (0..8).map(stranger).collect(),
            predecessors: (8..16).map(stranger).collect(),
            answer: false,
            revision: round,
        };
        let mut out = Outbox::new();
        node.handle(now, PeerId::from_bytes([7; 32]), news.into(), &mut out);
        asked += out.len();
        now += Duration::from_millis(1);
    }
    // A probe or two for each of 64, not for 3200.
    assert!((16..200).contains(&asked), "{asked}");
}

/// An answer that is late is waited for when nobody else could give one.
#[test]
fn who_is_slow_is_not_taken_for_who_has_nothing() {
    let mut net = Net::new(4);
    for _ in 0..20 {
        let coord = net.anywhere(false);
        net.add(&coord);
        net.pass(Duration::from_millis(100));
    }
    net.pass(Duration::from_secs(20));
    let (asker, tracker) = (net.ring()[3].peer, net.ring()[12].peer);
    net.lease(tracker, 1, Vec::new());
    net.pass(Duration::from_secs(2));
    let node = net.nodes.get_mut(&asker).expect("there");
    let mut out = Outbox::new();
    node.find(net.now, stream(1), &[], &mut out);
    let asked = |out: &Outbox| {
        let finds = out.iter().filter(|output| match output {
            Output::Send { message, .. } => matches!(**message, Message::Find(_)),
            Output::Event(_) => false,
        });
        finds.count()
    };
    assert_eq!(asked(&out), 2, "one in each direction");
    // Longer than an answer takes, and not yet long enough for anybody to count as gone.
    node.handle_deadline(net.now + Duration::from_millis(2_100), &mut out);
    let answers = out.iter().any(|output| matches!(output, Output::Event(_)));
    assert!(!answers, "{out:?}");
}

/// One member in ten swallows look-ups: it says that there is nothing, as whoever knows of nothing does.
#[test]
fn those_who_swallow_look_ups_keep_hardly_anything_from_the_others() {
    let mut net = Net::new(5);
    for _ in 0..150 {
        let coord = net.anywhere(true);
        net.add(&coord);
        net.pass(Duration::from_millis(50));
    }
    net.pass(Duration::from_secs(20));
    let ring = net.ring();
    let tracker = ring[12].peer;
    net.lease(tracker, 1, Vec::new());
    net.pass(Duration::from_secs(3));
    net.swallow = ring.iter().skip(5).step_by(10).map(|node| node.peer).collect();
    assert!(net.swallow.len() == 15 && !net.swallow.contains(&tracker));
    let askers = ring.iter().filter(|node| !net.swallow.contains(&node.peer));
    let askers: Vec<PeerId> = askers.map(|node| node.peer).collect();
    let queries: Vec<_> = askers.iter().map(|asker| net.find(*asker, stream(1))).collect();
    net.pass(Duration::from_secs(7));
    let mut found = 0;
    for query in queries {
        let answer = net.answer(query);
        assert_eq!(answer.ways, 2, "one answer for each direction");
        found += u32::from(!answer.trackers.is_empty());
    }
    assert!(found >= 134, "{found} of {}", askers.len());
}

/// A filter with everything in it is told of, and whoever sent it is nobody's finger.
#[test]
fn a_filter_that_has_everything_is_a_lie() {
    let mut net = Net::new(6);
    for _ in 0..40 {
        let coord = net.anywhere(false);
        net.add(&coord);
        net.pass(Duration::from_millis(100));
    }
    net.pass(Duration::from_secs(20));
    let ring = net.ring();
    let (me, now) = (ring[3].peer, net.now);
    let level = 3;
    let finger = net.nodes[&me].fingers(Way::Up).nth(level).expect("there").peer;
    let all = Filter::default()
        .changed(&FilterChange::Whole(vec![0xff; 2_048]))
        .expect("of the right length");
    let told = Watched {
        up: true,
        level: level as u8,
        finger: None,
        state: FilterState { epoch: 7, seq: 1 },
        since: None,
        change: FilterChange::Whole(vec![0xff; 2_048]),
        check: all.check(),
    };
    net.act(me, |node, out| node.handle(now, finger, told.into(), out));
    assert_eq!(net.misbehaved, [finger]);
    net.pass(Duration::from_secs(5));
    let node = &net.nodes[&me];
    assert_eq!(node.claims(Way::Up, stream(9)).0, 0, "nothing of it is left");
    assert!(node.fingers(Way::Up).all(|node| node.peer != finger));
    assert!(
        node.fingers(Way::Up).count() >= 5,
        "somebody else is in its place"
    );
}

/// More registrations than there is room for, from one peer, and from many peers at one address. What comes beyond that, be it a
/// hundred thousand, meets the same checks: these are as many as signing takes a second or two for.
#[test]
fn whoever_registers_without_end_fills_its_own_room() {
    let mut net = Net::new(7);
    let peer = net.add(&Coord::default());
    let lease_of = |tracker: u32, of: u32, addr: [u8; 4]| {
        let secret = |n: u32, kind: u8| {
            let mut secret = [kind; 32];
            secret[..4].copy_from_slice(&n.to_le_bytes());
            SecretKey::from_bytes(&secret)
        };
        let (tracker, stream) = (secret(tracker, 1), secret(of, 2));
        let addr = std::net::SocketAddr::from((addr, 4_000));
        let lease = TrackerLease {
            stream: stream.stream_id(),
            tracker: RingNode::new(
                tracker.peer_id(),
                &Coord::default(),
                std::iter::once(addr).collect(),
            ),
            siblings: List::default(),
            serial: 1,
            ttl_ms: 30_000,
            members: 1,
            short: 0,
        };
        Lease {
            lease: Signed::new(&lease, &tracker),
            tracker: tracker.peer_id(),
            appointment: Appointment::sign(&stream, tracker.peer_id(), 1),
        }
    };
    let now = net.now;
    let node = net.nodes.get_mut(&peer).expect("there");
    let mut out = Outbox::new();
    // One peer, ever new streams.
    for of in 0..1_000 {
        let lease = lease_of(0, of, [10, 0, 0, 1]);
        node.handle(now, lease.tracker, lease.into(), &mut out);
    }
    assert_eq!(node.leases(), 64);
    // Many peers at one address: more than the table holds.
    for n in 1..5_000 {
        let lease = lease_of(n, n, [10, 0, 0, 1]);
        node.handle(now, lease.tracker, lease.into(), &mut out);
    }
    assert_eq!(node.leases(), 4_096);
    // Others get in all the same.
    for n in 0..50u8 {
        let lease = lease_of(10_000 + u32::from(n), 10_000, [10, 0, 1, n]);
        node.register(now, &lease, &mut out).expect("room");
    }
    assert_eq!(node.leases(), 4_096);
    out.retain(|output| matches!(output, Output::Event(_)));
    assert_eq!(out, [], "none of this is a lie");
}
