//! Tests of the list of requests under way.

use proptest::prelude::*;

use super::super::testing::offer;
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

#[test]
fn the_source_is_asked_when_everybody_else_would_take_much_longer() {
    let substream = Substream(3);
    let chosen = |backlog_ms: u16, of_source: bool, child: bool| {
        let advert = Advert {
            head: Seq(100),
            backlog_ms,
            ..offer(10)
        };
        let source = Advert {
            backlog_ms: 0,
            role: Role::Peercaster,
            ..advert.clone()
        };
        let holder = |n: u8, advert| Holder {
            peer: peer(n),
            timeout: Duration::from_millis(50),
            word: Word::Own(advert),
            rtt_us: 20_000.0,
            doubt_us: 0.0,
            open: 0,
        };
        let wanted = Wanted {
            seq: Seq(substream.0.into()),
            substream,
            parent: child.then(|| peer(1)),
            age_us: 200_000.0,
            not: None,
            spare_period_us: None,
            of_source,
        };
        ask_best(&mut [holder(1, &source), holder(2, &advert)], &wanted).map(|holder| holder.peer)
    };
    assert_eq!(chosen(0, true, false), Some(peer(2)));
    assert_eq!(chosen(200, true, false), Some(peer(2)));
    assert_eq!(chosen(400, true, false), Some(peer(1)));
    assert_eq!(chosen(400, false, false), Some(peer(2)));
    assert_eq!(chosen(200, false, true), Some(peer(1)));
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
