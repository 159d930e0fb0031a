//! The command line.

use std::time::Duration;

use anyhow::{Context, bail};
use wire::Bitrate;

use crate::Trial;

/// Which chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    Headwater,
    Bare,
}

impl Chain {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Chain::Headwater => "headwater",
            Chain::Bare => "bare quinn",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Args {
    /// With `search`: where it begins.
    pub(crate) rate: Bitrate,
    pub(crate) search: bool,
    seconds: u64,
    peers: usize,
    only: Option<Chain>,
    shared: bool,
}

impl Args {
    pub(crate) fn from_command_line() -> anyhow::Result<Self> {
        let mut args = Args {
            rate: Bitrate::from_kbps(200_000),
            search: false,
            seconds: 10,
            peers: 5,
            only: None,
            shared: false,
        };
        let mut given = std::env::args().skip(1);
        while let Some(flag) = given.next() {
            let mut value = || given.next().with_context(|| format!("{flag} wants a value"));
            match flag.as_str() {
                "--rate" => args.rate = value()?.parse()?,
                "--seconds" => args.seconds = value()?.parse()?,
                "--peers" => args.peers = value()?.parse()?,
                "--search" => args.search = true,
                "--shared" => args.shared = true,
                "--only" => {
                    args.only = Some(match value()?.as_str() {
                        "headwater" => Chain::Headwater,
                        "bare" => Chain::Bare,
                        other => bail!("there is no chain {other}: headwater or bare"),
                    });
                }
                // What cargo adds.
                "--bench" => {}
                other => bail!("unknown flag {other}"),
            }
        }
        anyhow::ensure!(args.peers >= 2, "a chain has two peers at least");
        anyhow::ensure!(args.seconds >= 1, "measure a second at least");
        Ok(args)
    }

    pub(crate) fn trial(&self, rate: Bitrate) -> Trial {
        Trial {
            peers: self.peers,
            rate,
            duration: Duration::from_secs(self.seconds),
            shared: self.shared,
        }
    }

    pub(crate) fn chains(&self) -> &'static [Chain] {
        match self.only {
            None => &[Chain::Headwater, Chain::Bare],
            Some(Chain::Headwater) => &[Chain::Headwater],
            Some(Chain::Bare) => &[Chain::Bare],
        }
    }
}
