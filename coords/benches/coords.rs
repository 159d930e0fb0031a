//! Cost of the operations on the hot path of placement: `cargo bench -p headwater-coords`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use headwater_coords::hcurve::{Order, cell_at, coord_at, index_of, position_of};
use headwater_coords::vivaldi::{Config, Probe, Vivaldi};
use headwater_coords::{Coord, coord::distance_ms};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Inputs that the branch predictor cannot learn.
const INPUTS: usize = 4096;

fn inputs<T>(mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> T) -> impl FnMut() -> T
where
    T: Copy,
{
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let drawn: Vec<T> = (0..INPUTS).map(|_| draw(&mut rng)).collect();
    let mut next = 0;
    move || {
        next = (next + 1) % INPUTS;
        drawn[next]
    }
}

fn place(rng: &mut Xoshiro256PlusPlus) -> Coord {
    Coord {
        x_ms: rng.random_range(-200.0..200.0),
        y_ms: rng.random_range(-200.0..200.0),
        height_ms: rng.random_range(0.5..10.0),
    }
}

fn hcurve(c: &mut Criterion) {
    let mut cells = inputs(|rng| (rng.random::<u32>(), rng.random::<u32>()));
    c.bench_function("hcurve/index_of k=32", |b| {
        b.iter(|| {
            let (x, y) = cells();
            index_of(Order::RING, black_box(x), black_box(y))
        });
    });
    let mut indices = inputs(|rng| rng.random::<u64>());
    c.bench_function("hcurve/cell_at k=32", |b| {
        b.iter(|| cell_at(Order::RING, black_box(indices())));
    });
    let mut places = inputs(place);
    c.bench_function("hcurve/position_of", |b| {
        b.iter(|| position_of(black_box(&places())));
    });
    c.bench_function("hcurve/coord_at", |b| b.iter(|| coord_at(black_box(indices()))));
}

fn vivaldi(c: &mut Criterion) {
    for neighbours in [12u64, 64] {
        // Settled at its place, with 10 % jitter: the state in which a peer spends its life.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let peers: Vec<Coord> = (0..neighbours).map(|_| place(&mut rng)).collect();
        let here = place(&mut rng);
        let mut samples = inputs(|rng| {
            let key = rng.random_range(0..neighbours);
            let remote = peers[key as usize];
            (
                key,
                remote,
                distance_ms(&here, &remote) * rng.random_range(1.0..1.1),
            )
        });
        let mut vivaldi = Vivaldi::new(Config::default(), 1);
        let mut observe = || {
            let (key, remote, rtt_ms) = samples();
            vivaldi.observe(key, black_box(remote), black_box(0.1), black_box(rtt_ms))
        };
        for _ in 0..INPUTS {
            observe();
        }
        c.bench_function(&format!("vivaldi/observe, {neighbours} neighbours"), |b| {
            b.iter(&mut observe);
        });
    }

    let mut joins = inputs(|rng| {
        let here = place(rng);
        std::array::from_fn::<_, 8, _>(|_| {
            let remote = place(rng);
            let rtt_ms = distance_ms(&here, &remote) * rng.random_range(1.0..1.1);
            Probe {
                remote,
                remote_error: 0.1,
                rtt_ms,
            }
        })
    });
    c.bench_function("vivaldi/join, 8 probes", |b| {
        b.iter(|| {
            let mut vivaldi = Vivaldi::new(Config::default(), 1);
            vivaldi.join(black_box(&joins()));
            vivaldi.coord()
        });
    });
}

criterion_group!(benches, hcurve, vivaldi);
criterion_main!(benches);
