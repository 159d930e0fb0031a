//! Measures how the settings of QUIC treat a live stream on a lossy path. `docs/results/transport.md` has the results.
//!
//! ```text
//! cargo run -p headwater --example transport [SECTION…] [--seconds N]
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people, on real clocks"
)]

mod datagrams;
mod relay;
mod run;

use std::time::Duration;

use headwater::net::{Acks, Congestion, Tuning};
use relay::Path;
use run::{Case, Mode};

/// The default stream: 3.5 Mbit/s in 125 chunks a second.
const CHUNK_LEN: usize = 3500;
const CHUNKS_PER_S: f64 = 125.0;

/// Measured at once: they share two cores, and each needs a few percent of one.
const AT_ONCE: usize = 3;

fn path(loss_percent: f64) -> Path {
    Path {
        delay: Duration::from_millis(35),
        loss: loss_percent / 100.0,
        rate: None,
        queue: Duration::from_millis(200),
    }
}

fn narrow(kbit: u64) -> Path {
    Path {
        rate: Some(kbit * 1000),
        ..path(0.0)
    }
}

fn acks(threshold: u8, ms: u64) -> Option<Acks> {
    Some(Acks {
        threshold,
        delay: Duration::from_millis(ms),
    })
}

/// The cases of a section.
fn section(name: &str, duration: Duration) -> Vec<Case> {
    let base = Case {
        name: String::new(),
        tuning: Tuning::default(),
        mode: Mode::Streams,
        path: path(1.0),
        chunk_len: CHUNK_LEN,
        chunks_per_s: CHUNKS_PER_S,
        duration,
    };
    let tuned = |name: String, tuning: Tuning| Case {
        name,
        tuning,
        ..base.clone()
    };
    let default = Tuning::default();
    let controllers = [
        ("live", Congestion::Live),
        ("cubic", Congestion::Cubic),
        ("bbr", Congestion::Bbr),
    ];
    let mut cases = Vec::new();
    match name {
        "congestion" => {
            let paths = [
                ("no loss", path(0.0)),
                ("1 % loss", path(1.0)),
                ("3 % loss", path(3.0)),
                ("5 Mbit/s", narrow(5_000)),
                (
                    "5 Mbit/s, 1 % loss",
                    Path {
                        loss: 0.01,
                        ..narrow(5_000)
                    },
                ),
                ("3 Mbit/s", narrow(3_000)),
            ];
            for (path_name, path) in paths {
                for (name, congestion) in controllers {
                    cases.push(Case {
                        path,
                        ..tuned(
                            format!("{path_name}, {name}"),
                            Tuning {
                                congestion,
                                ..default
                            },
                        )
                    });
                }
            }
        }
        "mode" => {
            for loss in [0.0, 1.0, 3.0] {
                for (name, mode) in [
                    ("streams", Mode::Streams),
                    ("datagrams", Mode::Datagrams),
                    ("datagrams, asked again", Mode::DatagramsAsked),
                ] {
                    cases.push(Case {
                        mode,
                        path: path(loss),
                        ..tuned(format!("{loss} % loss, {name}"), default)
                    });
                }
            }
        }
        "acks" => {
            for (name, acks) in [
                ("every second packet", None),
                ("4 packets or 10 ms", acks(4, 10)),
                ("8 packets or 10 ms", acks(8, 10)),
                ("8 packets or 20 ms", acks(8, 20)),
                ("16 packets or 25 ms", acks(16, 25)),
            ] {
                cases.push(tuned(
                    format!("all substreams, {name}"),
                    Tuning { acks, ..default },
                ));
                cases.push(Case {
                    chunks_per_s: CHUNKS_PER_S / 16.0,
                    ..tuned(
                        format!("one of 16 substreams, {name}"),
                        Tuning { acks, ..default },
                    )
                });
            }
        }
        "loss-detection" => {
            for (packet_threshold, time_threshold) in
                [(3, 1.05), (3, 1.125), (3, 1.5), (6, 1.125), (1000, 1.125)]
            {
                let tuning = Tuning {
                    packet_threshold,
                    time_threshold,
                    ..default
                };
                cases.push(tuned(
                    format!("{packet_threshold} packets, {time_threshold} round trips"),
                    tuning,
                ));
            }
        }
        "mtu" => {
            for initial_mtu in [1200, 1350, 1452] {
                cases.push(tuned(
                    format!("{initial_mtu} at first"),
                    Tuning {
                        initial_mtu,
                        ..default
                    },
                ));
            }
        }
        _ => {}
    }
    cases
}

const SECTIONS: [&str; 5] = ["congestion", "mode", "acks", "loss-detection", "mtu"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut duration = Duration::from_secs(30);
    let mut wanted = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            duration = Duration::from_secs(args.next().unwrap_or_default().parse()?);
        } else {
            wanted.push(arg);
        }
    }
    for name in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            measure(name, section(name, duration)).await?;
        }
    }
    if wanted.is_empty() || wanted.iter().any(|w| w == "handshake") {
        measure_handshakes().await?;
    }
    Ok(())
}

async fn measure(name: &str, cases: Vec<Case>) -> anyhow::Result<()> {
    println!("\n## {name}\n");
    println!("| case | p50 ms | p99 ms | p99.9 ms | max ms | delivered % | bytes there | bytes back |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for group in cases.chunks(AT_ONCE) {
        let mut running = Vec::new();
        for (seed, case) in (1..).zip(group.iter().cloned()) {
            running.push(tokio::spawn(async move {
                let outcome = run::run(&case, seed).await?;
                Ok::<_, anyhow::Error>((case, outcome))
            }));
        }
        for measured in running {
            let (case, outcome) = measured.await??;
            println!(
                "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {:.3} | {:.4} |",
                case.name,
                outcome.quantile(0.5),
                outcome.quantile(0.99),
                outcome.quantile(0.999),
                outcome.delivery_ms.last().copied().unwrap_or(f64::INFINITY),
                100.0 * outcome.delivery_ms.len() as f64 / outcome.sent as f64,
                outcome.there,
                outcome.back,
            );
        }
    }
    Ok(())
}

async fn measure_handshakes() -> anyhow::Result<()> {
    println!("\n## handshake\n");
    println!("| first round trip assumed | p50 ms | p95 ms | p99 ms | max ms |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for initial_ms in [50, 100, 200, 333] {
        let tuning = Tuning {
            initial_rtt: Duration::from_millis(initial_ms),
            ..Tuning::default()
        };
        let took = run::handshakes(&tuning, path(2.0), 200, 7).await?;
        let at = |q: f64| took[(took.len() as f64 * q) as usize];
        println!(
            "| {initial_ms} ms | {:.0} | {:.0} | {:.0} | {:.0} |",
            at(0.5),
            at(0.95),
            at(0.99),
            took[took.len() - 1]
        );
    }
    Ok(())
}
