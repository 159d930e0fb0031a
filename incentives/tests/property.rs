//! Shifts on networks that lose, double and turn around messages, among peers that crash at any write.
//!
//! Each case draws its world from a seed, which is printed when it fails: `SEED=n CASES=1 cargo test --test property`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_incentives::trust::{MIN_SHIFT, SHIFT_TIME};
use net::{MIB, Net, Weather};
use rand::RngExt as _;
use wire::trust::{ShiftId, TrustMessage};

/// What is done in one case.
struct World {
    net: Net,
    seed: u64,
    /// Debtor, creditor: bytes that were served and not lost on the way.
    debts: BTreeMap<(usize, usize), u64>,
    shifts: Vec<(ShiftId, Vec<usize>, u64)>,
}

/// Runs so many cases from a first seed on, or those that the environment names.
fn cases(first: u64, many: u64, case: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (first, many) = (number("SEED").unwrap_or(first), number("CASES").unwrap_or(many));
    for seed in first..first + many {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed))).is_err() {
            panic!("SEED={seed} CASES=1");
        }
    }
}

impl World {
    /// A ring of peers that owe each other, and some more debts across it.
    fn new(seed: u64) -> Self {
        let mut net = Net::new(3 + (seed % 4) as usize, seed);
        // Adverts have no part in this, and cost most of the time.
        net.drop_if =
            Some(|_, _, message| matches!(message, TrustMessage::Advertise(_) | TrustMessage::Walk(_)));
        let nodes = net.nodes.len();
        let mut debts = BTreeMap::new();
        for creditor in 0..nodes {
            for debtor in 0..nodes {
                let next = debtor == (creditor + 1) % nodes;
                if creditor != debtor && (next || net.rng.random_range(0..4) == 0) {
                    let bytes = net.rng.random_range(4..64) * MIB;
                    net.owe(debtor, creditor, bytes);
                    *debts.entry((debtor, creditor)).or_default() += bytes;
                }
            }
        }
        for a in 0..nodes {
            for b in a + 1..nodes {
                net.connect(a, b);
            }
        }
        net.run_for(Duration::from_secs(12));
        World {
            net,
            seed,
            debts,
            shifts: Vec::new(),
        }
    }

    /// One round: a few shifts in bad weather, with crashes, and then time enough.
    fn round(&mut self) {
        let net = &mut self.net;
        let nodes = net.nodes.len();
        net.weather = Weather {
            lost: [0, 10, 30, 60][net.rng.random_range(0..4)],
            doubled: net.rng.random_range(0..40),
            jitter_ms: [0, 50, 2000][net.rng.random_range(0..3)],
        };
        for _ in 0..net.rng.random_range(0..3) {
            let n = net.rng.random_range(0..nodes);
            let (write, written) = (net.rng.random_range(0..8), net.rng.random());
            net.crash_at_write(n, write, written);
        }
        // Past what a shift may take, too.
        net.down_for = Duration::from_millis(net.rng.random_range(0..20_000));
        for _ in 0..net.rng.random_range(1..4) {
            let begin = net.rng.random_range(0..nodes);
            let length = net.rng.random_range(3..=nodes.min(6));
            let path: Vec<_> = (0..length).map(|at| (begin + at) % nodes).collect();
            // Amounts that tell the shifts apart.
            let bytes = net.rng.random_range(MIN_SHIFT..2 * MIB);
            if net.is_up(begin)
                && let Some(id) = net.shift(&path, bytes)
            {
                self.shifts.push((id, path, bytes));
            }
            let pause = net.rng.random_range(0..600);
            net.run_for(Duration::from_millis(pause));
        }
        net.run_for(SHIFT_TIME);
        net.weather = Weather::default();
        for node in 0..nodes {
            net.crash_at_write(node, u64::MAX, false);
        }
        net.run_for(Duration::from_secs(40));
    }

    /// Every account is what was served and what the shifts moved that are committed, in both books.
    fn check(&mut self) {
        let seed = self.seed;
        let net = &mut self.net;
        net.assert_agreed(&format!("seed {seed}"));
        assert_eq!(
            net.pending(),
            0,
            "seed {seed}: nothing is under way when all timers ran out"
        );
        let mut expected: BTreeMap<(usize, usize), i128> = BTreeMap::new();
        let mut add = |debtor: usize, creditor: usize, bytes: i128| {
            *expected.entry((debtor, creditor)).or_default() += bytes;
            *expected.entry((creditor, debtor)).or_default() -= bytes;
        };
        for (&(debtor, creditor), &bytes) in &self.debts {
            add(debtor, creditor, bytes.into());
        }
        for (id, path, bytes) in &self.shifts {
            let committed = net.committed.contains(id);
            if let Some(told) = net.outcome(path[0], *id) {
                assert_eq!(
                    told, committed,
                    "seed {seed}: what the requester of {id:?} was told"
                );
            }
            if committed {
                for hop in path.windows(2) {
                    add(hop[1], hop[0], -i128::from(*bytes));
                }
                add(path[path.len() - 1], path[0], i128::from(*bytes));
            }
        }
        for ((debtor, creditor), bytes) in expected {
            assert_eq!(
                net.claim(creditor, debtor),
                bytes,
                "seed {seed}: {creditor} on {debtor}"
            );
        }
    }
}

/// 300 networks of 34 rounds, in two tests for two cores.
fn rounds(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..34 {
        world.round();
        world.check();
    }
}

#[test]
fn a_shift_happens_everywhere_or_nowhere() {
    cases(0, 150, rounds);
}

#[test]
fn and_in_other_networks() {
    cases(10_000, 150, rounds);
}
