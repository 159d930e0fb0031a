//! Several streams in one overlay: who knows any node of it finds all of them.

use std::path::Path;

use crate::program::{Program, command, line};

/// Half a minute of something that no player plays.
const SECONDS: usize = 30;

/// Casts that noise in real time, with a state folder of its own.
fn cast(home: &Path, state: &str, extra: &[&str]) -> (Program, wire::Link) {
    let args = [
        &[
            "cast",
            "noise",
            "--rate",
            "1mbit",
            "--listen",
            "127.0.0.1:0",
            "--state",
            state,
        ],
        extra,
    ]
    .concat();
    let mut program = Program::start(&mut command(home, &args));
    let link = line(&mut program.stdout());
    (program, link.parse().unwrap())
}

fn noise(home: &Path, seconds: usize) {
    let bytes = seconds * 1_000_000 / 8;
    let noise: Vec<u8> = (0..bytes as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(home.join("noise"), noise).unwrap();
}

/// Runs to its end, which must be a good one.
fn succeeds(home: &Path, args: &[&str]) {
    let outcome = Program::start(&mut command(home, args)).end();
    assert_eq!(outcome.code, Some(0), "{args:?}: {outcome:?}");
}

#[test]
fn any_node_leads_to_every_stream_and_is_known_the_next_time() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    noise(home, SECONDS);
    let (first, one) = cast(home, "a", &[]);
    let (second, two) = cast(home, "b", &["--join", &one.via[0].to_string()]);
    // A viewer of the first stream that knows only the second one's peercaster.
    let bare = wire::Link::new(one.stream).to_string();
    let via = format!("{bare}?via={}", two.via[0]);
    let watch = |link: &str| {
        let args = [
            "watch",
            link,
            "--headless",
            "--listen",
            "127.0.0.1:0",
            "--state",
            "v",
        ];
        succeeds(home, &[&args[..], &["--duration", "1", "--out", "out"]].concat());
        assert!(std::fs::metadata(home.join("out")).unwrap().len() > 10_000);
        std::fs::remove_file(home.join("out")).unwrap();
    };
    watch(&via);
    assert!(home.join("v/nodes.toml").exists());
    // It knows the way now.
    watch(&bare);
    // A donor that was told of no stream finds both.
    let args = [
        "donate",
        "--listen",
        "127.0.0.1:0",
        "--state",
        "d",
        "--upload",
        "20mbit",
    ];
    let join = two.via[0].to_string();
    let more = ["--join", &join, "--duration", "6", "--stats", "donor.jsonl"];
    succeeds(home, &[&args[..], &more].concat());
    let lines = std::fs::read_to_string(home.join("donor.jsonl")).unwrap();
    for stream in [one.stream, two.stream] {
        assert!(
            lines.contains(&stream.to_string()),
            "{stream} is not carried: {lines}"
        );
    }
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["join_ms"]["coord"].is_number(), "{line}");
    }
    for program in [first, second] {
        program.signal("INT");
        assert_eq!(program.end().code, Some(130));
    }
}

#[test]
fn who_finds_no_overlay_says_so_once() {
    let home = tempfile::tempdir().unwrap();
    noise(home.path(), SECONDS);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = taken.local_addr().unwrap().to_string();
    let (source, _) = cast(home.path(), "a", &["--join", &silent]);
    // It is said after ten seconds.
    let args = [
        "donate",
        "--join",
        &silent,
        "--listen",
        "127.0.0.1:0",
        "--state",
        "d",
        "--duration",
        "15",
    ];
    let donor = Program::start(&mut command(home.path(), &args)).end();
    source.signal("INT");
    let source = source.end();
    assert_eq!(donor.code, Some(0), "{donor:?}");
    for outcome in [donor, source] {
        let told = outcome.stderr.matches("no node of an overlay answers").count();
        assert_eq!(told, 1, "{outcome:?}");
    }
}

#[test]
fn a_donor_ends_with_its_stream() {
    let home = tempfile::tempdir().unwrap();
    noise(home.path(), 3);
    let (source, link) = cast(home.path(), "a", &[]);
    let link = link.to_string();
    let args = [
        "donate",
        &link,
        "--listen",
        "127.0.0.1:0",
        "--state",
        "d",
        "--upload",
        "20mbit",
    ];
    succeeds(home.path(), &args);
    assert_eq!(source.end().code, Some(0));
}

#[test]
fn a_broken_list_of_known_nodes_is_told_once_and_disturbs_nothing() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("d")).unwrap();
    std::fs::write(home.path().join("d/nodes.toml"), "node = 7").unwrap();
    let outcome = Program::start(&mut command(home.path(), &["donate", "--state", "d"])).end();
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let told = outcome.stderr.matches("nodes.toml").count();
    assert_eq!(told, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("--join"), "{outcome:?}");
}
