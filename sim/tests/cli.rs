//! The command line: exit codes, outputs, and errors of one sentence.

#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use std::path::Path;
use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headwater-sim"))
        .args(args)
        .output()
        .unwrap()
}

/// The paper's swarm with a dozen peers for a few seconds.
const SMALL: [&str; 12] = [
    "run",
    "paper-fig5",
    "--set",
    "peers.count=10",
    "--set",
    "donors.count=2",
    "--set",
    "measure.start_s=3",
    "--set",
    "measure.length_s=2",
    "--set",
    "joins.0.over_s=1",
];

fn small(more: &[&str]) -> Output {
    sim(&[&SMALL, more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refused(args: &[&str], said: &str) {
    let output = sim(args);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
    assert!(error.contains(said), "{args:?}: {error}");
    assert_eq!(error.trim_end().lines().count(), 1, "one sentence: {error}");
    assert!(!error.contains("os error"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_input_is_one_sentence_and_exit_code_2() {
    refused(&["run", "no-such-thing"], "no-such-thing");
    refused(&["run", "paper-fig5", "--set", "peers.cuont=3"], "cuont");
    refused(&["run", "paper-fig5", "--set", "network.loss=2"], "network.loss");
    refused(&["run", "planetlab", "--set", "space.file=/nowhere"], "/nowhere");
    refused(
        &["run", "doat-1k", "--packet"],
        "neither a packet level nor baselines",
    );
    refused(
        &["run", "coords-planetlab", "--baselines", "star"],
        "neither a packet level nor baselines",
    );
    refused(&["replay", "/nowhere.json"], "/nowhere.json");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.toml");
    std::fs::write(&file, "speers = 3").unwrap();
    let name = file.to_string_lossy().into_owned();
    refused(&["run", &name], "x.toml");
    refused(&["replay", &name], "not a result file");
    refused(&["compare", &name, &name], "not a result file");
    std::fs::write(&file, [0xff, 0xfe, 0]).unwrap();
    refused(&["run", &name], "x.toml");
    for nothing in ["{}", "[1, 2]", "{\"seed\": 1, \"results\": {}}"] {
        std::fs::write(&file, nothing).unwrap();
        refused(&["compare", &name, &name], "not a result file");
        refused(&["replay", &name], "not a result file");
    }
    refused(&["compare", "/nowhere.json", &name], "/nowhere.json (no such");
    assert_eq!(sim(&["walk"]).status.code(), Some(2));
}

#[test]
fn the_lab_refuses_what_real_programs_cannot_do() {
    refused(&["lab", "doat-1k"], "doat-1k has no stream");
    refused(&["lab", "discovery", "--set", "streams.count=0"], "streams.count");
    refused(
        &["lab", "planetlab", "--set", "network.max_neighbours=12"],
        "network.max_neighbours",
    );
    refused(
        &["run", "planetlab", "--set", "fidelity=lab"],
        "headwater-sim lab",
    );
}

#[test]
fn what_only_the_lab_runs_is_refused_elsewhere() {
    let said = "discovery has several streams of real programs, which only headwater-sim lab runs";
    refused(&["run", "discovery"], said);
    refused(&["run", "discovery", "--packet"], said);
    refused(&["sweep", "discovery"], said);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.json");
    std::fs::write(
        &file,
        r#"{"params": {"name": "discovery", "streams": {"count": 3}}}"#,
    )
    .unwrap();
    refused(&["replay", &file.to_string_lossy()], "comes from the lab");
}

#[test]
fn list_names_what_there_is() {
    let output = sim(&["list"]);
    assert!(output.status.success());
    let list = text(&output.stdout);
    for name in [
        "paper-fig5",
        "paper-fig5-no-ncp",
        "planetlab",
        "churn",
        "flash-crowd",
        "mass-exit",
        "discovery",
        "spend",
    ] {
        assert!(
            list.lines()
                .any(|line| line.split_whitespace().next() == Some(name)),
            "{list}"
        );
    }
}

#[test]
fn a_run_prints_its_table_and_writes_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let (json, svg, csv) = (at("r.json"), at("figures"), at("tables"));
    let output = small(&["--json", &json, "--svg", &svg, "--csv", &csv]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("lower bound") && table.contains("playout lag"),
        "{table}"
    );
    assert!(
        text(&output.stderr).contains("seed 1: 10 consumers"),
        "drawn parameters"
    );
    let figure = std::fs::read_to_string(Path::new(&svg).join("paper-fig5-1-lag.svg")).unwrap();
    assert!(figure.contains("arrival lag") && figure.contains("lower bound of the mean"));
    let rows = std::fs::read_to_string(Path::new(&csv).join("paper-fig5-1-peers.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 13);
    let columns = rows.lines().next().unwrap().split(',').count();
    assert!(
        rows.lines().all(|line| line.split(',').count() == columns),
        "{rows}"
    );

    let again = sim(&["replay", &json]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("the same happened"));

    let other = at("other.json");
    assert!(
        small(&["--seed", "2", "--quiet", "--json", &other])
            .status
            .success()
    );
    let compared = sim(&["compare", &json, &other]);
    assert!(compared.status.success());
    assert!(text(&compared.stdout).contains("results.headwater.lag_ms.p50"));
    let three = sim(&["compare", &json, &other, &json]);
    assert!(three.status.success(), "{}", text(&three.stderr));
    let table = text(&three.stdout);
    let lag = table
        .lines()
        .find(|line| line.starts_with("results.headwater.lag_ms.p50"));
    assert_eq!(lag.unwrap().matches('%').count(), 2, "{table}");
    assert_eq!(sim(&["compare", &json]).status.code(), Some(2), "one is too few");
    let drawn = sim(&["compare", &json, &other, "--svg", &svg]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let figure = std::fs::read_to_string(Path::new(&svg).join("compare-distance.svg")).unwrap();
    assert!(figure.contains("other.json: playout lag") && figure.contains("lower bound of the mean"));
}

#[test]
fn a_replay_that_goes_otherwise_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.json");
    let output = small(&["--quiet", "--json", "-"]);
    assert!(output.stderr.is_empty(), "quiet: {}", text(&output.stderr));
    let mut result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    result["audit"] = "00".into();
    std::fs::write(&file, result.to_string()).unwrap();
    let output = sim(&["replay", &file.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("something else happened"));
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    for (flag, place) in [
        ("--json", "/nowhere/r.json"),
        ("--svg", "/dev/null/figures"),
        ("--csv", "/dev/null/tables"),
    ] {
        let output = small(&["--quiet", flag, place]);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.contains(place) && error.contains(flag), "{error}");
        assert!(!error.contains("os error"), "{error}");
    }
}

#[test]
fn scenarios_of_the_overlay_give_a_table_a_result_and_a_replay() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ring.json").to_string_lossy().into_owned();
    let small = [
        "--set",
        "ring.nodes=40",
        "--set",
        "ring.trackers=[4]",
        "--set",
        "ring.settle_s=5",
    ];
    let output = sim(&[&["run", "doat-1k", "--json", &file][..], &small].concat());
    let table = text(&output.stdout);
    assert!(
        output.status.success() && table.contains("clustered") && table.contains("stretch"),
        "{table}"
    );
    let result: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let cases = result["doat"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for field in [
        "nodes",
        "space",
        "trackers",
        "bloom_fp",
        "queries",
        "found",
        "p_nearest",
        "loops",
        "messages_per_node_s",
    ] {
        assert!(!cases[0][field].is_null(), "{field}");
    }
    for (whole, parts) in [
        ("stretch", &["mean", "p90", "p99"][..]),
        ("extra_ms", &["mean", "p90"]),
        ("hops", &["mean", "p99", "max"]),
    ] {
        assert!(
            parts.iter().all(|part| cases[0][whole][part].is_number()),
            "{whole}"
        );
    }
    assert!(sim(&["replay", &file]).status.success());
    let changed = std::fs::read_to_string(&file)
        .unwrap()
        .replace("\"seed\": 1", "\"seed\": 2");
    std::fs::write(&file, changed).unwrap();
    assert_eq!(
        sim(&["replay", &file]).status.code(),
        Some(1),
        "another seed, another run"
    );
    refused(&["run", "coords-planetlab", "--svg", "figures"], "--svg");
    refused(
        &["run", "coords-planetlab", "--set", "coords.liars=2"],
        "coords.liars",
    );
}

/// A sweep over a small swarm.
const SWEEP: [&str; 12] = [
    "sweep",
    "planetlab",
    "--set",
    "peers.count=6",
    "--set",
    "measure.start_s=2",
    "--set",
    "measure.length_s=1",
    "--set",
    "joins.0.over_s=1",
    "--seeds",
    "1-2",
];

#[test]
fn a_sweep_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (keep, csv) = (folder.path().join("runs"), folder.path().join("all.csv"));
    let (kept, table) = (keep.to_string_lossy(), csv.to_string_lossy());
    let swept = |more: &[&str]| {
        let output = sim(&[&SWEEP, more, &["--keep", &kept, "--csv", &table]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (first, said) = swept(&[
        "--vary",
        "peers.prefer=live",
        "--svg",
        &folder.path().to_string_lossy(),
    ]);
    assert!(said.contains("2 runs at 1 points"), "{said}");
    assert!(!said.contains("there already"), "{said}");
    assert!(first.contains("| live "), "{first}");
    assert!(folder.path().join("planetlab-sweep-tradeoff.svg").exists());
    // Two runs more, and those made before are taken as they are.
    let (second, said) = swept(&["--vary", "peers.prefer=live,smooth", "--jobs", "2"]);
    assert!(said.contains("2 of them are there already"), "{said}");
    let row = |table: &str| {
        table
            .lines()
            .find(|line| line.contains("| live"))
            .map(str::to_owned)
    };
    let cells = |row: Option<String>| row.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(cells(row(&first)), cells(row(&second)));
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(lines.lines().count(), 5, "{lines}");
    // A result is one like any other.
    let file = keep.join("planetlab-peers.prefer=live-2.json");
    let name = file.to_string_lossy();
    assert!(sim(&["replay", "--quiet", &name]).status.success());
    // One that another program made is not taken.
    std::fs::write(keep.join("program"), "another").unwrap();
    let (_, said) = swept(&["--vary", "peers.prefer=live"]);
    assert!(!said.contains("there already"), "{said}");
}

#[test]
fn a_sweep_refuses_before_it_runs() {
    refused(&["sweep", "no-such-thing"], "no-such-thing");
    refused(&["sweep", "planetlab", "--vary", "peers.cuont=1,2"], "cuont");
    refused(&["sweep", "planetlab", "--set", "fidelity=lab"], "fidelity");
    refused(&["sweep", "doat-1k", "--svg", "x"], "nothing for --svg");
    refused(&["sweep", "planetlab", "--keep", "/dev/null/x"], "--keep");
    for wrong in [["--vary", "peers.count"], ["--seeds", "5-1"], ["--jobs", "0"]] {
        let output = sim(&[["sweep", "planetlab"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
