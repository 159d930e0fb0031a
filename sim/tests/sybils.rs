//! Attackers: what their claims bring them, what they would without a defence, and what a scenario may say about them.

#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use headwater_sim::{Giving, Outcome, Scenario, run};

/// Twenty-four honest peers, a peer with twelve names and a ring of six.
fn small(more: &[&str]) -> Outcome {
    let set = [
        "peers.count=24",
        "joins.0.over_s=2",
        "earlier.viewers=9",
        "earlier.joins_over_s=1",
        "earlier.viewers_leave_s=12",
        "earlier.donors_leave_s=15",
        "earlier.over_s=1",
        "attackers.0.identities=12",
        "attackers.1.identities=6",
        "attackers.1.partners=5",
        "measure.start_s=18",
        "measure.length_s=10",
        "measure.drain_s=1",
    ];
    let set: Vec<String> = set.iter().chain(more).map(|s| (*s).to_owned()).collect();
    run(&Scenario::load("sybils", &set).unwrap()).unwrap()
}

fn giving(more: &[&str]) -> Giving {
    let outcome = small(more);
    assert_eq!(outcome.bans, 0, "honest peers shut out by others");
    let giving = outcome.trust.unwrap();
    assert_eq!(giving.shifted.as_ref().unwrap().credit_lost_bytes, 0);
    giving
}

#[test]
fn many_names_and_receipts_for_nothing_bring_no_more_than_was_given() {
    let (a, b) = (small(&[]), small(&[]));
    assert_eq!(a.audit, b.audit);
    assert_eq!(a.trust, b.trust);
    assert_eq!(a.bans, 0);
    let giving = a.trust.unwrap();
    let names: Vec<_> = giving
        .regions
        .iter()
        .map(|r| (r.name.as_str(), r.identities, r.names))
        .collect();
    assert_eq!(names, [("split", 12, 12), ("ring", 6, 6)]);
    for region in &giving.regions {
        assert!(
            region.gave_bytes > 1_000_000 && region.served_bytes > 0,
            "{region:?}"
        );
        assert!(region.ahead_bytes <= region.served_bytes, "{region:?}");
    }
    let most = giving.regions.iter().map(|r| r.gain_ratio).fold(0.0, f64::max);
    assert_eq!(giving.sybil_gain_ratio, Some(most));
    assert!(most <= 1.05, "{:?}", giving.regions);
    // It is a bound that something comes near to.
    assert!(most > 0.3, "{:?}", giving.regions);
    // Who is served is the honest ones.
    let groups = a.results["headwater"].groups.as_ref().unwrap();
    assert!(groups.contributors.continuity.mean > 0.98, "{groups:?}");
}

#[test]
fn if_receipts_for_nothing_were_believed_they_would_bring_much_more() {
    let giving = giving(&["attackers.0.believed=true", "attackers.1.believed=true"]);
    for region in &giving.regions {
        assert!(region.ahead_bytes > region.served_bytes * 9 / 10, "{region:?}");
        assert!(region.gain_ratio > 10.0, "{region:?}");
    }
    // Who gave little is served more than it gave, and not only owed it.
    let split = &giving.regions[0];
    assert!(split.ahead_bytes > 2 * split.gave_bytes, "{split:?}");
}

#[test]
fn none_of_the_cheats_with_accounts_brings_more() {
    for cheats in [
        "[\"no_receipts\"]",
        "[\"replay\", \"no_notes\"]",
        "[\"unsettled\"]",
        "[\"vanishing\"]",
        "[\"equivocation\"]",
    ] {
        let set = [0, 1].map(|n| format!("attackers.{n}.cheats={cheats}"));
        let giving = giving(&set.each_ref().map(String::as_str));
        let ratio = giving.sybil_gain_ratio.unwrap();
        assert!(ratio <= 1.05, "{cheats}: {:?}", giving.regions);
        let shut_out: u64 = giving.regions.iter().map(|r| r.shut_out).sum();
        assert_eq!(shut_out > 0, cheats.contains("equivocation"), "{cheats}");
    }
}

#[test]
fn a_new_name_is_worth_no_more_than_an_old_one() {
    let giving = giving(&["attackers.0.new_name_s=3"]);
    assert!(giving.regions[0].names > 30, "{:?}", giving.regions);
    assert!(giving.sybil_gain_ratio.unwrap() <= 1.05, "{:?}", giving.regions);
}

#[test]
fn attackers_that_cannot_be_are_refused() {
    for (set, about) in [
        ("attackers.0.identities=0", "attackers.0.identities"),
        ("attackers.1.donors=21", "attackers.1.donors"),
        ("attackers.1.partners=20", "attackers.1.partners"),
        ("attackers.0.new_name_s=0", "attackers.0.new_name_s"),
        ("attackers.1.name=\"split\"", "attackers.1.name"),
        ("attackers.1.cheats=[\"theft\"]", "theft"),
    ] {
        let refused = Scenario::load("sybils", &[set.to_owned()]).unwrap_err();
        assert!(refused.to_string().contains(about), "{set}: {refused}");
    }
    let alone = "[[attackers]]\nidentities = 3\n[space]\nkind = \"rectangle\"\nwidth_ms = 9\nheight_ms = 9\n[peers]\ncount = 5\n";
    let refused = Scenario::parse("alone", alone, &[]).unwrap_err();
    assert!(refused.to_string().contains("earlier"), "{refused}");
}
