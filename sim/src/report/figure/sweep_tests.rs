use serde_json::json;

use super::*;
use crate::sweep::{Point, summarise};

fn drawn(values: &[&str]) -> Vec<(String, String)> {
    let points: Vec<Point> = values
        .iter()
        .map(|value| Point {
            settings: vec![("network.loss".to_owned(), (*value).to_owned())],
        })
        .collect();
    let result = |lag: f64| {
        json!({"results": {
            "headwater": {"lag_ms": {"p50": lag, "p99": lag * 2.0}, "continuity": {"mean": 0.999}},
            "star": {"lag_ms": {"p50": 5000.0}, "continuity": {"mean": 0.5}},
        }})
    };
    let runs: Vec<_> = (0..points.len())
        .flat_map(|at| (1..3).map(move |seed| (at, seed, result(100.0 * (at as f64 + seed as f64)))))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let files = write_sweep_figures(&summarise("planetlab", &points, &runs), folder.path()).unwrap();
    files
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn numbers_make_a_curve_and_everything_a_tradeoff() {
    let figures = drawn(&["0.01", "0", "0.05"]);
    let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["planetlab-sweep-curve.svg", "planetlab-sweep-tradeoff.svg"]
    );
    for word in [
        "planetlab, 2 seeds: what network.loss does",
        "playout lag, median",
        "99th percentile",
    ] {
        assert!(figures[0].1.contains(word), "curve lacks {word:?}");
    }
    assert!(!figures[0].1.contains("start-up"), "no figure, no line");
    for word in [
        "chunks not played in time, in a thousand",
        "headwater",
        "star",
        "0.05",
    ] {
        assert!(figures[1].1.contains(word), "tradeoff lacks {word:?}");
    }
}

#[test]
fn words_have_no_place_on_an_axis() {
    let figures = drawn(&["live", "smooth"]);
    assert_eq!(figures.len(), 1);
    assert!(figures[0].1.contains("live") && figures[0].1.contains("smooth"));
}
