//! Bad input of every kind: exit code 2, one sentence that says what, where and what to do.

use crate::program::{run, run_with};

/// A link of the right form to a stream that nobody casts.
pub(crate) fn link() -> String {
    wire::Link::new(wire::SecretKey::from_bytes(&[9; 32]).stream_id()).to_string()
}

fn refused(args: &[&str], parts: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), args).refused(parts);
}

#[test]
fn flags() {
    refused(&["cast", "--lisen", "127.0.0.1:0"], &["--lisen", "--listen"]);
    refused(&["cats"], &["cats", "cast"]);
    refused(&["cast", "--listen", "here"], &["here", "--listen"]);
    refused(&["cast", "--upload", "fast"], &["fast", "--upload", "20mbit"]);
    refused(&["cast", "--upload", "0"], &["above zero"]);
    refused(&["cast", "--substreams", "65"], &["65", "--substreams"]);
    refused(&["cast", "--chunk-ms", "0"], &["--chunk-ms"]);
    refused(&["cast", "--join", "example.org"], &["example.org", "HOST:PORT"]);
    refused(&["cast", "--title", "two\nlines"], &["title"]);
    refused(&["cast", "--log", "=="], &["--log"]);
    refused(&["donate", &link(), "--duration=-1"], &["--duration"]);
    refused(&["completions", "cmd"], &["cmd", "bash"]);
}

#[test]
fn links() {
    refused(&["donate"], &["link"]);
    refused(&["donate", "http://example.org"], &["headwater:"]);
    refused(&["donate", "headwater:abc"], &["52 characters"]);
    refused(
        &["donate", &format!("{}?via=nowhere", link())],
        &["nowhere", "HOST:PORT"],
    );
    let wrong_key = format!("{}#short", link());
    refused(&["donate", &wrong_key], &["content key"]);
}

#[test]
fn a_link_without_a_way() {
    refused(&["donate", &link()], &["--join"]);
}

#[test]
fn inputs() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("film.ts");
    let missing = missing.to_str().unwrap();
    refused(&["cast", missing], &[missing]);
    refused(&["cast", "."], &["folder"]);
    refused(&["cast", "srt://host:9000"], &["not supported yet"]);
    refused(&["cast", "http://host/live.ts"], &["not supported yet"]);
    refused(&["cast", "rtp://host"], &["host", "port"]);
}

#[test]
fn an_empty_input() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run_with(home.path(), &["cast", "--listen", "127.0.0.1:0"], b"");
    assert_eq!(outcome.stdout, "", "a link to nothing");
    outcome.refused(&["standard input", "empty"]);
}

#[test]
fn a_file_without_a_clock() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("noise"), vec![7; 10_000]).unwrap();
    run(home.path(), &["cast", "noise", "--listen", "127.0.0.1:0"]).refused(&["noise", "--rate"]);
}

#[test]
fn addresses_that_cannot_be_used() {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = udp.local_addr().unwrap().to_string();
    refused(&["cast", "--listen", &taken], &[&taken, "in use", "--listen"]);
    refused(&["cast", "--listen", "203.0.113.9:4000"], &["203.0.113.9:4000"]);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = tcp.local_addr().unwrap().to_string();
    refused(&["cast", "--metrics", &taken], &[&taken, "in use", "--metrics"]);
    let (out, dead) = (format!("http://{taken}"), format!("{}?via=127.0.0.1:9", link()));
    refused(
        &["watch", &dead, "--headless", "--out", &out],
        &[&out, "in use", "another port"],
    );
}

#[test]
fn no_command_shows_the_help() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &[]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("Usage: headwater"), "{outcome:?}");
}
