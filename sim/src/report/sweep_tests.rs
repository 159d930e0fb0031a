use serde_json::json;

use super::*;
use crate::sweep::{Axis, Summary, summarise};

/// Two points of two seeds each, the second with a baseline.
fn runs() -> (Vec<Point>, Vec<(usize, u64, Value)>) {
    let axis: Axis = "peers.classes=[{share=1,upload_x=2}],[{share=1,upload_x=3}]"
        .parse()
        .unwrap();
    let points: Vec<Point> = axis
        .values
        .iter()
        .map(|value| Point {
            settings: vec![(axis.key.clone(), value.clone())],
        })
        .collect();
    let result = |lag: f64, star: Option<f64>| {
        let mut results =
            json!({"headwater": {"lag_ms": {"p50": lag, "p99": 1500.25}, "continuity": {"mean": 0.9987}}});
        if let Some(lag) = star {
            results["star"] = json!({"lag_ms": {"p50": lag}});
        }
        json!({"results": results, "bound_ms": {"mean": 73.26}})
    };
    let runs = vec![
        (0, 1, result(300.0, None)),
        (0, 2, result(320.0, None)),
        (1, 1, result(5.5, Some(4000.0))),
        (1, 2, result(6.5, Some(4000.0))),
    ];
    (points, runs)
}

fn summary() -> Summary {
    let (points, runs) = runs();
    summarise("planetlab", &points, &runs)
}

#[test]
fn the_table_is_markdown_with_medians_and_spreads() {
    let table = sweep_table(&summary(), &[]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("planetlab, seeds 1, 2:"), "{table}");
    let rows: Vec<Vec<&str>> = lines[2..7]
        .iter()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(
        lines[2..7]
            .iter()
            .all(|line| line.chars().count() == lines[2].chars().count()),
        "{table}"
    );
    assert_eq!(
        rows[0][..4],
        ["peers.classes", "of", "arrival p50", "playout p50"]
    );
    assert_eq!(
        rows[2][..5],
        [
            "[{share=1,upload_x=2}]",
            "headwater",
            "–",
            "310 (300 to 320)",
            "1500"
        ]
    );
    assert_eq!(rows[3][1..4], ["headwater", "–", "6.00 (5.50 to 6.50)"]);
    assert_eq!(rows[4][1..5], ["star", "–", "4000", "–"]);
    assert!(
        rows[2].contains(&"0.9987") && rows[2].contains(&"73.3"),
        "{table}"
    );
}

#[test]
fn other_figures_are_shown_on_request_and_missing_ones_named() {
    let table = sweep_table(&summary(), &["lag_ms.p99".to_owned(), "lag_ms.p51".to_owned()]);
    assert!(
        table.contains("| lag_ms.p99 |") && !table.contains("start-up"),
        "{table}"
    );
    assert!(table.contains("no result has a figure lag_ms.p51"), "{table}");
}

#[test]
fn the_list_of_runs_can_be_read_back() {
    let (points, runs) = runs();
    let mut text = Vec::new();
    write_sweep_csv(&mut text, &points, &runs).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let heads = reader.headers().unwrap().clone();
    assert_eq!(
        heads.iter().collect::<Vec<_>>(),
        [
            "peers.classes",
            "seed",
            "of",
            "bound_ms.mean",
            "continuity.mean",
            "lag_ms.p50",
            "lag_ms.p99"
        ]
    );
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[0].iter().collect::<Vec<_>>(),
        [
            "[{share=1,upload_x=2}]",
            "1",
            "headwater",
            "73.26",
            "0.9987",
            "300",
            "1500.25"
        ]
    );
    assert_eq!(&lines[3][2], "star");
    assert_eq!(&lines[3][4], "", "the star has none");
}
