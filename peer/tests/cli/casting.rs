//! Running and ending: the link, notices, interrupts.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::program::{Program, command, line, run_with};

/// A cast that reads standard input, which stays open.
fn cast(home: &std::path::Path, extra: &[&str]) -> Program {
    let args = [&["cast", "--listen", "127.0.0.1:0"], extra].concat();
    Program::start(command(home, &args).stdin(Stdio::piped()))
}

#[test]
fn the_link_is_the_only_line_and_noise_is_carried_with_a_notice() {
    let home = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..100_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let outcome = run_with(
        home.path(),
        &["cast", "--listen", "127.0.0.1:0", "--title", "Noise"],
        &noise,
    );
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "{outcome:?}");
    let link: wire::Link = lines[0].parse().unwrap();
    assert_eq!(link.title.as_deref(), Some("Noise"));
    assert_eq!(link.via.len(), 1, "listening on one address: {link:?}");
    assert_eq!(link.via[0].host(), "127.0.0.1");
    assert_eq!(link.content_key, None);
    let notices = outcome
        .stderr
        .lines()
        .filter(|line| line.contains("opaque"))
        .count();
    assert_eq!(notices, 1, "{outcome:?}");
}

#[test]
fn a_private_link_has_a_key_that_stays() {
    let home = tempfile::tempdir().unwrap();
    let key = || {
        let outcome = run_with(
            home.path(),
            &["cast", "--listen", "127.0.0.1:0", "--private"],
            &[7; 5000],
        );
        outcome
            .stdout
            .trim()
            .parse::<wire::Link>()
            .unwrap()
            .content_key
            .unwrap()
    };
    assert_eq!(key(), key());
}

#[test]
fn quiet_prints_nothing() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run_with(
        home.path(),
        &["cast", "--listen", "127.0.0.1:0", "--quiet"],
        &[7; 5000],
    );
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""));
}

#[test]
fn several_casts_at_once_have_their_own_streams() {
    let home = tempfile::tempdir().unwrap();
    let mut casts = [cast(home.path(), &[]), cast(home.path(), &[])];
    let links: Vec<wire::Link> = casts
        .iter_mut()
        .map(|cast| line(&mut cast.stdout()).parse().unwrap())
        .collect();
    assert_ne!(links[0].stream, links[1].stream);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    for signal in ["INT", "TERM"] {
        let stats = format!("{signal}.jsonl");
        let mut cast = cast(home.path(), &["--stats", &stats]);
        let mut input = cast.stdin();
        line(&mut cast.stdout());
        input.write_all(&[7; 50_000]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        cast.signal(signal);
        let outcome = cast.end();
        assert_eq!(outcome.code, Some(130), "{outcome:?}");
        assert!(
            !outcome.stderr.contains("headwater:"),
            "an interrupt is no error: {outcome:?}"
        );
        let text = std::fs::read_to_string(home.path().join(stats)).unwrap();
        assert!(
            text.lines().last().unwrap().contains("\"type\":\"summary\""),
            "{text}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_a_clean_end() {
    let home = tempfile::tempdir().unwrap();
    let mut cast = cast(home.path(), &["--stats", "-"]);
    let _input = cast.stdin();
    let mut stdout = cast.stdout();
    line(&mut stdout);
    drop(stdout);
    let outcome = cast.end();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn a_dead_link_fails_while_running() {
    let home = tempfile::tempdir().unwrap();
    let link = format!("{}?via=127.0.0.1:9", crate::bad_input::link());
    let donate = Program::start(&mut command(
        home.path(),
        &["donate", &link, "--listen", "127.0.0.1:0"],
    ));
    let outcome = donate.end();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .lines()
            .last()
            .unwrap()
            .contains("nobody who knows the stream"),
        "{outcome:?}"
    );
}

#[test]
fn a_private_stream_reaches_who_has_the_whole_link_and_ends_for_all() {
    let home = tempfile::tempdir().unwrap();
    let media: Vec<u8> = (0..300_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(home.path().join("media"), &media).unwrap();
    // 2.4 s.
    let args = [
        "cast",
        "media",
        "--rate",
        "1mbit",
        "--private",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut cast = Program::start(&mut command(home.path(), &args));
    let link = line(&mut cast.stdout());
    // A lag far above what a busy machine adds: nothing may be missing.
    let watch = |link: &str, file: &str| {
        let args = [
            "watch",
            link,
            "--listen",
            "127.0.0.1:0",
            "--headless",
            "--target-lag",
            "1000",
            "--out",
            file,
        ];
        Program::start(&mut command(home.path(), &args))
    };
    let viewer = watch(&link, "out");
    let stranger = watch(link.split('#').next().unwrap(), "nothing");
    let refused = stranger.end();
    assert_ne!(
        refused.code,
        Some(0),
        "a private stream without its key: {refused:?}"
    );
    let seen = viewer.end();
    assert_eq!(seen.code, Some(0), "the stream's end is the viewer's: {seen:?}");
    assert_eq!(cast.end().code, Some(0));
    let out = std::fs::read(home.path().join("out")).unwrap();
    assert!(out.len() > media.len() / 4, "only {} bytes", out.len());
    assert!(
        media.windows(out.len()).any(|part| part == out),
        "what came out is no contiguous part of what went in"
    );
    let nothing = std::fs::read(home.path().join("nothing")).unwrap_or_default();
    assert!(nothing.is_empty(), "{} bytes without the key", nothing.len());
}
