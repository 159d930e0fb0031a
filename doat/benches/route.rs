//! Cost of a routing decision in a ring of 2000, where a member has eleven entries in each direction: `cargo bench -p
//! headwater-doat`.

use std::hint::black_box;

use coords::Coord;
use criterion::{Criterion, criterion_group, criterion_main};
use headwater_doat::{Doat, Filter, Outbox, Output, Way};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use wire::message::{FilterState, Find, Found, RingNews, RingNode, Watched};
use wire::{List, Message, PeerId, SecretKey, StreamId, Time};

const MEMBERS: usize = 2_000;
const NOW: Time = Time::from_millis(1_000);

fn stream(n: u8) -> StreamId {
    SecretKey::from_bytes(&[n; 32]).stream_id()
}

/// All members in the order of the ring.
fn ring() -> Vec<RingNode> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut anywhere = || {
        let coord = Coord {
            x_ms: rng.random_range(-150.0..150.0),
            y_ms: rng.random_range(-150.0..150.0),
            height_ms: 1.0,
        };
        let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 4_000));
        RingNode::new(
            PeerId::from_bytes(rng.random()),
            &coord,
            std::iter::once(addr).collect(),
        )
    };
    let mut ring: Vec<RingNode> = (0..MEMBERS).map(|_| anywhere()).collect();
    ring.sort_by_key(|node| (node.position(), node.peer));
    ring
}

/// The member that comes first, with full lists and entries; only the widest entry upwards leads to `far`.
fn member(ring: &[RingNode], far: StreamId) -> Doat {
    let at = |way: Way, rank: usize| match way {
        Way::Up => &ring[rank % MEMBERS],
        Way::Down => &ring[(MEMBERS - rank) % MEMBERS],
    };
    let mut node = Doat::new(NOW, ring[0].clone(), 1);
    let mut out = Outbox::new();
    node.start(NOW);
    for way in Way::BOTH {
        for rank in 1..=8 {
            let news = RingNews {
                me: at(way, rank).clone(),
                successors: List::default(),
                predecessors: List::default(),
                answer: false,
                revision: 1,
            };
            node.handle(NOW, at(way, rank).peer, news.into(), &mut out);
        }
    }
    let levels = (MEMBERS as f64).log2().ceil() as usize;
    for way in Way::BOTH {
        for level in 0..levels {
            let mut filter = Filter::default();
            // Other streams, as many as in an overlay with one for every second member.
            for n in 0..(1usize << level).min(250) / 2 {
                filter.insert(stream(n as u8));
            }
            if level + 1 == levels && way == Way::Up {
                filter.insert(far);
            }
            let told = Watched {
                up: way.is_up(),
                level: level as u8,
                finger: Some(at(way, 2 << level).clone()),
                state: FilterState { epoch: 1, seq: 1 },
                since: None,
                change: filter.change_from(&Filter::default()),
                check: filter.check(),
            };
            node.handle(NOW, at(way, 1 << level).peer, told.into(), &mut out);
        }
        assert_eq!(node.fingers(way).count(), levels);
    }
    node
}

fn route(c: &mut Criterion) {
    let (ring, far) = (ring(), stream(251));
    let mut node = member(&ring, far);
    let asker = ring[MEMBERS / 2].peer;
    let find = |stream: StreamId| Find {
        stream,
        nonce: 7,
        up: Some(true),
        near: None,
        begun_at: ring[MEMBERS - 9].position(),
        begun_by: ring[MEMBERS - 9].peer,
        hops: 1,
        attempt: 0,
        guest: None,
        except: None,
    };
    let mut out = Outbox::new();
    c.bench_function("route/nowhere", |b| {
        let question = Message::from(find(stream(252)));
        b.iter(|| {
            out.clear();
            node.handle(NOW, asker, black_box(question.clone()), &mut out);
            assert!(matches!(&out[..], [Output::Send { to, .. }] if *to == asker));
        });
    });
    c.bench_function("route/by the widest entry, and back", |b| {
        let question = Message::from(find(far));
        b.iter(|| {
            out.clear();
            node.handle(NOW, asker, black_box(question.clone()), &mut out);
            let Some(Output::Send { to, message, .. }) = out.pop() else {
                panic!("{out:?}")
            };
            let Message::Find(passed_on) = *message else {
                panic!("passed on")
            };
            let found = Found {
                nonce: passed_on.nonce,
                up: true,
                hops: 2,
                lease: None,
            };
            node.handle(NOW, to, found.into(), &mut out);
            assert_eq!(out.len(), 1);
        });
    });
}

criterion_group!(benches, route);
criterion_main!(benches);
