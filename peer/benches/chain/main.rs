//! A chain of five peers on loopback: how much it carries without losing a byte, beside a bare quinn chain of five.
//!
//! ```text
//! cargo bench -p headwater --bench chain -- --rate 200mbit --seconds 30
//! cargo bench -p headwater --bench chain -- --search --seconds 5
//! ```
//!
//! `--only headwater|bare` leaves one of the two out, `--peers N` changes the length, `--shared` has all peers share one
//! runtime of as many threads as there are cores, where each has a thread of its own else. `docs/results/throughput.md`
//! has the results. Both chains run in one process, by turns, on the same kind of runtime, settings of QUIC and chunk sizes.
//! `others` are the cores that were busy with something else; the search repeats a lossy trial that was disturbed so. Exit
//! code 1 when the given rate was not carried without loss.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people, on real clocks"
)]

mod args;
mod bare;
mod feed;
mod headwater_chain;
mod hosts;
mod meter;
mod outcome;
mod pattern;

use std::process::ExitCode;
use std::time::Duration;

use wire::Bitrate;

use args::{Args, Chain};
use meter::Meter;
use outcome::Outcome;

/// What is measured, whichever chain carries it.
#[derive(Clone, Copy, Debug)]
struct Trial {
    peers: usize,
    rate: Bitrate,
    duration: Duration,
    /// All peers on one runtime.
    shared: bool,
}

/// At the full rate before the measurement: connections have found their windows by then.
const WARM_UP: Duration = Duration::from_secs(5);

/// The search stops when the bounds are this close.
const SEARCHED: f64 = 1.04;

/// A trial during which other programs were busy is repeated, so many times in all at the most.
const ATTEMPTS: usize = 8;

/// Seconds that a trial waits at the most for other programs to be done.
const QUIET_WITHIN: usize = 120;

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

/// By turns, so that whatever else the machine does meets both chains alike.
async fn search(args: &Args) -> anyhow::Result<ExitCode> {
    let mut searches: Vec<_> = args
        .chains()
        .iter()
        .map(|&chain| Search::new(chain, args.rate))
        .collect();
    while searches.iter().any(|search| search.next().is_some()) {
        for search in &mut searches {
            if let Some(rate) = search.next() {
                search.learn(rate, carries(search.chain, args.trial(rate)).await?);
            }
        }
    }
    for search in &searches {
        println!(
            "{}: highest lossless rate {:.0} Mbit/s",
            search.chain.name(),
            mbit(search.good)
        );
    }
    if let [headwater, bare] = &searches[..] {
        println!(
            "headwater to bare quinn: {:.2}",
            mbit(headwater.good) / mbit(bare.good)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the rate was carried, in a trial that other programs did not disturb.
async fn carries(chain: Chain, trial: Trial) -> anyhow::Result<bool> {
    for _ in 0..ATTEMPTS {
        wait_for_quiet().await?;
        let outcome = run(chain, trial).await?;
        // What was carried nevertheless was carried.
        if outcome.is_lossless() || !outcome.cost.is_disturbed() {
            return Ok(outcome.is_lossless());
        }
        println!("  other programs were busy: again");
    }
    anyhow::bail!("other programs are busy all the time: there is nothing to be found out")
}

async fn wait_for_quiet() -> anyhow::Result<()> {
    for _ in 0..QUIET_WITHIN {
        let meter = Meter::start()?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if !meter.stop().is_disturbed() {
            break;
        }
    }
    Ok(())
}

/// The search for the highest rate that a chain carries without loss: doubles it until something is lost, then halves the
/// distance until the bounds are close.
struct Search {
    chain: Chain,
    first: Bitrate,
    good: Bitrate,
    bad: Option<Bitrate>,
}

impl Search {
    fn new(chain: Chain, first: Bitrate) -> Self {
        Search {
            chain,
            first,
            good: Bitrate::ZERO,
            bad: None,
        }
    }

    /// The rate to try; `None` when the search is over.
    fn next(&self) -> Option<Bitrate> {
        match self.bad {
            None if self.good == Bitrate::ZERO => Some(self.first),
            None => Some(self.good.scaled(2.0)),
            Some(bad) if mbit(bad) <= mbit(self.good) * SEARCHED || mbit(bad) < 1.0 => None,
            Some(bad) => Some(Bitrate::from_bps(self.good.as_bps().midpoint(bad.as_bps()))),
        }
    }

    fn learn(&mut self, rate: Bitrate, carried: bool) {
        if carried {
            self.good = rate;
        } else {
            self.bad = Some(rate);
        }
    }
}

fn mbit(rate: Bitrate) -> f64 {
    rate.as_bps() as f64 / 1e6
}
