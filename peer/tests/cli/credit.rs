//! Earned in one stream, spent in another: real programs, all stopped in between.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Program, command, line, run};

/// What two sides may differ by that were stopped in the midst of it: what is taken before a receipt is due (docs/INCENTIVES.md).
const RECEIPT_WINDOW: i64 = 256 * 1024;

/// The least shift there is.
const SHIFT: i64 = 32_768;

/// On a calm machine it took 10 to 80 s (docs/results/trust.md).
const SPENT_WITHIN: Duration = Duration::from_secs(200);

/// The uplinks of the second stream bear 7.3 viewers of nine: two, the donor and an idler, give nothing.
const CONTRIBUTORS: [(&str, &str); 6] = [
    ("old1", "1800kbit"),
    ("old2", "1800kbit"),
    ("old3", "1800kbit"),
    ("new1", "650kbit"),
    ("new2", "650kbit"),
    ("new3", "650kbit"),
];

/// A node that keeps its key beside its state folder, so that one can be lost without the other.
fn start(home: &Path, name: &str, args: &[&str]) -> Program {
    let key = format!("{name}.key");
    let own = [
        "--listen",
        "127.0.0.1:0",
        "--headless",
        "--identity",
        &key,
        "--state",
        name,
    ];
    Program::start(&mut command(home, &[args, &own].concat()))
}

fn cast(home: &Path, name: &str, upload: &str) -> (Program, String) {
    let args = ["cast", "media", "--loop", "--rate", "1mbit", "--upload", upload];
    let mut program = start(home, name, &args);
    let link = line(&mut program.stdout());
    (program, link)
}

fn watch(home: &Path, name: &str, link: &str, upload: &str, participate: &str) -> Program {
    let args = ["watch", link, "--upload", upload, "--participate", participate];
    start(home, name, &args)
}

fn stop(program: Program) {
    program.signal("TERM");
    let outcome = program.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
}

/// What `trust show` says.
fn show(home: &Path, name: &str) -> Value {
    let key = format!("{name}.key");
    let args = ["trust", "show", "--json", "--identity", &key, "--state", name];
    let outcome = run(home, &args);
    assert_eq!(outcome.code, Some(0), "{name}: {outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn account<'a>(shown: &'a Value, peer: &Value) -> Option<&'a Value> {
    let mut accounts = shown["accounts"].as_array().unwrap().iter();
    accounts.find(|account| account["peer"] == *peer)
}

fn bytes(account: &Value, field: &str) -> i64 {
    account[field].as_i64().unwrap()
}

/// Whether it was served by this peer for what somebody else had owed it.
fn has_spent(donor: &Value, with: &Value) -> bool {
    account(donor, with).is_some_and(|account| {
        bytes(account, "given_bytes") == 0
            && bytes(account, "shifted_bytes") >= SHIFT
            && bytes(account, "taken_bytes") >= SHIFT
    })
}

#[test]
fn what_a_donor_earned_it_spends_in_another_stream_with_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let media: Vec<u8> = (0..2_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(home.join("media"), &media).unwrap();

    let (caster, link) = cast(home, "first", "2500kbit");
    let donor = start(home, "donor", &["donate", &link, "--upload", "20mbit"]);
    let [killed, lost, stopped] =
        ["old1", "old2", "old3"].map(|name| watch(home, name, &link, "400kbit", "active"));
    std::thread::sleep(Duration::from_secs(20));
    killed.signal("KILL");
    drop(killed);
    for program in [lost, stopped, donor, caster] {
        stop(program);
    }
    let earned = show(home, "donor");
    assert!(earned["earned_bytes"].as_i64().unwrap() > 8 * SHIFT, "{earned}");
    for name in ["old1", "old2", "old3"] {
        let debtor = show(home, name);
        let theirs = account(&debtor, &earned["peer"]).map_or(0, |account| bytes(account, "claim_bytes"));
        let ours = account(&earned, &debtor["peer"]).map_or(0, |account| bytes(account, "claim_bytes"));
        assert!((ours + theirs).abs() <= RECEIPT_WINDOW, "{earned} and {debtor}");
    }
    std::fs::remove_dir_all(home.join("old2")).unwrap();

    let (caster, link) = cast(home, "second", "1400kbit");
    let mut running: Vec<Program> = CONTRIBUTORS
        .iter()
        .map(|(name, upload)| watch(home, name, &link, upload, "active"))
        .collect();
    // What is owed to those who know the donor has to come about first.
    std::thread::sleep(Duration::from_secs(8));
    running.push(watch(home, "donor", &link, "200kbit", "passive"));
    running.push(watch(home, "idler", &link, "200kbit", "passive"));
    let strangers: Vec<Value> = ["new1", "new2", "new3"]
        .iter()
        .map(|name| show(home, name)["peer"].clone())
        .collect();
    let begun = Instant::now();
    loop {
        let donor = show(home, "donor");
        if strangers.iter().any(|peer| has_spent(&donor, peer)) {
            break;
        }
        assert!(begun.elapsed() < SPENT_WITHIN, "not spent: {donor}");
        std::thread::sleep(Duration::from_secs(1));
    }
    running.push(caster);
    for program in running {
        stop(program);
    }

    let donor = show(home, "donor");
    assert!(account(&donor, &show(home, "idler")["peer"]).is_none(), "{donor}");
    let mut agreed = 0;
    for (name, _) in CONTRIBUTORS {
        let other = show(home, name);
        let (Some(ours), Some(theirs)) = (account(&donor, &other["peer"]), account(&other, &donor["peer"]))
        else {
            continue;
        };
        let apart = bytes(ours, "claim_bytes") + bytes(theirs, "claim_bytes");
        assert!(apart.abs() <= RECEIPT_WINDOW, "{name}: {ours} and {theirs}");
        if ours["state"] == theirs["state"] {
            agreed += 1;
            let both = (bytes(ours, "shifted_bytes"), bytes(theirs, "shifted_bytes"));
            assert_eq!(both.0, -both.1, "{name}: {ours} and {theirs}");
        }
    }
    assert!(agreed > 0, "{donor}");
}
