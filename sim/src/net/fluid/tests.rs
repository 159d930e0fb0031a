use proptest::prelude::*;

use super::*;
use crate::time::MS;

#[test]
fn packets_cost_their_headers() {
    assert_eq!(wire_bytes(1), 1 + 63);
    assert_eq!(wire_bytes(PACKET_PAYLOAD), PACKET_PAYLOAD + 63);
    assert_eq!(wire_bytes(PACKET_PAYLOAD + 1), PACKET_PAYLOAD + 1 + 2 * 63);
    // A full packet is 1480 bytes of IPv4: 1452 of UDP payload and 28 of headers.
    assert_eq!(wire_bytes(PACKET_PAYLOAD), 1480);
    assert_eq!(ack_bytes(3500), 2 * 67);
}

#[test]
fn first_in_first_out_at_the_rate() {
    // 8 Mbit/s: a byte a microsecond.
    let mut line = Line::new(8_000_000, SimTime::START);
    assert_eq!(line.offer(SimTime(0), 1000, MS), Some(SimTime(MS)));
    assert_eq!(line.offer(SimTime(MS / 2), 1000, MS), Some(SimTime(2 * MS)));
    assert_eq!(line.wait_ns(SimTime(MS)), MS);
    // Idle in between: no credit is saved up.
    assert_eq!(
        line.offer(SimTime(10 * MS), 500, MS),
        Some(SimTime(10 * MS + MS / 2))
    );
    assert_eq!(line.bytes, 2500);
    assert_eq!(line.busy_share(SimTime(20 * MS)), 0.125);
    assert_eq!(
        line.busy_share(SimTime(10 * MS)),
        0.2,
        "what still waits has not been sent"
    );
}

#[test]
fn a_full_queue_drops_at_its_tail() {
    let mut line = Line::new(8_000_000, SimTime::START);
    let mut accepted = 0;
    while line.offer(SimTime::START, 1000, 100 * MS).is_some() {
        accepted += 1;
    }
    // 100 ms of queue and the one that is being sent.
    assert_eq!((accepted, line.dropped), (101, 1));
    // What must arrive goes in all the same.
    assert_eq!(line.push(SimTime::START, 1000), SimTime(102 * MS));
    assert!(line.offer(SimTime(2 * MS), 1000, 100 * MS).is_some());
}

#[test]
fn without_a_rate_nothing_large_goes_out() {
    let mut line = Line::new(0, SimTime::START);
    assert_eq!(line.offer(SimTime::START, 1, 100 * MS), None);
    assert_eq!(line.push(SimTime::START, 70), SimTime(10 * MS));
}

proptest! {
    #[test]
    fn never_above_its_rate(
        rate in 1000u64..1_000_000_000,
        sends in prop::collection::vec((0u64..10 * MS, 1u64..70_000), 1..100),
        change in 1000u64..1_000_000_000,
    ) {
        let mut line = Line::new(rate, SimTime::START);
        let mut now = SimTime::START;
        let mut last = SimTime::START;
        let half = sends.len() / 2;
        for (at, (pause, bytes)) in sends.into_iter().enumerate() {
            if at == half {
                line.set_rate(change);
            }
            now = now.plus(pause);
            if let Some(left) = line.offer(now, bytes, 100 * MS) {
                prop_assert!(left >= last && left > now);
                // One-way check against the definition: no faster than the faster of the two rates.
                let least = bytes as f64 * 8e9 / rate.max(change).max(56_000) as f64;
                prop_assert!(left.since(last.max(now)) as f64 >= least - 1.0);
                last = left;
            }
            prop_assert!(line.within_rate());
        }
    }
}
