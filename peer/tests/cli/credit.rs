//! Earned in one stream, spent in another: real programs, all stopped in between.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Program, command, line, run};

/// What two sides may differ by that were stopped in the midst of it: what is taken before a receipt is due (docs/INCENTIVES.md).
const RECEIPT_WINDOW: i64 = 256 * 1024;

/// The least shift there is.
const SHIFT: i64 = 32_768;

/// What each of the old viewers is to owe the donor after the first stream.
const EARNED: i64 = 1_000_000;

/// What each stranger is to owe the old viewers after the second one. In the third stream those spend it, which takes them a minute at least.
const OWED: i64 = 2_000_000;

/// Each of the streams. They take 10, 20 and 7 to 16 s (docs/results/trust.md).
const WITHIN: Duration = Duration::from_secs(200);

const OLD: [&str; 3] = ["old1", "old2", "old3"];
const NEW: [&str; 3] = ["new1", "new2", "new3"];

/// A node that keeps its key beside its state folder, so that one can be lost without the other, once it has the key.
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
    let program = Program::start(&mut command(home, &[args, &own].concat()));
    wait_until(name, || {
        let has_key = std::fs::metadata(home.join(&key)).is_ok_and(|file| file.len() > 0);
        (!has_key).then(|| "no key".to_owned())
    });
    program
}

fn cast(home: &Path, name: &str, rate: &str, upload: &str) -> (Program, String) {
    let args = ["cast", "media", "--loop", "--rate", rate, "--upload", upload];
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

/// What one owes the other, negative if it is the other way round.
fn owes(creditor: &Value, debtor: &Value) -> i64 {
    account(creditor, debtor).map_or(0, |account| bytes(account, "claim_bytes"))
}

/// Waits until nothing is lacking, and says for how many seconds.
fn wait_until(what: &str, lacking: impl Fn() -> Option<String>) -> f64 {
    let begun = Instant::now();
    while let Some(lacking) = lacking() {
        assert!(begun.elapsed() < WITHIN, "{what}: {lacking}");
        std::thread::sleep(Duration::from_millis(200));
    }
    begun.elapsed().as_secs_f64()
}

/// Who it is, by what it keeps.
fn identity(home: &Path, name: &str) -> Value {
    show(home, name)["peer"].clone()
}

/// Whether it was served by this peer for what somebody else had owed it.
fn has_spent(donor: &Value, with: &Value) -> bool {
    account(donor, with).is_some_and(|account| {
        bytes(account, "given_bytes") == 0
            && bytes(account, "shifted_bytes") >= SHIFT
            && bytes(account, "taken_bytes") >= SHIFT
    })
}

/// In each stream only some give, so that nobody has a choice of suppliers: in the first one the donor, to three viewers; in the
/// second those, to three strangers; in the third the strangers, to all. So there the donor depends on strangers, who owe those
/// who owe the donor.
#[test]
fn what_a_donor_earned_it_spends_in_another_stream_with_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let media: Vec<u8> = (0..2_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(home.join("media"), &media).unwrap();

    let (caster, link) = cast(home, "first", "1mbit", "1200kbit");
    let donor = start(home, "donor", &["donate", &link, "--upload", "20mbit"]);
    let [killed, lost, stopped] = OLD.map(|name| watch(home, name, &link, "200kbit", "passive"));
    let olds = OLD.map(|name| identity(home, name));
    let first = wait_until("the first stream", || {
        let donor = show(home, "donor");
        let earned = olds.iter().all(|old| owes(&donor, old) >= EARNED);
        (!earned).then(|| donor.to_string())
    });
    killed.signal("KILL");
    drop(killed);
    for program in [lost, stopped, donor, caster] {
        stop(program);
    }
    let earned = show(home, "donor");
    for name in OLD {
        let debtor = show(home, name);
        let apart = owes(&earned, &debtor["peer"]) + owes(&debtor, &earned["peer"]);
        assert!(apart.abs() <= RECEIPT_WINDOW, "{earned} and {debtor}");
    }
    std::fs::remove_dir_all(home.join("old2")).unwrap();

    let (caster, link) = cast(home, "second", "1mbit", "1200kbit");
    let mut running = vec![caster];
    running.extend(OLD.map(|name| watch(home, name, &link, "1800kbit", "active")));
    running.extend(NEW.map(|name| watch(home, name, &link, "200kbit", "passive")));
    let news = NEW.map(|name| identity(home, name));
    let second = wait_until("the second stream", || {
        let olds = OLD.map(|name| show(home, name));
        let owed = news
            .each_ref()
            .map(|new| olds.iter().map(|old| owes(old, new)).sum::<i64>());
        let lacking = owed.iter().any(|owed| *owed < OWED);
        lacking.then(|| format!("{owed:?} of {olds:?}"))
    });
    for program in running {
        stop(program);
    }

    // The uplinks bear 7.2 viewers of eight.
    let (caster, link) = cast(home, "third", "250kbit", "350kbit");
    let mut running = vec![caster];
    running.extend(NEW.map(|name| watch(home, name, &link, "600kbit", "active")));
    let takers = OLD.into_iter().chain(["donor", "idler"]);
    running.extend(takers.map(|name| watch(home, name, &link, "200kbit", "passive")));
    let third = wait_until("the third stream", || {
        let donor = show(home, "donor");
        let spent = news.iter().any(|new| has_spent(&donor, new));
        (!spent).then(|| donor.to_string())
    });
    for program in running {
        stop(program);
    }
    eprintln!("earned after {first:.1} s, owed after {second:.1} s, spent after {third:.1} s");

    let donor = show(home, "donor");
    assert!(account(&donor, &identity(home, "idler")).is_none(), "{donor}");
    // It has heard who owes those who owe it.
    let far = news.iter().any(|new| {
        let of = ["--identity", "donor.key", "--state", "donor"];
        let path = ["trust", "path", new.as_str().unwrap(), "--json"];
        let outcome = run(home, &[&path[..], &of].concat());
        let found: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let mut ways = found["paths"].as_array().unwrap().iter();
        ways.any(|way| way["peers"].as_array().unwrap().len() > 2)
    });
    assert!(far, "{donor}");
    let mut agreed = 0;
    for name in OLD.into_iter().chain(NEW) {
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
