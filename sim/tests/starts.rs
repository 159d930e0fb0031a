//! Where a start's time went, and one peer's first seconds line by line.

use headwater_sim::{Scenario, Simulation};

fn small() -> Scenario {
    let set = [
        "peers.count=20",
        // Of 1.2 times what 20 viewers take too little is left once each uplink is rounded to whole slots.
        "peers.ri=1.5",
        "donors.count=2",
        "joins.0.over_s=2",
        "donors.over_s=1",
        "measure.start_s=3",
        "measure.length_s=1",
        "measure.drain_s=1",
    ];
    Scenario::load("paper-fig5", &set.map(str::to_owned)).expect("a scenario of the box")
}

#[test]
fn stages_are_in_order_and_end_with_the_start() {
    let outcome = headwater_sim::run(&small()).expect("nothing breaks");
    let mut played = 0;
    for row in outcome.rows.iter().filter(|row| row.role == "consumer") {
        let start = row.start.expect("all play by the end");
        let stages = [
            0.0,
            start.answered_ms,
            start.supplied_ms,
            start.flowing_ms,
            start.complete_ms,
            start.started_ms,
        ];
        assert!(stages.is_sorted(), "{stages:?}");
        assert!(
            start.answered_ms > 2.0 * row.distance_ms,
            "nothing is answered before a handshake is done"
        );
        assert_eq!(Some(start.started_ms), row.startup_ms);
        played += 1;
    }
    assert_eq!(played, 20);
    let consumers = &outcome.results["headwater"].consumers;
    let stages = &consumers.start_stages_ms;
    let sum =
        stages.answer.mean + stages.suppliers.mean + stages.flow.mean + stages.past.mean + stages.margin.mean;
    assert!(
        (sum - consumers.startup_ms.mean).abs() < 0.01,
        "{sum} {:?}",
        consumers.startup_ms
    );
    let soonest = outcome.soonest_ms.expect("there is enough for all");
    assert!(soonest.flowing.p50 < soonest.started.p50 && soonest.started.p50 < consumers.startup_ms.p50);
}

#[test]
fn a_trace_tells_what_happened_and_changes_nothing() {
    let scenario = small();
    let traced = Simulation::new(&scenario)
        .and_then(|simulation| simulation.trace(&[3, 99], 2.0).run(&mut |_| {}))
        .expect("nothing breaks");
    assert_eq!(
        traced.audit,
        headwater_sim::run(&scenario).expect("nothing breaks").audit
    );
    let first = |what: &str| {
        let line = traced.trace.iter().position(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("no {what} in {:#?}", traced.trace))
    };
    assert!(
        traced.trace.iter().all(|line| line.starts_with("3 ")),
        "nobody else is traced"
    );
    // A chunk may overtake the word that comes before it.
    for comes in ["Subscribed ", "has chunk "] {
        let way = [
            "dials 0 with Guest of 3",
            "from 0 JoinAnswer",
            "Subscribe ",
            comes,
            "plays chunk ",
        ];
        assert!(way.map(first).is_sorted(), "{:?}", way.map(first));
    }
}
