//! `headwater trust`, and the ledger that runs leave behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, command, line, run};

/// What `trust show --json` says.
fn show(home: &Path, state: &str) -> Value {
    let outcome = run(home, &["trust", "show", "--json", "--state", state]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn ledger(home: &Path, state: &str) -> PathBuf {
    let files = std::fs::read_dir(home.join(state)).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let found = files.find(|path| path.extension().is_some_and(|end| end == "redb"));
    found.unwrap()
}

/// A cast of a fifth of a second.
fn cast_shortly<'a>(home: &Path, state: &'a str) -> [&'a str; 8] {
    std::fs::write(home.join("short"), vec![7; 50_000]).unwrap();
    [
        "cast",
        "short",
        "--rate",
        "2mbit",
        "--listen",
        "127.0.0.1:0",
        "--state",
        state,
    ]
}

#[test]
fn what_a_viewer_took_both_sides_know_while_they_run_and_after() {
    let home = tempfile::tempdir().unwrap();
    let media: Vec<u8> = (0..2_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(home.path().join("media"), &media).unwrap();
    // Eight seconds.
    let cast = [
        "cast",
        "media",
        "--rate",
        "2mbit",
        "--listen",
        "127.0.0.1:0",
        "--state",
        "c",
    ];
    let mut cast = Program::start(&mut command(home.path(), &cast));
    let link = line(&mut cast.stdout());
    let watch = [
        "watch",
        &link,
        "--listen",
        "127.0.0.1:0",
        "--headless",
        "--out",
        "out",
        "--state",
        "w",
        "--stats",
        "watch.jsonl",
    ];
    let watch = Program::start(command(home.path(), &watch).stdout(Stdio::null()));
    std::thread::sleep(Duration::from_secs(5));
    // The node has the file open, and is not disturbed.
    let during = show(home.path(), "c");
    assert!(during["earned_bytes"].as_u64().unwrap() > 100_000, "{during}");
    assert_eq!(watch.end().code, Some(0));
    assert_eq!(cast.end().code, Some(0));

    let (caster, viewer) = (show(home.path(), "c"), show(home.path(), "w"));
    let earned = caster["earned_bytes"].as_u64().unwrap();
    assert!(earned > during["earned_bytes"].as_u64().unwrap());
    assert_eq!(
        caster["accounts"][0]["peer"], viewer["peer"],
        "{caster} and {viewer}"
    );
    assert_eq!(caster["accounts"][0]["claim_bytes"], earned);
    let stats = std::fs::read_to_string(home.path().join("watch.jsonl")).unwrap();
    let summary: Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
    let took = summary["trust"]["owed_bytes"].as_u64().unwrap();
    let came = summary["bytes_in"].as_u64().unwrap();
    assert!(took > 1_000_000 && took <= came, "{summary}");
    // The last receipt is given with the goodbye.
    assert!(earned >= took && earned <= came, "{earned} of {came}");
    // The viewer's own file has what both have signed.
    let owed = viewer["owed_bytes"].as_u64().unwrap();
    assert!(owed <= earned, "{viewer}");

    let text = run(home.path(), &["trust", "show", "--state", "c"]);
    assert!(text.stdout.contains(" MB, you owe others 0 B"), "{text:?}");
    let peer = viewer["peer"].as_str().unwrap();
    let path = run(home.path(), &["trust", "path", peer, "--json", "--state", "c"]);
    let path: Value = serde_json::from_str(&path.stdout).unwrap();
    assert_eq!(path["bytes"], earned, "{path}");
    assert_eq!(path["paths"][0]["peers"].as_array().unwrap().len(), 2);

    // A damaged file: no figure is made up, and the next node keeps it aside.
    let file = ledger(home.path(), "c");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(5000);
    std::fs::write(&file, &bytes).unwrap();
    let refused = run(home.path(), &["trust", "show", "--state", "c"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot be read"), "{refused:?}");
    let again = run(home.path(), &cast_shortly(home.path(), "c"));
    assert!(
        again.stderr.contains("is damaged") && again.stderr.contains("kept as"),
        "{again:?}"
    );
    let names = std::fs::read_dir(home.path().join("c")).unwrap();
    let aside = names.map(|file| file.unwrap().path()).find(|path| {
        let name = path.to_string_lossy();
        name.contains(".damaged-")
    });
    assert_eq!(std::fs::read(aside.unwrap()).unwrap(), bytes);
    assert_eq!(show(home.path(), "c")["earned_bytes"], 0);
}

#[test]
fn trust_is_refused_in_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], parts: &[&str]| run(home.path(), args).refused(parts);
    refused(
        &["trust", "show", "--state", "none"],
        &["identity", "cannot be used"],
    );
    refused(&["trust", "path", "somebody"], &["PEER"]);
    let peer = "a".repeat(52);
    refused(&["trust", "shift", &peer, "1kB"], &["the least is 32.8 kB"]);
    refused(&["trust", "shift", &peer, "64MB"], &["nobody is known"]);
    let made = run(home.path(), &cast_shortly(home.path(), "s"));
    assert_eq!(made.code, Some(0), "{made:?}");
    let empty = run(home.path(), &["trust", "show", "--state", "s"]);
    assert!(empty.stdout.contains("no accounts yet"), "{empty:?}");
}
