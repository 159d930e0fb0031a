//! The lab with a handful of real viewers. Needs Linux, root and a built `headwater`; says so where it cannot run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_sim::lab::program_beside;
use netlab::Lab;
use serde_json::Value;
use tempfile::TempDir;

const SIM: &str = env!("CARGO_BIN_EXE_headwater-sim");

/// One lab at a time: each fills a core, and what it measures would be the others'.
static TURN: Mutex<()> = Mutex::new(());

/// The program and the turn to use it, or the reason why nothing can be tested here.
fn program() -> Option<(PathBuf, MutexGuard<'static, ()>)> {
    let reason = match (Lab::available(), program_beside(Path::new(SIM))) {
        (Ok(()), Ok(program)) => {
            return Some((program, TURN.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        (Err(why), _) => format!("{why:#}"),
        (_, Err(why)) => why,
    };
    eprintln!("skipped: {reason}");
    None
}

/// Three viewers, one of which vanishes when the window is over, and another one that was told to go before.
const SMALL: [&str; 16] = [
    "planetlab",
    "--set",
    "peers.count=3",
    "--set",
    "peers.ri=3",
    "--set",
    "donors.count=1",
    "--set",
    "donors.over_s=1",
    "--set",
    "joins.0.over_s=1",
    "--set",
    "measure={start_s=4,length_s=4,drain_s=1}",
    "--set",
    "faults=[{kind='leave',at_s=6,share=0.34},{kind='crash',at_s=8.5,share=0.5},{kind='loss',at_s=5,loss=0.01}]",
    "--quiet",
];

fn sim(args: &[&str]) -> Output {
    Command::new(SIM).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Processes that were started with this folder.
fn left_behind(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| text(&line))
        .filter(|line| line.contains("--state") && line.contains(&folder))
        .collect()
}

/// Runs a lab that says nothing, does not fail and leaves no program behind; where its result is. What it keeps is in `keep`.
fn quiet_lab(program: &Path, folder: &TempDir, args: &[&str]) -> String {
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (keep, json, named) = (at("keep"), at("lab.json"), program.to_string_lossy());
    let more = ["--headwater", &named, "--keep", &keep, "--json", &json];
    let output = sim(&[&["lab"], args, &more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "quiet");
    assert_eq!(left_behind(folder.path()), Vec::<String>::new());
    json
}

fn read(json: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

fn figure(result: &Value, path: &str) -> f64 {
    let value = result.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("{path} in {result}"))
}

#[test]
fn three_viewers_get_what_was_sent_and_nothing_is_left_behind() {
    let Some((program, _turn)) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let json = quiet_lab(&program, &folder, &SMALL);
    let keep = at("keep");
    for file in ["source.jsonl", "viewer1.log", "viewer3.jsonl", "donor4.jsonl"] {
        assert!(Path::new(&keep).join(file).exists(), "{file}");
    }

    let result = read(&json);
    assert_eq!(result["params"]["fidelity"], "lab");
    assert_eq!(
        (&result["peers"], &result["lab"]["wrong_bytes"]),
        (&5.into(), &0.into())
    );
    let figure = |path: &str| figure(&result, path);
    let ours = "/results/headwater";
    // Wide bounds: a machine that is busy with other tests is slow, but not that slow.
    assert!(figure(&format!("{ours}/continuity/min")) > 0.8);
    let (lag, bound) = (figure(&format!("{ours}/lag_ms/p50")), figure("/bound_ms/mean"));
    assert!(lag > bound && lag < 3000.0, "{lag} {bound}");
    let arrival = figure(&format!("{ours}/arrival_ms/p50"));
    assert!(arrival > bound / 2.0 && arrival < lag, "{arrival}");
    assert!((20.0..4000.0).contains(&figure(&format!("{ours}/startup_ms/max"))));
    assert!(figure(&format!("{ours}/donors/startup_ms/max")) > 0.0);
    // Some 1.6 with headers: what the donor and the viewer that goes receive is sent, too, and not put out in the window.
    let network = figure("/lab/network_bytes_per_delivered_byte");
    assert!((1.0..2.2).contains(&network), "{network}");
    assert!(figure("/lost") > 0.0, "one copy in a hundred");
    assert!(
        result["results"]["headwater"].get("hops").is_none(),
        "nobody can see them"
    );

    let refused = sim(&["replay", &json]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let run = at("run.json");
    assert!(
        sim(&[&["run"], &SMALL[..], &["--json", &run]].concat())
            .status
            .success()
    );
    let compared = sim(&["compare", &run, &json]);
    assert!(text(&compared.stdout).contains("results.headwater.lag_ms.p50"));
}

#[test]
fn viewers_play_on_when_the_peercaster_is_back() {
    let Some((program, _turn)) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (keep, json) = (at("keep"), at("lab.json"));
    let named = program.to_string_lossy();
    let mut args = vec!["lab", "--headwater", &named, "--keep", &keep, "--json", &json];
    args.extend(&SMALL[..SMALL.len() - 4]);
    // It is away for a second in the middle of a window that ends well after its return.
    args.extend([
        "measure={start_s=4,length_s=10,drain_s=2}",
        "--set",
        "faults=[{kind='restart',at_s=6,away_s=1}]",
        "--quiet",
    ]);
    let output = sim(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(Path::new(&keep).join("source-2.jsonl").exists());
    assert!(
        !Path::new(&keep).join("source-2.state").exists(),
        "it has its key"
    );
    let result = read(&json);
    assert_eq!(result["lab"]["wrong_bytes"], 0);
    let worst = result.pointer("/results/headwater/continuity/min");
    // Nine of the ten seconds are made; up to three of them may be lost on a busy machine, and it is away for one.
    assert!(worst.and_then(Value::as_f64).unwrap() > 0.5, "{result}");
    let copies = result.pointer("/results/headwater/source_copies");
    assert!(
        copies.and_then(Value::as_f64).unwrap() > 0.5,
        "both programs count: {result}"
    );
}

#[test]
#[allow(clippy::disallowed_methods)] // Waits until real programs run.
fn an_interrupt_ends_everything() {
    let Some((program, _turn)) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("keep");
    let mut lab = Command::new(SIM)
        .arg("lab")
        .args(SMALL)
        .arg("--headwater")
        .arg(program)
        .arg("--keep")
        .arg(&keep)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        if left_behind(folder.path()).len() >= 3 {
            break;
        }
    }
    assert!(left_behind(folder.path()).len() >= 3, "it runs");
    netlab::interrupt(&lab).unwrap();
    assert_eq!(lab.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(folder.path()), Vec::<String>::new());
}

/// Two streams in one overlay, eight nodes, three of which are killed: the peercasters, who keep trackers, and one more.
const STREAMS: [&str; 8] = [
    "discovery",
    "--set",
    "streams={count=2,nodes=8,over_s=4,settle_s=3,late=1,watch_s=5,drain_s=6}",
    "--set",
    "kill={every_s=2,away_s=1,most=3}",
    "--set",
    "seed=1",
    "--quiet",
];

#[test]
fn viewers_of_two_streams_find_theirs_by_way_of_any_node() {
    let Some((program, _turn)) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = quiet_lab(&program, &folder, &STREAMS);
    let result = read(&json);
    let figure = |path: &str| figure(&result, path);
    assert_eq!((figure("/peers"), figure("/lab/wrong_bytes")), (11.0, 0.0));
    // Nobody was told of a peercaster; all have found theirs.
    for who in ["late", "all"] {
        let at = |what: &str| figure(&format!("/discovery/join_ms/{who}/{what}"));
        assert_eq!(at("unanswered"), 0.0, "{result}");
        assert!((20.0..5000.0).contains(&at("tracker/p95")), "{result}");
        assert!(at("first_chunk/p50") > 20.0, "{result}");
    }
    // Peercasters ask for no tracker.
    assert_eq!(figure("/discovery/restarts/nodes"), 1.0);
    assert_eq!(figure("/discovery/restarts/unanswered"), 0.0);
    assert_eq!(figure("/discovery/late_nearest/at_first/of"), 1.0);
    // Wide bounds: a machine that is busy with other tests is slow.
    assert!(figure("/discovery/continuity/whole/min") > 0.5, "{result}");
    let trackers = result.pointer("/discovery/trackers_at/1/trackers");
    assert_eq!(trackers, Some(&serde_json::json!([1, 1])));

    let refused = sim(&["replay", &json]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let compared = sim(&["compare", &json, &json]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
}

/// Two viewers, two strangers and one who never gave anything.
const SPEND: [&str; 6] = [
    "spend",
    "--set",
    "spend={viewers=2,strangers=2,idlers=1,donor_x=4,earn_s=10,between_s=20,spend_s=35}",
    "--set",
    "stream.rate='0.5mbit'",
    "--quiet",
];

#[test]
fn a_donor_is_served_by_strangers_for_what_others_owe_it() {
    let Some((program, _turn)) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = quiet_lab(&program, &folder, &SPEND);
    let result = read(&json);
    let figure = |path: &str| figure(&result, path);
    // Peercaster, donor and two viewers; peercaster and four; peercaster, donor and five.
    assert_eq!((figure("/peers"), figure("/lab/wrong_bytes")), (16.0, 0.0));
    assert!(figure("/spend/earned_bytes") > 200_000.0, "{result}");
    assert!(figure("/spend/between_bytes") > 400_000.0, "{result}");
    // Mostly after 7 to 11 s, by when debts have been heard of; a machine that runs other tests as well takes longer.
    assert!(figure("/spend/first_spent_s") < 35.0, "{result}");
    assert!(figure("/spend/spent_bytes") > 0.0, "{result}");
    assert_eq!(result["spend"]["lost_is_back"], true, "{result}");
    for after in 0..3 {
        let at = |what: &str| figure(&format!("/spend/agreement/{after}/{what}"));
        assert!(at("pairs") >= 3.0, "{result}");
        assert_eq!(at("within_receipt"), at("pairs"), "{result}");
        assert_eq!(at("same_shifts"), at("same_state"), "{result}");
    }
    let refused = sim(&["replay", &json]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let refused = sim(&["run", "spend"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let compared = sim(&["compare", &json, &json]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
}
