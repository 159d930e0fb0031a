//! Figures of a run that never was: what every node said and put out is made here.

use netlab::Counters;

use super::draw::Draw;
use super::figures::{self, Facts};
use super::outcome::{Charge, LifeShare, Miss, Nearest, StreamsOutcome};
use super::plan::StreamsScenario;
use super::session::{Life, Record};
use super::table;
use crate::Plan;
use crate::lab::clock::Clock;
use crate::lab::probe::{Piece, Seen, Sent};
use crate::lab::processes::Remains;
use crate::lab::statistics::Statistics;
use crate::measure::Role;
use crate::time::{MS, SECOND};

fn load(set: &[&str]) -> Result<StreamsScenario, String> {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    match Plan::load("discovery", &set) {
        Ok(Plan::Streams(scenario)) => Ok(*scenario),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    let scenario = load(&[]).unwrap();
    assert_eq!((scenario.streams.count, scenario.streams.nodes), (3, 40));
    assert_eq!((scenario.kill.every_s, scenario.kill.away_s), (5.0, 4.0));
    for (set, said) in [
        ("streams.cuont=2", "cuont"),
        ("streams.count=0", "streams.count"),
        ("streams.count=21", "streams.count"),
        ("streams.donors=0.95", "leave no viewer"),
        ("streams.late=28", "streams.late"),
        ("streams.shares=[1,2]", "streams.shares has 2"),
        ("streams.shares=[1,2,0]", "streams.shares"),
        ("streams.area=8", "streams.area"),
        ("streams.watch_s=-1", "streams.watch_s"),
        ("stream.chunk_ms=8.5", "stream.chunk_ms"),
        ("stream.gop_ms=20", "stream.gop_ms"),
        ("network.loss=2", "network.loss"),
        ("kill.away_s=0", "kill.away_s"),
        ("end={share=2,at_s=1}", "end.share"),
        ("faults=[]", "faults"),
    ] {
        let error = load(&[set]).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{set}: {error}");
    }
}

/// Two streams of 0.1 Mbit/s with two viewers each, one of them late, and two donors; one node is killed.
fn drawn(more: &[&str]) -> (StreamsScenario, Draw) {
    let set = [
        "streams.count=2",
        "streams.shares=[]",
        "streams.nodes=8",
        "streams.over_s=5",
        "streams.settle_s=10",
        "streams.late=1",
        "kill.most=1",
        "end={share=0.5,at_s=75}",
    ];
    let scenario = load(&[&set[..], more].concat()).unwrap();
    let mut draw = Draw::new(&scenario).unwrap();
    // Round trips of 100 ms, but 20 between the late viewer and the tracker beside it.
    draw.one_way_ns.fill(50 * MS);
    for (a, b) in [(LATE, NEAR), (NEAR, LATE)] {
        draw.one_way_ns[(a * 8 + b) as usize] = 10 * MS;
    }
    (scenario, draw)
}

/// The late viewer, another one of its stream that keeps a tracker, and their peercaster.
const LATE: u32 = 5;
const NEAR: u32 = 3;
const CASTER: u32 = 1;

/// What a node said from `from_s` to `to_s`, each second; trackers that it names change after so many seconds.
fn said(clock: &Clock, node: u32, from_s: u64, to_s: u64, named: &[(u64, u32)]) -> Statistics {
    let line = |s: u64| {
        let tracker = named.iter().rev().find(|(after_s, _)| s >= from_s + after_s);
        let tracker = tracker.map_or("null".to_owned(), |(_, peer)| format!("{{\"peer\":\"n{peer}\"}}"));
        let answer = if named.is_empty() { "null" } else { "500" };
        format!(
            "{{\"type\":\"sample\",\"t_ms\":{},\"peer\":\"n{node}\",\"is_tracker\":{},\"tracker\":{tracker},\
             \"coord\":{{\"x_ms\":{},\"y_ms\":0,\"height_ms\":0}},\"chunks_played\":{},\
             \"join_ms\":{{\"tracker\":{answer},\"coord\":90}},\"rss_bytes\":7}}\n",
            clock.unix_ms(s * SECOND),
            node < 2 || node == NEAR,
            // All are 90 ms from each other where it is true, two by two; the others are at the same place.
            90 * (node % 2),
            100 * (s - from_s),
        )
    };
    Statistics::parse(&(from_s..=to_s).map(line).collect::<String>())
}

/// A packet every 10 ms comes 100 ms later, but those that a life lacks.
fn put_out(from_s: u64, to_s: u64, lacking: std::ops::Range<u64>) -> Seen {
    let numbers = (from_s * 100..to_s * 100 - 10).filter(|number| !lacking.contains(number));
    Seen {
        pieces: numbers
            .map(|number| Piece {
                at_ns: number * 10 * MS + 100 * MS,
                from: number,
                to: number + 1,
            })
            .collect(),
        ..Seen::default()
    }
}

/// Everybody plays well and answers; viewer 4 misses a second, and is killed and comes back; viewer 2 ends early; the late viewer is
/// with the peercaster at first.
fn record(draw: &Draw) -> Record {
    let clock = Clock::start();
    let end_s = draw.phases.end.0 / SECOND;
    let mut lives = Vec::new();
    for (node, member) in (0..).zip(&draw.members) {
        let from_s = member.joins.0 / SECOND + 1;
        let to_s = match node {
            4 => 60,
            2 => 75,
            _ => end_s,
        };
        let named: &[(u64, u32)] = match node {
            LATE => &[(0, CASTER), (20, NEAR)],
            7 => &[],
            _ => &[(0, node % 2)],
        };
        let lacking = if node == 4 { 3000..3100 } else { 0..0 };
        lives.push(life(&clock, node, 1, from_s..to_s, named, lacking, to_s < end_s));
    }
    lives.push(life(&clock, 4, 2, 64..end_s, &[(0, 0)], 0..0, false));
    let sent = Sent {
        at_ns: (0..end_s * 100).map(|number| number * 10 * MS).collect(),
        never: Vec::new(),
    };
    Record {
        clock,
        began_ns: 0,
        ended_ns: end_s * SECOND,
        sent: vec![sent.clone(), sent],
        lives,
        counters: Counters {
            nodes: Vec::new(),
            pairs: Vec::new(),
            delivery: Default::default(),
            cpu_s: 0.0,
            in_flight: 0,
        },
        waited: [
            (9, 0),
            (14, SECOND),
            (19, 3 * SECOND),
            (70, 3 * SECOND),
            (75, 4 * SECOND),
        ]
        .map(|(s, waited)| (s * SECOND, [(1, waited)].into()))
        .to_vec(),
        problems: Vec::new(),
    }
}

fn life(
    clock: &Clock,
    node: u32,
    nth: usize,
    at_s: std::ops::Range<u64>,
    named: &[(u64, u32)],
    lacking: std::ops::Range<u64>,
    left: bool,
) -> Life {
    Life {
        node,
        nth,
        remains: Remains {
            started_ns: at_s.start * SECOND,
            left_ns: left.then_some(at_s.end * SECOND),
            seen: put_out(at_s.start, at_s.end, lacking),
            statistics: said(clock, node, at_s.start, at_s.end, named),
        },
    }
}

fn outcome(change: impl FnOnce(&mut Record)) -> StreamsOutcome {
    outcome_of(&[], change)
}

fn outcome_of(set: &[&str], change: impl FnOnce(&mut Record)) -> StreamsOutcome {
    let (scenario, draw) = drawn(set);
    assert!(draw.members[LATE as usize].late && draw.members[LATE as usize].stream == 1);
    assert_eq!(draw.members[NEAR as usize].role, Role::Consumer);
    let mut record = record(&draw);
    change(&mut record);
    figures::outcome(&Facts {
        scenario: &scenario,
        draw: &draw,
        record: &record,
    })
}

#[test]
fn a_late_viewer_is_compared_with_the_trackers_that_there_were() {
    let found = outcome(|_| ()).discovery.late_nearest;
    let of_one = |nearest| Nearest { nearest, of: 1 };
    assert_eq!(found.with_choice, 1);
    assert_eq!((found.at_first, found.again), (of_one(0), of_one(1)));
    let miss = Miss {
        viewer: "viewer5".to_owned(),
        after_s: 4.0,
        tracker: Some("source1".to_owned()),
        rtt_ms: Some(100.0),
        nearest: "viewer3".to_owned(),
        nearest_ms: 20.0,
    };
    assert_eq!(found.misses, [miss]);
    // With nothing nearer than the peercaster there is nothing to miss.
    let found = outcome(|record| record.lives.retain(|life| life.node != NEAR))
        .discovery
        .late_nearest;
    assert_eq!((found.at_first, found.with_choice), (of_one(1), 0));
    // Who is killed before the second look is none of it.
    let found = outcome_of(&["streams.watch_s=20"], |_| ()).discovery.late_nearest;
    assert_eq!((found.at_first, found.again), (of_one(0), Nearest::default()));
}

#[test]
fn continuity_is_of_lives() {
    let lives = outcome(|_| ()).discovery.continuity;
    assert_eq!((lives.before_kills.lives, lives.whole.lives), (4, 5));
    assert!(
        lives.before_kills.min < 0.99 && lives.before_kills.mean > 0.99,
        "{lives:?}"
    );
    assert_eq!(
        lives.restarted,
        LifeShare {
            lives: 1,
            min: 1.0,
            mean: 1.0
        }
    );
    assert_eq!(
        lives.stayed.map(|stayed| stayed.lives),
        Some(3),
        "two first lives, and one second"
    );
    let low: Vec<_> = lives
        .below
        .iter()
        .map(|low| (low.viewer.as_str(), low.life, low.to_s))
        .collect();
    assert_eq!(low, [("viewer4", 1, 60.0)]);
    let due = 60.0 - lives.below[0].from_s;
    assert!(
        (lives.below[0].continuity - (1.0 - 1.0 / due)).abs() < 0.01,
        "a second of {due}"
    );
    // Who never plays has nothing, though nothing was late.
    let lives = outcome(|record| record.lives[2].remains.seen = Seen::default())
        .discovery
        .continuity;
    assert_eq!((lives.whole.min, lives.whole.lives), (0.0, 5));
}

#[test]
fn joins_restarts_trackers_and_coordinates_are_counted() {
    let result = outcome(|_| ());
    let found = &result.discovery;
    assert_eq!(found.median_rtt_ms, 100.0);
    assert_eq!((found.join_ms.all.viewers, found.join_ms.late.viewers), (4, 1));
    assert_eq!(
        (found.join_ms.all.unanswered, found.join_ms.all.tracker.p95),
        (0, 500.0)
    );
    assert_eq!(found.join_ms.late.tracker_x, 5.0);
    assert_eq!((found.restarts.nodes, found.restarts.tracker_ms.p50), (1, 500.0));
    // A peercaster that comes back asks nobody.
    let with_peercaster = outcome(|record| {
        let again = life(&record.clock, CASTER, 2, 64..70, &[], 0..0, false);
        record.lives.push(again);
    });
    let restarts = with_peercaster.discovery.restarts;
    assert_eq!((restarts.nodes, restarts.unanswered), (1, 0));
    let at = |s: u64| {
        found
            .trackers_at
            .iter()
            .find(|at| at.at_s == s)
            .map(|at| at.trackers.clone())
    };
    assert_eq!(at(15), Some(vec![1, 2]));
    // Of 28 pairs 16 are 90 ms apart where it is 100; the others are together, which is all wrong.
    assert_eq!(found.coords.nodes, 8);
    assert!(
        (found.coords.median_rel_error - 0.1).abs() < 1e-9,
        "{:?}",
        found.coords
    );

    // One waited for a second of five, then for two.
    let wait = result.lab.core_wait;
    assert!(
        (wait.mean - 0.3).abs() < 1e-9 && (wait.max - 0.4).abs() < 1e-9,
        "{wait:?}"
    );
    assert!(
        result
            .lab
            .core_wait_later
            .is_some_and(|later| (later.mean - 0.2).abs() < 1e-9)
    );
    assert!(
        result.lab.warnings[0].contains("30.0 %"),
        "{:?}",
        result.lab.warnings
    );
    assert!(result.lab.problems.is_empty());

    let text = table(&result);
    for said in [
        "0 of 1 at first, 1 of 1 when",
        "viewer4, life 1",
        "[1, 2] from",
        "5.00 median round trips",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn wrong_bytes_are_a_problem() {
    let result = outcome(|record| record.lives[2].remains.seen.wrong = 5);
    assert_eq!(result.lab.wrong_bytes, 5);
    assert!(
        result.lab.problems[0].contains("5 bytes"),
        "{:?}",
        result.lab.problems
    );
}

#[test]
fn an_honest_program_that_is_taken_for_a_liar_is_a_problem() {
    let thinks = |of: &str, standing: f64| {
        Statistics::parse(&format!(
            "{{\"type\":\"sample\",\"neighbours\":[{{\"peer\":\"{of}\",\"standing\":{standing}}}]}}\n"
        ))
    };
    // Broken promises come to less.
    let result = outcome(|record| record.lives[2].remains.statistics = thinks("n1", 0.75));
    assert_eq!(result.discovery.charged, []);
    let result = outcome(|record| record.lives[2].remains.statistics = thinks("n1", 0.4));
    let charge = Charge {
        by: "viewer2".to_owned(),
        of: "source1".to_owned(),
        standing: 0.4,
    };
    assert_eq!(result.discovery.charged, [charge]);
    assert!(
        result.lab.problems[0].contains("viewer2 took source1 for a liar"),
        "{:?}",
        result.lab.problems
    );
}
