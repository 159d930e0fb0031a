use std::time::Duration;

use serde_json::Value;
use swarm::{Event, LinkStats, NodeStats, StreamStats, TrustStats};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use wire::message::Role;
use wire::{PeerId, StreamId, SubstreamSet};

use super::*;
use crate::driver::Lags;

const STREAM: StreamId = StreamId::from_bytes([9; 32]);

fn reporter(arrivals: Lags) -> Reporter {
    Reporter::new(
        Command::Watch,
        PeerId::from_bytes([1; 32]),
        STREAM,
        arrivals,
        Instant::now(),
    )
}

fn stats(bytes_in: u64) -> NodeStats {
    NodeStats {
        neighbours: vec![LinkStats {
            peer: PeerId::from_bytes([2; 32]),
            addr: "127.0.0.1:4000".parse().unwrap(),
            rtt_ms: 1.25,
            bytes_in,
            bytes_out: 2 * bytes_in,
            role: Role::Donor,
            standing: 1.0,
            trust: Some(-40),
            supplies: SubstreamSet::EMPTY,
            supplied: SubstreamSet::EMPTY,
        }],
        streams: vec![StreamStats {
            stream: Some(STREAM),
            tracker: Some((PeerId::from_bytes([2; 32]), "127.0.0.1:4000".parse().unwrap(), 3)),
            chunks_played: 99,
            chunks_missed: 1,
            bytes_in,
            bytes_out: 2 * bytes_in,
            arrival_ms: Some(12.0),
            ..StreamStats::default()
        }],
        trust: Some(TrustStats {
            owed_to_me: 90,
            owed_by_me: 40,
            ..TrustStats::default()
        }),
        bytes_control: 7,
        ..NodeStats::default()
    }
}

fn json(line: &Line) -> Value {
    serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap()
}

/// The fields that users and their programs rely on.
const FIELDS: [&str; 26] = [
    "type",
    "t_ms",
    "role",
    "peer",
    "stream",
    "startup_ms",
    "lag_ms",
    "arrival_ms",
    "continuity",
    "chunks_played",
    "chunks_missed",
    "chunks_late",
    "bytes_in",
    "bytes_out",
    "bytes_duplicate",
    "bytes_control",
    "bytes_rejected",
    "neighbours",
    "coord",
    "tracker",
    "is_tracker",
    "doat",
    "trust",
    "join_ms",
    "cpu_s",
    "rss_bytes",
];

#[test]
fn every_line_has_every_field() {
    let mut reporter = reporter(Lags::new());
    for line in [reporter.sample(&stats(1000)), reporter.summary(&stats(1000))] {
        let json = json(&line);
        for field in FIELDS {
            assert!(json.get(field).is_some(), "{field} is missing in {json}");
        }
        let of = |outer: &str, fields: &[&str]| {
            for field in fields {
                assert!(
                    json[outer].get(field).is_some(),
                    "{outer}.{field} is missing in {json}"
                );
            }
        };
        of("coord", &["x_ms", "y_ms", "height_ms", "error"]);
        of("tracker", &["peer", "addr", "members"]);
        of("doat", &["member", "h", "successor", "predecessor", "entries"]);
        of("join_ms", &["coord", "doat", "tracker", "first_chunk"]);
        for field in ["peer", "addr", "rtt_ms", "in_bps", "out_bps", "role", "trust"] {
            assert!(json["neighbours"][0].get(field).is_some(), "neighbours.{field}");
        }
        of(
            "trust",
            &[
                "earned_bytes",
                "owed_bytes",
                "spendable_bytes",
                "pending_bytes",
                "shifts",
                "accounts",
                "control_bytes",
                "paused",
            ],
        );
        assert_eq!(json["neighbours"][0]["trust"], -40);
        assert_eq!(
            (&json["trust"]["earned_bytes"], &json["trust"]["owed_bytes"]),
            (&90.into(), &40.into())
        );
        assert_eq!(json["stream"], STREAM.to_string());
        assert_eq!(json["continuity"], 0.99);
        assert_eq!(json["multiplication"], 2.0);
    }
}

