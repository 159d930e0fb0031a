//! `headwater trust shift`: a node for the time of one shift.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use swarm::Event;
use tokio::time::Instant;
use wire::PeerId;

use super::{Context, amount, print, print_json};
use crate::cli::{NodeArgs, session};
use crate::driver::{self, NodeHandle, StreamItem};
use crate::error::Failure;

/// How long the peers on the way may take to be found: adverts go out each half minute, and come from as far as five peers.
const FIND_WAIT: Duration = Duration::from_secs(120);

/// How often it is tried while it goes on.
const TRY_EVERY: Duration = Duration::from_secs(3);

/// Flags of `trust shift`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Example:\n  headwater trust shift PEER 64MB --join 192.0.2.2:4000 --join 192.0.2.3:4000\n\n\
    Who owes you and who is to owe you must be connected: name them with --join. A node that runs with this identity\n\
    has to be stopped for as long as it takes."
)]
pub struct ShiftArgs {
    /// The peer that is to owe
    #[arg(value_name = "PEER")]
    pub peer: PeerId,

    /// How much, such as 64MB
    #[arg(value_name = "AMOUNT", value_parser = bytes)]
    pub amount: u64,

    /// Print JSON instead of a sentence
    #[arg(long)]
    pub json: bool,

    /// The flags of every node.
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Serialize)]
struct Shifted {
    target: PeerId,
    asked_bytes: u64,
    shifted_bytes: u64,
}

/// A number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("write a number of bytes with B, kB, MB or GB, such as 64MB".to_owned()),
    };
    let amount = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    let amount = amount.ok_or_else(|| "write a number of bytes, such as 64MB".to_owned())?;
    if amount < incentives::trust::MIN_SHIFT {
        return Err(format!(
            "the least is {}",
            self::amount(incentives::trust::MIN_SHIFT)
        ));
    }
    Ok(amount)
}

/// Shifts, and says how much it was.
pub(super) async fn run(args: ShiftArgs, context: &Context) -> Result<(), Failure> {
    let known = args.node.open_known()?;
    let named = args.node.join_addrs().await?;
    let mut via = named.clone();
    via.extend(known.addrs());
    if via.is_empty() {
        return Err(Failure::input(
            "nobody is known who could take part; name those who owe you and the one who is to with --join HOST:PORT",
        ));
    }
    let running = args.node.start_node(driver::DEFAULT_NEIGHBOURS, known).await?;
    if !running.is_lasting() {
        running.shutdown().await;
        return Err(Failure::input(
            "a running headwater uses this identity, and only one at a time can sign for it; stop that one first",
        ));
    }
    let shifted = shift(&running.node, via, named, &args, context).await;
    running.shutdown().await;
    let shifted = shifted?;
    if args.json {
        print_json(&Shifted {
            target: args.peer,
            asked_bytes: args.amount,
            shifted_bytes: shifted,
        })?;
    } else {
        print(&format!("{} owes you {} more\n", args.peer, amount(shifted)))?;
    }
    if shifted == 0 {
        return Err(Failure::running(
            "nothing was shifted: no path of peers who owe one another came up from you to that peer; join more of those you know",
        ));
    }
    Ok(())
}

/// How much was shifted when all was, time was up, or the user had enough.
async fn shift(
    node: &NodeHandle,
    via: Vec<SocketAddr>,
    named: Vec<SocketAddr>,
    args: &ShiftArgs,
    context: &Context,
) -> Result<u64, Failure> {
    let mut events = node.listen().await.map_err(session::node_ended)?;
    node.enter(via).await.map_err(session::node_ended)?;
    tracing::info!(
        "looking for peers who owe one another between you and {}, for up to {} s",
        args.peer,
        FIND_WAIT.as_secs()
    );
    let give_up = Instant::now() + FIND_WAIT;
    let mut tick = tokio::time::interval(TRY_EVERY);
    let mut shifted = 0;
    while shifted < args.amount {
        tokio::select! {
            _ = context.interrupt.requested() => return Err(Failure::Interrupted),
            () = tokio::time::sleep_until(give_up) => break,
            _ = tick.tick() => {
                let left = args.amount - shifted;
                node.shift(args.peer, left, named.clone()).await.map_err(session::node_ended)?;
            }
            item = events.recv() => match item {
                Some(StreamItem::Event(Event::Shifted { path, amount, .. })) if path.last() == Some(&args.peer) => {
                    shifted += amount;
                    tracing::info!("shifted {} of {}", self::amount(shifted), self::amount(args.amount));
                }
                Some(_) => {}
                None => return Err(session::node_ended(driver::NodeEnded)),
            },
        }
    }
    Ok(shifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(bytes("64MB"), Ok(64_000_000));
        assert_eq!(bytes("1gb"), Ok(1_000_000_000));
        assert_eq!(bytes("300000"), Ok(300_000));
        for wrong in ["", "MB", "-3MB", "64 elephants", "1kB", "99999999999GB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
