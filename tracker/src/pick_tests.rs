use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use coords::Coord;
use proptest::prelude::*;
use rand::SeedableRng;
use wire::message::Role;
use wire::{PeerId, Time};

use super::*;
use crate::registry::Terms;

/// A member of any kind: placed or not, with lag or without, with room, full, overbooked, passive, a donor, with children to move.
fn record(n: u32, rng: &mut ChaCha8Rng) -> PeerRecord {
    let placed = rng.random_bool(0.9);
    let mut side = |most: f64| {
        if placed {
            rng.random_range(-most..most)
        } else {
            0.0
        }
    };
    let (x_ms, y_ms) = (side(112.0), side(84.0));
    let set = |rng: &mut ChaCha8Rng| SubstreamSet(u64::from(rng.random::<u16>()));
    let has = if rng.random_bool(0.8) {
        SubstreamSet::all(16)
    } else {
        set(rng)
    };
    PeerRecord {
        peer: PeerId::from_bytes(std::array::from_fn(|_| rng.random())),
        addrs: [SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)), 4000)]
            .into_iter()
            .collect(),
        coord: Coord {
            x_ms,
            y_ms,
            height_ms: rng.random_range(0.1..10.0),
        },
        role: [Role::Consumer, Role::Consumer, Role::Donor, Role::Passive][rng.random_range(0..4)],
        slots: 16,
        free_slots: rng.random_range(0..4),
        primaries: set(rng),
        leaves: set(rng),
        has,
        lag_ms: rng.random_bool(0.8).then(|| rng.random_range(50..500)),
    }
}

fn registry(members: u32, rng: &mut ChaCha8Rng) -> Registry {
    let mut registry = Registry::new(16);
    let terms = Terms {
        expires: Time::NEVER,
        ready: Time::ZERO,
        origin: None,
        itself: true,
    };
    for n in 0..members {
        let record = record(n, rng);
        let at = registry.renew(Time::ZERO, record.peer, (&record, 0), terms);
        registry.hold(at, rng.random_range(0..5));
    }
    registry.set_source(Coord {
        x_ms: 20.0,
        y_ms: -10.0,
        height_ms: 1.0,
    });
    registry
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whoever the sieve passes over would not have been among the best.
    #[test]
    fn the_sieve_hides_nobody(members in 2u32..1500, seed: u64, need: u16) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut registry = registry(members, &mut rng);
        for _ in 0..members / 10 {
            let gone = registry.peer(rng.random_range(0..registry.spots().len()));
            registry.leave(Time::ZERO, gone, 0);
        }
        let joiner = rng.random_range(0..registry.spots().len());
        let me = registry.spots()[joiner].clone();
        let need = SubstreamSet(u64::from(need));
        let wants = Wants { need, passed_on: need.and(registry.sets()[joiner].primaries) };
        let sifted = Candidates::scan(&registry, &mut rng.clone(), &me, Some(joiner), 40, wants);
        let mut all = Candidates::new(&mut rng, &me, 40, wants);
        for (at, spot) in registry.spots().iter().enumerate().filter(|(at, _)| *at != joiner) {
            all.consider(at, spot, &me, &registry.sets()[at]);
        }
        for substream in SubstreamSet::all(16).iter() {
            let of = |candidates: &Candidates| candidates.helpers.of(substream).collect::<Vec<_>>();
            prop_assert_eq!(of(&sifted), of(&all));
        }
        prop_assert_eq!(sifted.near.into_ranked(), all.near.into_ranked());
        prop_assert_eq!(sifted.toward.into_ranked(), all.toward.into_ranked());
        prop_assert_eq!(sifted.jumps.into_ranked(), all.jumps.into_ranked());
    }
}
