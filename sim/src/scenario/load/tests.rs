use super::*;
use crate::scenario::{Fault, NAMES, Space};

const SMALL: &str = "
[space]
kind = \"rectangle\"
width_ms = 10
height_ms = 10
[peers]
count = 3
";

fn error(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    let error = Scenario::parse("small.toml", text, &overrides)
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n'), "one sentence: {error}");
    error
}

fn with(overrides: &[&str]) -> Scenario {
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    Scenario::parse("small.toml", SMALL, &overrides).unwrap()
}

#[test]
fn every_scenario_in_the_box_loads() {
    for name in NAMES {
        let scenario = Scenario::load(name, &[]).unwrap();
        assert_eq!(scenario.name, *name);
        assert!(!scenario.about.is_empty());
    }
}

#[test]
fn the_papers_figure_5_has_its_parameters() {
    let s = Scenario::load("paper-fig5", &[]).unwrap();
    assert_eq!((s.peers.count, s.donors.count), (1000, 100));
    assert_eq!(
        (s.peers.ri, s.source.upload_x, s.donors.upload_x),
        (Some(1.2), 5.0, 2.0)
    );
    assert_eq!(
        (s.network.loss, s.network.jitter_ms, s.network.queue_ms),
        (0.005, 3.0, 100.0)
    );
    assert_eq!(s.stream.rate.as_bps(), 3_500_000);
    let Space::Rectangle {
        width_ms, height_ms, ..
    } = s.space
    else {
        panic!("a rectangle")
    };
    assert_eq!(f64::hypot(width_ms, height_ms) / 2.0, 140.0);
    assert_eq!(Scenario::load("paper-fig5-no-ncp", &[]).unwrap().donors.count, 0);
}

#[test]
fn overrides_reach_tables_and_lists() {
    let s = with(&[
        "peers.count=4000",
        "stream.rate=5mbit",
        "joins=[{share=0.25},{share=0.75}]",
        "joins.1.at_s=2.5",
    ]);
    assert_eq!(s.peers.count, 4000);
    assert_eq!(s.stream.rate.as_bps(), 5_000_000);
    assert_eq!(s.joins[1].at_s, 2.5);
    let s = with(&[
        "faults=[{kind='loss', at_s=3, loss=0.1}]",
        "space.kind=matrix",
        "space={kind='matrix', file='planetlab490'}",
    ]);
    assert_eq!(s.faults, [Fault::Loss { at_s: 3.0, loss: 0.1 }]);
}

#[test]
fn unknown_keys_are_named() {
    for (text, key) in [
        (format!("{SMALL}\n[pears]\ncount = 1"), "pears"),
        (format!("{SMALL}\nprefers = 'live'"), "prefers"),
        (SMALL.replace("width_ms", "widht_ms"), "widht_ms"),
        (format!("{SMALL}\n[[joins]]\nshare = 1\nwhen = 4"), "when"),
        (
            format!("{SMALL}\n[[faults]]\nkind = 'crash'\nat_s = 1\nshare = 1\nwho = 2"),
            "who",
        ),
    ] {
        let error = error(&text, &[]);
        assert!(error.contains(key) && error.contains("small.toml"), "{error}");
    }
    assert!(error(SMALL, &["peers.cuont=4"]).contains("cuont"));
}

#[test]
fn impossible_values_are_named() {
    for (set, key) in [
        ("network.loss=1.5", "network.loss"),
        ("network.loss=nan", "network.loss"),
        ("stream.chunk_ms=0", "stream.chunk_ms"),
        ("stream.chunk_ms=500", "largest chunk"),
        ("stream.substreams=65", "stream.substreams"),
        ("peers.count=0", "peers.count"),
        ("peers.count=1000000", "peers.count"),
        ("peers.ri=0.5", "peers.ri"),
        ("peers.classes=[{share=0.5,upload_x=1}]", "peers.classes"),
        ("joins=[{share=0.5}]", "joins"),
        ("measure.length_s=inf", "measure.length_s"),
        ("stream.rate=fast", "rate"),
        ("faults=[{kind='quake',at_s=1}]", "quake"),
    ] {
        let error = error(SMALL, &[set]);
        assert!(error.contains(key), "{set}: {error}");
    }
}

#[test]
fn overrides_that_do_not_fit_are_errors() {
    assert!(error(SMALL, &["peers.count"]).contains("key.path=value"));
    assert!(error(SMALL, &["peers.count.x=1"]).contains("plain value"));
    assert!(error(SMALL, &["joins=[{share=1}]", "joins.1.at_s=2"]).contains("list of 1"));
    assert!(error("seed = ", &[]).contains("small.toml"));
}

#[test]
fn a_missing_file_is_said_so() {
    let error = Scenario::load("no-such-scenario", &[]).unwrap_err().to_string();
    assert!(
        error.contains("no-such-scenario") && error.contains("list"),
        "{error}"
    );
}
