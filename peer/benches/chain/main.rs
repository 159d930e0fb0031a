//! A chain of five peers on loopback: how much it carries without losing a byte, beside a bare quinn chain of five.
//!
//! ```text
//! cargo bench -p headwater --bench chain -- --rate 200mbit --seconds 30
//! cargo bench -p headwater --bench chain -- --search --seconds 5
//! ```
//!
//! `--only headwater|bare` leaves one of the two out, `--peers N` changes the length. `docs/results/throughput.md` has
//! the results. Both chains run in one process, one after the other, on the same runtime, settings of QUIC and chunk
//! sizes. Exit code 1 when the given rate was not carried without loss.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people, on real clocks"
)]

mod args;
mod bare;
mod feed;
mod headwater_chain;
mod outcome;
mod pattern;

use std::process::ExitCode;
use std::time::Duration;

use wire::Bitrate;

use args::{Args, Chain};
use outcome::Outcome;

/// What is measured, whichever chain carries it.
#[derive(Clone, Copy, Debug)]
struct Trial {
    peers: usize,
    rate: Bitrate,
    duration: Duration,
}

/// The search stops when the bounds are this close.
const SEARCHED: f64 = 1.04;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::from_command_line()?;
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        println!("{}", Outcome::HEADINGS);
        if args.search {
            search(&args).await
        } else {
            at_rate(&args).await
        }
    })
}

async fn run(chain: Chain, trial: Trial) -> anyhow::Result<Outcome> {
    let outcome = match chain {
        Chain::Headwater => headwater_chain::run(trial).await?,
        Chain::Bare => bare::run(trial).await?,
    };
    println!("{}", outcome.row(chain.name(), trial.rate));
    for note in &outcome.notes {
        println!("  {note}");
    }
    Ok(outcome)
}

async fn at_rate(args: &Args) -> anyhow::Result<ExitCode> {
    let trial = args.trial(args.rate);
    let mut per_gbit = Vec::new();
    let mut all_carried = true;
    for &chain in args.chains() {
        let outcome = run(chain, trial).await?;
        all_carried &= outcome.is_lossless();
        per_gbit.push(outcome.cpu_per_gbit());
    }
    if let [headwater, bare] = per_gbit[..] {
        println!("CPU, headwater to bare quinn: {:.2}", headwater / bare);
    }
    Ok(ExitCode::from(u8::from(!all_carried)))
}

async fn search(args: &Args) -> anyhow::Result<ExitCode> {
    let mut highest = Vec::new();
    for &chain in args.chains() {
        let rate = highest_lossless(chain, args).await?;
        println!("{}: highest lossless rate {:.0} Mbit/s", chain.name(), mbit(rate));
        highest.push(rate);
    }
    if let [headwater, bare] = highest[..] {
        println!("headwater to bare quinn: {:.2}", mbit(headwater) / mbit(bare));
    }
    Ok(ExitCode::SUCCESS)
}

/// Doubles the rate until something is lost, then halves the distance until the bounds are close.
async fn highest_lossless(chain: Chain, args: &Args) -> anyhow::Result<Bitrate> {
    let (mut good, mut bad) = (Bitrate::ZERO, None::<Bitrate>);
    let mut rate = args.rate;
    loop {
        if run(chain, args.trial(rate)).await?.is_lossless() {
            good = rate;
        } else {
            bad = Some(rate);
        }
        rate = match bad {
            None => good.scaled(2.0),
            Some(bad) if mbit(bad) <= mbit(good) * SEARCHED || mbit(bad) < 1.0 => return Ok(good),
            Some(bad) => Bitrate::from_bps(good.as_bps().midpoint(bad.as_bps())),
        };
    }
}

fn mbit(rate: Bitrate) -> f64 {
    rate.as_bps() as f64 / 1e6
}
