//! `headwater trust show` and `path`: what the ledger says. They read it while a node may be writing it.

use std::fmt::Write as _;

use clap::Args;
use incentives::flow;
use incentives::trust::{Listed, list};
use serde::Serialize;
use wire::PeerId;

use super::{LedgerArgs, amount, print, print_json};
use crate::error::Failure;

/// Flags of `trust show`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  headwater trust show --json | jq .earned_bytes")]
pub struct ShowArgs {
    /// Whose ledger.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Flags of `trust path`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  headwater trust path PEER\n\n\
    It goes by the ledger, so it knows what others owe this peer. What they owe one another only a running node hears;\n\
    headwater trust shift starts one.")]
pub struct PathArgs {
    /// The peer that is to owe, as headwater trust show prints it
    #[arg(value_name = "PEER")]
    pub peer: PeerId,

    /// Whose ledger.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// An account.
#[derive(Debug, Serialize)]
struct AccountLine {
    peer: PeerId,
    /// What it owes this peer; negative: what this peer owes it.
    claim_bytes: i64,
    given_bytes: u64,
    taken_bytes: u64,
    shifted_bytes: i64,
    pending_bytes: u64,
    shifts: usize,
    state: u64,
}

#[derive(Debug, Serialize)]
struct Shown {
    peer: PeerId,
    earned_bytes: u64,
    owed_bytes: u64,
    pending_bytes: u64,
    shifts: usize,
    accounts: Vec<AccountLine>,
}

#[derive(Debug, Serialize)]
struct PathLine {
    peers: Vec<PeerId>,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Found {
    peer: PeerId,
    target: PeerId,
    bytes: u64,
    paths: Vec<PathLine>,
}

fn clamp(bytes: i128) -> i64 {
    bytes.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn accounts(ledger: &LedgerArgs) -> Result<(PeerId, Vec<Listed>), Failure> {
    let (me, records) = ledger.read()?;
    let listed = list(me, records.as_deref().unwrap_or_default()).map_err(|error| {
        Failure::running(format!(
            "{error}; start a node: it keeps the file aside and gets back what others have signed"
        ))
    })?;
    Ok((me, listed))
}

fn shown(me: PeerId, listed: &[Listed]) -> Shown {
    let sum = |sign: i128| {
        let claims = listed.iter().map(|account| (account.claim * sign).max(0));
        u64::try_from(claims.sum::<i128>()).unwrap_or(u64::MAX)
    };
    Shown {
        peer: me,
        earned_bytes: sum(1),
        owed_bytes: sum(-1),
        pending_bytes: listed.iter().map(|account| account.pending).sum(),
        shifts: listed.iter().map(|account| account.shifts).sum(),
        accounts: listed
            .iter()
            .map(|account| AccountLine {
                peer: account.peer,
                claim_bytes: clamp(account.claim),
                given_bytes: account.given,
                taken_bytes: account.taken,
                shifted_bytes: account.shifted,
                pending_bytes: account.pending,
                shifts: account.shifts,
                state: account.state,
            })
            .collect(),
    }
}

/// The accounts as a person reads them.
fn table(shown: &Shown) -> String {
    let mut text = format!("{}\n", shown.peer);
    if shown.accounts.is_empty() {
        text += "no accounts yet: they begin with the first stream that is watched or carried\n";
        return text;
    }
    // Writing into a string does not fail.
    let _ = writeln!(
        text,
        "others owe you {}, you owe others {}\n\n{:<52} {:>10} {:>10} {:>10} {:>10} {:>10}",
        amount(shown.earned_bytes),
        amount(shown.owed_bytes),
        "peer",
        "owes you",
        "you owe",
        "given",
        "taken",
        "moving"
    );
    for account in &shown.accounts {
        let claim = amount(account.claim_bytes.unsigned_abs());
        let (owes, owed) = match account.claim_bytes {
            0 => ("", ""),
            1.. => (&claim[..], ""),
            _ => ("", &claim[..]),
        };
        let moving = match account.pending_bytes {
            0 => String::new(),
            bytes => amount(bytes),
        };
        let _ = writeln!(
            text,
            "{:<52} {owes:>10} {owed:>10} {:>10} {:>10} {moving:>10}",
            account.peer.to_string(),
            amount(account.given_bytes),
            amount(account.taken_bytes),
        );
    }
    text
}

/// Lists the accounts.
pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    let (me, listed) = accounts(&args.ledger)?;
    let shown = shown(me, &listed);
    if args.ledger.json {
        return print_json(&shown);
    }
    print(&table(&shown))
}

/// Says how much reaches a peer.
pub(super) fn path(args: &PathArgs) -> Result<(), Failure> {
    let (me, listed) = accounts(&args.ledger)?;
    if args.peer == me {
        return Err(Failure::input("the peer is this one itself; name another"));
    }
    let edges = listed.iter().filter_map(|account| {
        let bytes = u64::try_from(account.claim.unsigned_abs()).unwrap_or(u64::MAX);
        match account.claim {
            0 => None,
            1.. => Some((account.peer, me, bytes)),
            _ => Some((me, account.peer, bytes)),
        }
    });
    let plan = flow::plan(&edges.collect::<Vec<_>>(), me, args.peer);
    if args.ledger.json {
        return print_json(&Found {
            peer: me,
            target: args.peer,
            bytes: plan.total,
            paths: plan
                .paths
                .into_iter()
                .map(|(peers, bytes)| PathLine { peers, bytes })
                .collect(),
        });
    }
    if plan.paths.is_empty() {
        return print(&format!(
            "{} owes you nothing by this ledger. Whether others who owe you are owed by it only a running node hears:\n\
             headwater trust shift {} AMOUNT --join ADDR asks them.\n",
            args.peer, args.peer
        ));
    }
    let mut text = String::new();
    for (peers, bytes) in &plan.paths {
        let names: Vec<_> = peers.iter().skip(1).map(PeerId::to_string).collect();
        let _ = writeln!(text, "{:>10}  you <- {}", amount(*bytes), names.join(" <- "));
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn account(n: u8, claim: i128) -> Listed {
        Listed {
            peer: peer(n),
            claim,
            given: 5_000_000,
            taken: 1_200,
            shifted: 0,
            pending: if n == 1 { 256_000 } else { 0 },
            arriving: 0,
            leaving: 0,
            shifts: usize::from(n == 1),
            state: 3,
        }
    }

    #[test]
    fn a_table_says_who_owes_whom_in_words() {
        let shown = shown(
            peer(9),
            &[account(1, 4_998_800), account(2, 0), account(3, -2_500_000_000)],
        );
        assert_eq!((shown.earned_bytes, shown.owed_bytes), (4_998_800, 2_500_000_000));
        let text = table(&shown);
        assert!(
            text.contains("others owe you 5.0 MB, you owe others 2.50 GB"),
            "{text}"
        );
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[4].contains("5.0 MB") && lines[4].ends_with("256.0 kB"),
            "{text}"
        );
        assert!(lines[6].contains("2.50 GB"), "{text}");
        assert!(!text.contains('-'), "nobody has a negative balance: {text}");
        let empty = table(&self::shown(peer(9), &[]));
        assert!(empty.contains("no accounts yet"), "{empty}");
    }
}
