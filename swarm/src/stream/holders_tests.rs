//! Tests of the list of requests under way.

use proptest::prelude::*;

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn open(seq: u64, to: u8, until: u64) -> Open {
    Open {
        seq: Seq(seq),
        to: peer(to),
        until: Time::from_millis(until),
        tries: 1,
        hedged: false,
        closed: false,
        paid: true,
    }
}

proptest! {
    /// However requests are made, answered and given up, each that runs out is told of once, when its time is over.
    #[test]
    fn each_request_runs_out_once(steps in prop::collection::vec((0u8..5, 0u64..20, 0u8..4, 0u64..50), 1..100)) {
        let mut requests = Requests::default();
        let mut model: Vec<(u64, u8, u64)> = Vec::new();
        for (now, (what, seq, to, takes)) in steps.into_iter().enumerate() {
            let now = now as u64;
            match what {
                0 | 1 => {
                    requests.insert(open(seq, to, now + takes));
                    model.retain(|held| held.0 != seq);
                    model.push((seq, to, now + takes));
                }
                2 => {
                    requests.remove(Seq(seq));
                    model.retain(|held| held.0 != seq);
                }
                3 => {
                    requests.forget(peer(to));
                    model.retain(|held| held.1 != to);
                }
                _ => {
                    requests.drop_before(Seq(seq));
                    model.retain(|held| held.0 >= seq);
                }
            }
            let mut told = Vec::new();
            requests.run_out(Time::from_millis(now), |to| told.push(to));
            let mut expected: Vec<_> = model.iter().filter(|held| held.2 <= now).copied().collect();
            expected.sort_unstable();
            model.retain(|held| held.2 > now);
            prop_assert_eq!(told, expected.into_iter().map(|held| peer(held.1)).collect::<Vec<_>>());
            prop_assert!(model.iter().all(|held| requests.get(Seq(held.0)).is_some_and(|open| !open.closed)));
        }
    }
}
