//! `headwater trust show` and `path`: what the ledger says. They read it while a node may be writing it.

use std::fmt::Write as _;

use clap::Args;
use incentives::flow;
use incentives::store::StoreError;
use incentives::trust::{Listed, adverts, list};
use incentives::view::Advert;
use serde::Serialize;
use wire::PeerId;

use super::{LedgerArgs, amount, print, print_json};
use crate::clock::Clock;
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
    It goes by the ledger: what others owe this peer, and what its node has heard of what they owe one another, which holds for\n\
    ten minutes. Paths have at most five edges. headwater trust shift starts a node that hears more.")]
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

/// The ledger has something that cannot be read.
fn damaged(error: StoreError) -> Failure {
    Failure::running(format!(
        "{error}; start a node: it keeps the file aside and gets back what others have signed"
    ))
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
    let (me, records) = args.ledger.read()?;
    let listed = list(me, records.as_deref().unwrap_or_default()).map_err(damaged)?;
    let shown = shown(me, &listed);
    if args.ledger.json {
        return print_json(&shown);
    }
    print(&table(&shown))
}

/// How much of what is owed to `me` reaches a peer, by its accounts and by what it has heard of those of others.
fn found(me: PeerId, listed: &[Listed], adverts: &[Advert], target: PeerId) -> Found {
    let own = listed.iter().filter_map(|account| {
        let bytes = u64::try_from(account.claim.unsigned_abs()).unwrap_or(u64::MAX);
        match account.claim {
            0 => None,
            1.. => Some((account.peer, me, bytes)),
            _ => Some((me, account.peer, bytes)),
        }
    });
    let others = adverts
        .iter()
        .map(|advert| (advert.debtor, advert.creditor, advert.bytes));
    let plan = flow::plan(&own.chain(others).collect::<Vec<_>>(), me, target);
    let paths = plan.paths.into_iter();
    Found {
        peer: me,
        target,
        bytes: plan.total,
        paths: paths.map(|(peers, bytes)| PathLine { peers, bytes }).collect(),
    }
}

fn ways(found: &Found) -> String {
    let mut text = String::new();
    if found.paths.is_empty() {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "no way is known: {} owes you nothing by this ledger, nor anybody of whom was heard within ten minutes that he owes you, \
             or owes one who does.\nheadwater trust shift {} AMOUNT --join ADDR asks peers that run.",
            found.target, found.target
        );
    }
    for way in &found.paths {
        let names: Vec<_> = way.peers.iter().skip(1).map(PeerId::to_string).collect();
        let _ = writeln!(text, "{:>10}  you <- {}", amount(way.bytes), names.join(" <- "));
    }
    text
}

/// Says how much reaches a peer.
pub(super) fn path(args: &PathArgs) -> Result<(), Failure> {
    let (me, records) = args.ledger.read()?;
    if args.peer == me {
        return Err(Failure::input("the peer is this one itself; name another"));
    }
    let records = records.unwrap_or_default();
    let listed = list(me, &records).map_err(damaged)?;
    let adverts = adverts(&records, Clock::start().now()).map_err(damaged)?;
    let found = found(me, &listed, &adverts, args.peer);
    if args.ledger.json {
        return print_json(&found);
    }
    print(&ways(&found))
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

    #[test]
    fn a_path_goes_by_what_others_owe_one_another() {
        let owes = |debtor, creditor, bytes| Advert {
            debtor: peer(debtor),
            creditor: peer(creditor),
            bytes,
            until: wire::Time::NEVER,
        };
        // 1 owes 9; 2 owes 1, and so on to 6, which is six edges away.
        let adverts: Vec<_> = (1..6).map(|n| owes(n + 1, n, 4_000_000)).collect();
        let to = |n| found(peer(9), &[account(1, 5_000_000)], &adverts, peer(n));
        let far = to(5);
        assert_eq!(far.bytes, 4_000_000);
        let text = ways(&far);
        let names = [1, 2, 3, 4, 5].map(|n| peer(n).to_string());
        assert_eq!(text, format!("    4.0 MB  you <- {}\n", names.join(" <- ")));
        let json = serde_json::to_value(&far).unwrap();
        let ids = [9, 1, 2, 3, 4, 5].map(|n| peer(n).to_string());
        assert_eq!(
            json["paths"],
            serde_json::json!([{"peers": ids, "bytes": 4_000_000}])
        );
        let beyond = to(6);
        assert_eq!((beyond.bytes, beyond.paths.len()), (0, 0));
        assert!(ways(&beyond).starts_with("no way is known"), "{}", ways(&beyond));
    }
}
