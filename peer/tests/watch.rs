//! `headwater watch` and `headwater demo` as a user starts them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A link with a valid key that nobody casts under.
fn link(via: &str) -> String {
    let stream = wire::SecretKey::from_bytes(&[7; 32]).stream_id();
    format!("headwater:{stream}?via={via}")
}

fn headwater(words: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(words);
    if words.first() == Some(&"watch") {
        command.arg("--state").arg(state.path());
    }
    command.output().unwrap()
}

/// It fails with this exit code and one line that says what is wrong, and prints nothing else.
fn check(words: &[&str], code: i32, part: &str) {
    let output = headwater(words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    let sentence = said
        .lines()
        .find(|line| line.starts_with("headwater: "))
        .unwrap_or_else(|| panic!("{words:?}: {said}"));
    assert!(sentence.contains(part), "{words:?}: {said}");
    assert!(output.stdout.is_empty(), "{words:?}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it measures how long a user waits")]
fn what_is_wrong_with_the_words_is_said_before_anything_starts() {
    let good = link("127.0.0.1:9");
    let began = Instant::now();
    check(&["watch"], 2, "<LINK>");
    check(&["watch", "http://example.org"], 2, "headwater:");
    check(&["watch", "headwater:abc"], 2, "stream id");
    check(&["watch", &link("nowhere")], 2, "via");
    check(&["watch", &good[..good.find('?').unwrap()]], 2, "via=HOST:PORT");
    check(
        &["watch", &good, "--out", "/no/such/dir/x.ts"],
        2,
        "/no/such/dir/x.ts",
    );
    check(
        &["watch", &good, "--out", "rtmp://a/b"],
        2,
        "rtmp:// is no output",
    );
    check(
        &["watch", &good, "--out", "exec:no-such-player-here"],
        2,
        "no-such-player-here",
    );
    check(
        &["watch", &good, "--out", "-", "--stats", "-"],
        2,
        "standard output",
    );
    check(&["watch", &good, "--out", "-", "--out", "-"], 2, "twice");
    check(&["watch", &good, "--target-lag", "soon"], 2, "auto");
    check(&["watch", &good, "--prefer", "fast"], 2, "smooth");
    check(&["watch", &good, "--duration", "0"], 2, "--duration");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", taken.local_addr().unwrap());
    check(&["watch", &good, "--out", &at], 2, "choose another port");
    check(&["demo", "--viewers", "0"], 2, "--viewers");
    check(&["demo", "--input", "/no/such/file.ts"], 2, "/no/such/file.ts");
    check(&["demo", "--rate", "1kbit"], 2, "test card");
    // None of them waited for a network.
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it measures how long a user waits")]
fn a_link_to_nobody_ends_after_some_seconds() {
    // Nobody answers at a port that is bound and never read.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let via = silent.local_addr().unwrap().to_string();
    let began = Instant::now();
    check(
        &["watch", &link(&via), "--headless"],
        1,
        "nobody who knows the stream",
    );
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
