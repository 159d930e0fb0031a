use serde_json::json;

use super::*;

fn axis(text: &str) -> Result<Axis, String> {
    text.parse()
}

fn small(more: &[&str], axes: &[&str], seeds: &str) -> Result<Sweep, SweepError> {
    let set = [
        "peers.count=6",
        "measure.start_s=2",
        "measure.length_s=1",
        "joins.0.over_s=1",
    ];
    let set: Vec<String> = set.iter().chain(more).map(ToString::to_string).collect();
    let axes: Vec<Axis> = axes.iter().map(|text| axis(text).unwrap()).collect();
    Sweep::new("planetlab", &set, &axes, &seeds.parse().unwrap())
}

#[test]
fn values_with_commas_of_their_own_stay_whole() {
    let axis = axis("joins=[{share=1,over_s=1}], [{share=1,over_s=9}]").unwrap();
    assert_eq!(axis.key, "joins");
    assert_eq!(axis.values, ["[{share=1,over_s=1}]", "[{share=1,over_s=9}]"]);
    let axis: Axis = "space.file='a,b',c".parse().unwrap();
    assert_eq!(axis.values, ["'a,b'", "c"]);
}

#[test]
fn what_is_no_axis_is_refused() {
    for text in [
        "peers.count",
        "=3",
        "peers.count=",
        "peers.count=1,,2",
        "peers.count=4,4",
    ] {
        assert!(axis(text).is_err(), "{text}");
    }
}

#[test]
fn seeds_are_numbers_and_ranges() {
    let seeds: Seeds = "7,1-3,2".parse().unwrap();
    assert_eq!(seeds.iter().collect::<Vec<_>>(), [1, 2, 3, 7]);
    assert_eq!(seeds.len(), 4);
    for wrong in ["", "1-", "-1", "5-2", "1,x", "0-99999999999"] {
        assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
    }
}

#[test]
fn every_combination_has_every_seed() {
    let sweep = small(&[], &["stream.chunk_ms=8,16", "peers.prefer=live,smooth"], "1,4").unwrap();
    let points: Vec<String> = sweep.points.iter().map(ToString::to_string).collect();
    assert_eq!(
        points,
        [
            "stream.chunk_ms=8, peers.prefer=live",
            "stream.chunk_ms=8, peers.prefer=smooth",
            "stream.chunk_ms=16, peers.prefer=live",
            "stream.chunk_ms=16, peers.prefer=smooth",
        ]
    );
    let jobs: Vec<(usize, u64)> = sweep.jobs.iter().map(|job| (job.point, job.seed)).collect();
    assert_eq!(
        jobs,
        [(0, 1), (0, 4), (1, 1), (1, 4), (2, 1), (2, 4), (3, 1), (3, 4)]
    );
    let params = sweep.jobs[5].params();
    assert_eq!(params["stream"]["chunk_ms"], 16.0);
    assert_eq!(params["peers"]["prefer"], "live");
    assert_eq!(params["seed"], 4);
}

#[test]
fn nothing_runs_if_one_of_the_runs_could_not() {
    let error = small(&[], &["peers.cuont=3,4"], "1").err().unwrap().to_string();
    assert!(error.contains("cuont"), "{error}");
    let error = small(&[], &["network.loss=0,2"], "1").err().unwrap().to_string();
    assert!(error.contains("network.loss"), "{error}");
    let error = small(&["fidelity=lab"], &[], "1").err().unwrap();
    assert!(matches!(error, SweepError::Lab), "{error}");
    let error = small(&[], &["network.jitter_ms=1,2,3"], "1-9000").err().unwrap();
    assert!(matches!(error, SweepError::TooMany(27_000)), "{error}");
}

#[test]
fn a_run_of_a_sweep_is_the_run_by_itself() {
    let sweep = small(&[], &["peers.prefer=live"], "3").unwrap();
    let mut shares = Vec::new();
    let result = sweep.jobs[0].run(&mut |share| shares.push(share)).unwrap();
    let Plan::Swarm(scenario) = &sweep.jobs[0].plan else {
        panic!("a swarm");
    };
    assert_eq!(result["audit"], crate::run(scenario).unwrap().audit);
    assert!(
        shares.is_sorted() && shares.last().is_some_and(|&last| last > 0.9),
        "{shares:?}"
    );
}

/// A result with these figures in it.
fn result(protocols: &[(&str, f64)], bound: f64) -> Value {
    let results: serde_json::Map<String, Value> = protocols
        .iter()
        .map(|(name, lag)| {
            (
                (*name).to_owned(),
                json!({"lag_ms": {"p50": lag}, "consumers": {"peers": 3}}),
            )
        })
        .collect();
    json!({"seed": 9, "params": {"x": 1}, "bound_ms": {"mean": bound}, "results": results})
}

#[test]
fn medians_are_taken_point_by_point_and_protocol_by_protocol() {
    let points = points(&[axis("k=a,b").unwrap()]);
    let runs: Vec<(usize, u64, Value)> = vec![
        (0, 1, result(&[("headwater", 200.0), ("a_star", 900.0)], 70.0)),
        (0, 2, result(&[("headwater", 100.0), ("a_star", 700.0)], 72.0)),
        (0, 3, result(&[("headwater", 130.0), ("a_star", 800.0)], 71.0)),
        (1, 1, result(&[("headwater", 10.0)], 5.0)),
        (1, 2, result(&[("headwater", 30.0)], 5.0)),
    ];
    let summary = summarise("s", &points, &runs);
    assert_eq!(summary.seeds, [1, 2, 3]);
    let rows: Vec<(String, &str, usize, Spread, Spread)> = summary
        .points
        .iter()
        .map(|row| {
            let figure = |path: &str| row.figures[path];
            (
                row.point.to_string(),
                row.of.as_str(),
                row.runs,
                figure("lag_ms.p50"),
                figure("bound_ms.mean"),
            )
        })
        .collect();
    let spread = |median, least, most| Spread { median, least, most };
    assert_eq!(
        rows,
        [
            (
                "k=a".to_owned(),
                "headwater",
                3,
                spread(130.0, 100.0, 200.0),
                spread(71.0, 70.0, 72.0)
            ),
            (
                "k=a".to_owned(),
                "a_star",
                3,
                spread(800.0, 700.0, 900.0),
                spread(71.0, 70.0, 72.0)
            ),
            (
                "k=b".to_owned(),
                "headwater",
                2,
                spread(20.0, 10.0, 30.0),
                spread(5.0, 5.0, 5.0)
            ),
        ]
    );
    assert!(
        summary.points[0]
            .figures
            .keys()
            .all(|path| !path.contains("params"))
    );
    let written = serde_json::to_value(&summary).unwrap();
    assert_eq!(written["points"][2]["settings"], json!({"k": "b"}));
    assert_eq!(written["points"][2]["figures"]["lag_ms.p50"]["median"], 20.0);
}

#[test]
fn cases_of_the_overlay_are_parts_of_their_own() {
    let result = json!({"scenario": "d", "doat": [{"found": 1.0}, {"found": 0.5}], "coords": {"median_rel_error": 0.1}});
    let summary = summarise("d", &points(&[]), &[(0, 1, result)]);
    let found: Vec<(&str, f64)> = summary
        .points
        .iter()
        .filter_map(|row| Some((row.of.as_str(), row.figures.get("found")?.median)))
        .collect();
    assert_eq!(found, [("doat 0", 1.0), ("doat 1", 0.5)]);
    assert_eq!(summary.points[2].of, "coords");
}
