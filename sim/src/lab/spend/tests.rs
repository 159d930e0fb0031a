//! Figures of a run that never was: what every ledger said is made here.

use std::collections::BTreeMap;

use netlab::Counters;
use serde_json::json;

use super::accounts::{Accounts, RECEIPT_WINDOW, agreement};
use super::draw::{DONOR, KILLED, Kind, LOST, Part, SpendDraw};
use super::figures;
use super::outcome::{Agreement, SpendOutcome, SpentAt};
use super::plan::SpendScenario;
use super::session::Record;
use super::table;
use crate::Plan;
use crate::lab::clock::Clock;
use crate::time::SECOND;

fn load(set: &[&str]) -> Result<SpendScenario, String> {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    match Plan::load("spend", &set) {
        Ok(Plan::Spend(scenario)) => Ok(*scenario),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    load(&[]).unwrap();
    for (set, said) in [
        ("spend.viewers=1", "spend.viewers"),
        ("spend.strangers=0", "spend.strangers"),
        ("spend.viewer_x=0", "spend.viewer_x"),
        ("spend.spend_s=0", "spend.spend_s"),
        ("spend.donors=2", "donors"),
        ("stream.chunk_ms=8.5", "stream.chunk_ms"),
        ("network.loss=2", "network.loss"),
    ] {
        let error = load(&[set]).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{set}: {error}");
    }
}

#[test]
fn whoever_supplies_the_donor_in_the_end_is_a_stranger() {
    let draw = SpendDraw::new(&load(&[]).unwrap()).unwrap();
    assert_eq!(draw, SpendDraw::new(&load(&[]).unwrap()).unwrap());
    assert_ne!(draw, SpendDraw::new(&load(&["seed=2"]).unwrap()).unwrap());
    let kind = |node: u32| draw.members[node as usize].kind;
    assert_eq!(kind(DONOR), Kind::Donor);
    assert_eq!((kind(KILLED), kind(LOST)), (Kind::Viewer, Kind::Viewer));
    assert_eq!(draw.members[4].name, "viewer4");
    let who = |stream: usize, part: Part| -> Vec<Kind> {
        let mut who: Vec<Kind> = draw
            .parts(stream)
            .filter(|(_, has)| *has == part)
            .map(|(node, _)| kind(node))
            .collect();
        who.dedup();
        who
    };
    for stream in 0..3 {
        assert_eq!(who(stream, Part::Casts), [Kind::Source(stream)]);
    }
    assert_eq!(who(0, Part::Donates), [Kind::Donor]);
    assert_eq!(who(0, Part::Gives), []);
    assert_eq!(who(0, Part::Takes), [Kind::Viewer]);
    assert_eq!(who(1, Part::Gives), [Kind::Viewer]);
    assert_eq!(who(1, Part::Takes), [Kind::Stranger]);
    assert_eq!(who(2, Part::Gives), [Kind::Stranger]);
    assert_eq!(who(2, Part::Takes), [Kind::Donor, Kind::Viewer, Kind::Idler]);
}

/// An account: with whom, what was given, taken and shifted, and the state's number.
type Had = (u32, i64, i64, i64, u64);

fn ledger(of: u32, accounts: &[Had]) -> Accounts {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|(with, given, taken, shifted, state)| {
            json!({"peer": format!("n{with}"), "claim_bytes": given - taken + shifted, "given_bytes": given,
                "taken_bytes": taken, "shifted_bytes": shifted, "pending_bytes": 0, "shifts": 0, "state": state})
        })
        .collect();
    let shown = json!({"peer": format!("n{of}"), "earned_bytes": 0, "accounts": accounts});
    serde_json::from_value(shown).unwrap()
}