#[test]
fn samples_have_the_latest_lag_and_the_summary_quantiles() {
    let arrivals = Lags::new();
    let mut reporter = reporter(arrivals.clone());
    assert_eq!(reporter.summary(&stats(0)).lag_ms, Lag::Run(None));
    for ms in 1..=100 {
        reporter.handed_over(ms * 1000);
        arrivals.record(ms * 500);
    }
    let sample = json(&reporter.sample(&stats(0)));
    assert_eq!(
        (&sample["type"], &sample["lag_ms"]),
        (&"sample".into(), &100.0.into())
    );
    assert_eq!(sample["arrival_ms"], 12.0);
    assert!(sample["startup_ms"].as_f64().unwrap() < 10_000.0);
    // Nothing new was handed over.
    assert_eq!(json(&reporter.sample(&stats(0)))["lag_ms"], Value::Null);

    let summary = json(&reporter.summary(&stats(0)));
    for (field, p50, max) in [("lag_ms", 50.0, 100.0), ("arrival_ms", 25.0, 50.0)] {
        let lag = &summary[field];
        let near = |name: &str, expected: f64| {
            let value = lag[name].as_f64().unwrap();
            assert!(
                (value - expected).abs() <= 0.01 * expected,
                "{field}.{name} is {value}"
            );
        };
        near("p50", p50);
        near("p95", 0.95 * max);
        near("p99", 0.99 * max);
        near("max", max);
    }
}

#[test]
fn join_times_are_those_of_the_first_time() {
    let mut reporter = reporter(Lags::new());
    assert_eq!(reporter.join(), JoinLine::default());
    reporter.event(&Event::FirstChunk {
        stream: StreamId::from_bytes([1; 32]),
    });
    assert_eq!(reporter.join().first_chunk, None, "another stream's");
    reporter.event(&Event::FirstChunk { stream: STREAM });
    let first = reporter.join().first_chunk;
    assert!(first.is_some());
    std::thread::sleep(Duration::from_millis(2));
    reporter.event(&Event::FirstChunk { stream: STREAM });
    assert_eq!(reporter.join().first_chunk, first);
}

#[test]
fn rates_are_differences() {
    let mut reporter = reporter(Lags::new());
    reporter.sample(&stats(1_000_000));
    std::thread::sleep(Duration::from_millis(20));
    let line = reporter.sample(&stats(1_000_000));
    assert_eq!(line.neighbours[0].in_bps, 0);
    std::thread::sleep(Duration::from_millis(20));
    let line = reporter.sample(&stats(1_001_000));
    let neighbour = &line.neighbours[0];
    // 8000 bits in at least 20 ms.
    assert!((1..=400_000).contains(&neighbour.in_bps), "{neighbour:?}");
    assert_eq!(neighbour.out_bps / 2, neighbour.in_bps);
}

#[test]
fn a_process_costs_something() {
    let line = reporter(Lags::new()).sample(&stats(0));
    assert!(line.rss_bytes > 1 << 20, "{}", line.rss_bytes);
    assert!(line.cpu_s >= 0.0 && line.cpu_s < 1e6);
}

#[tokio::test]
async fn lines_reach_the_file_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats.jsonl");
    let target = path.to_str().unwrap().parse().unwrap();
    let statistics = Statistics::open(Some(&target), None).await.unwrap();
    let mut reporter = reporter(Lags::new());
    statistics.publish(&reporter.sample(&stats(1)));
    statistics.publish(&reporter.summary(&stats(1)));
    statistics.finish().await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let kinds: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take())
        .collect();
    assert_eq!(kinds, ["sample", "summary"]);
}

#[tokio::test]
async fn an_unwritable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no-folder/stats.jsonl");
    let path = path.to_str().unwrap();
    let target = path.parse().unwrap();
    let failure = Statistics::open(Some(&target), None).await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains(path), "{failure}");
}

#[tokio::test]
async fn metrics_are_served_as_text() {
    let metrics = Metrics::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    metrics.update(&reporter(Lags::new()).sample(&stats(1234)));
    let mut connection = tokio::net::TcpStream::connect(metrics.addr()).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let labels = format!("{{role=\"watch\",stream=\"{STREAM}\"}}");
    assert!(
        answer.contains(&format!("headwater_received_bytes_total{labels} 1234\n")),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("headwater_continuity_ratio{labels} 0.99\n")),
        "{answer}"
    );
    assert!(answer.contains("# EOF"), "{answer}");

    let taken = Metrics::bind(metrics.addr()).await.unwrap_err();
    assert_eq!(taken.exit_code(), 2);
    assert!(taken.to_string().contains("--metrics"), "{taken}");
}