/// The two viewers owe the donor 5 MB and two strangers them 3; of that the donor shifts a megabyte to the first stranger, and takes
/// something of both.
fn record(lost_owes: i64) -> Record {
    const STRANGERS: [u32; 2] = [6, 7];
    let donor = |first: i64, second: i64| {
        ledger(
            DONOR,
            &[
                (KILLED, 2_000_000, 0, -1_000_000, 9),
                (LOST, 3_000_000, 0, 0, 4),
                (STRANGERS[0], 0, first, if first > 0 { 1_000_000 } else { 0 }, 3),
                (STRANGERS[1], 0, second, 0, 2),
            ],
        )
    };
    let earned = ledger(DONOR, &[(KILLED, 2_000_000, 0, 0, 2), (LOST, 3_000_000, 0, 0, 2)]);
    let strangers = [0, 1].map(|n| {
        (
            STRANGERS[n],
            ledger(STRANGERS[n], &[(KILLED, 0, 1_500_000, 0, 1)]),
        )
    });
    let viewer = ledger(
        KILLED,
        &[
            (STRANGERS[0], 1_500_000, 0, 0, 1),
            (STRANGERS[1], 1_500_000, 0, 0, 1),
        ],
    );
    let ended = [
        (DONOR, donor(300_000, 50_000)),
        (KILLED, ledger(KILLED, &[(DONOR, 0, 2_000_000, 1_000_000, 9)])),
        (LOST, ledger(LOST, &[(DONOR, 0, lost_owes, 0, 1_000_001)])),
        (
            STRANGERS[0],
            ledger(STRANGERS[0], &[(DONOR, 300_000, 0, -1_000_000, 3)]),
        ),
        (STRANGERS[1], ledger(STRANGERS[1], &[])),
    ];
    Record {
        clock: Clock::start(),
        sent: Vec::new(),
        lives: Vec::new(),
        accounts: vec![
            BTreeMap::from([
                (DONOR, earned),
                (KILLED, ledger(KILLED, &[])),
                (LOST, ledger(LOST, &[])),
            ]),
            strangers.into_iter().chain([(KILLED, viewer)]).collect(),
            ended.into(),
        ],
        looks: vec![
            (100 * SECOND, donor(0, 0)),
            (104 * SECOND, donor(0, 50_000)),
            (107 * SECOND, donor(40_000, 50_000)),
        ],
        came_ns: 99 * SECOND,
        ended_ns: 140 * SECOND,
        counters: Counters {
            nodes: Vec::new(),
            pairs: Vec::new(),
            delivery: Default::default(),
            cpu_s: 0.0,
            in_flight: 0,
        },
        waited: Vec::new(),
        problems: Vec::new(),
    }
}

fn outcome(lost_owes: i64) -> SpendOutcome {
    let scenario = load(&["spend.viewers=2", "spend.strangers=2"]).unwrap();
    let draw = SpendDraw::new(&scenario).unwrap();
    figures::outcome(&scenario, &draw, &record(lost_owes))
}

#[test]
fn what_was_shifted_and_taken_is_spent() {
    let found = outcome(3_000_000);
    let spend = &found.spend;
    assert_eq!((spend.earned_bytes, spend.between_bytes), (5_000_000, 3_000_000));
    assert_eq!(spend.first_spent_s, Some(8.0));
    let at = |stranger: &str, shifted_bytes, taken_bytes, spent_bytes| SpentAt {
        stranger: stranger.to_owned(),
        shifted_bytes,
        taken_bytes,
        spent_bytes,
    };
    // What was taken of the second one was owed by nobody.
    let expected = [
        at("stranger6", 1_000_000, 300_000, 300_000),
        at("stranger7", 0, 50_000, 0),
    ];
    assert_eq!((&spend.at[..], spend.spent_bytes), (&expected[..], 300_000));
    assert!(spend.lost_is_back);
    let text = table(&found);
    for said in ["first spent at a stranger 8.0 s", "stranger6", "0.300"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!outcome(2_000_000).spend.lost_is_back);
}

#[test]
fn two_sides_agree_within_a_receipt() {
    let window = RECEIPT_WINDOW as i64;
    let of = |taken: i64, shifted: i64, state: u64| {
        BTreeMap::from([
            (1, ledger(1, &[(2, 900_000, 0, 70_000, 5)])),
            (2, ledger(2, &[(1, 0, taken, shifted, state)])),
            (3, ledger(3, &[])),
        ])
    };
    let expected = Agreement {
        pairs: 1,
        apart_bytes_max: 0,
        within_receipt: 1,
        same_state: 1,
        same_shifts: 1,
    };
    assert_eq!(agreement(&of(900_000, -70_000, 5)), expected);
    let late = agreement(&of(900_000 - window, -70_000, 4));
    assert_eq!(
        (late.apart_bytes_max, late.within_receipt, late.same_state),
        (RECEIPT_WINDOW, 1, 0)
    );
    assert_eq!(agreement(&of(899_999 - window, -70_000, 5)).within_receipt, 0);
    // Signed by both, and yet not the same.
    assert_eq!(agreement(&of(900_000, -60_000, 5)).same_shifts, 0);
    // What only one side knows of is all apart.
    let mut one = of(0, 0, 0);
    one.insert(2, ledger(2, &[]));
    assert_eq!(
        (agreement(&one).pairs, agreement(&one).apart_bytes_max),
        (1, 970_000)
    );
}
