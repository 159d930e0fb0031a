//! From what was seen to a result.

use super::accounts::{Account, Accounts, agreement};
use super::draw::{DONOR, Kind, LOST, SpendDraw};
use super::outcome::{SpendOutcome, Spent, SpentAt};
use super::plan::SpendScenario;
use super::session::{Life, Record};
use crate::lab::CoreWait;
use crate::lab::figures::{self, of_programs};
use crate::lab::probe::Playout;
use crate::time::{SimTime, ms};

/// What all figures need.
struct Facts<'a> {
    scenario: &'a SpendScenario,
    draw: &'a SpendDraw,
    record: &'a Record,
}

pub(super) fn outcome(scenario: &SpendScenario, draw: &SpendDraw, record: &Record) -> SpendOutcome {
    let facts = Facts {
        scenario,
        draw,
        record,
    };
    let core_wait = CoreWait::over(&record.waited);
    let lives = record.lives.iter().map(|life| &life.remains);
    SpendOutcome {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        params: scenario.clone(),
        wall_s: 0.0,
        events: figures::received(&record.counters),
        lost: figures::drops(&record.counters, "loss"),
        uplink_drops: figures::drops(&record.counters, "up_queue"),
        peers: record.lives.len(),
        audit: String::new(),
        spend: facts.spent(),
        lab: of_programs(
            lives,
            &record.clock,
            &record.counters,
            core_wait,
            &record.problems,
        ),
    }
}

impl Facts<'_> {
    /// A node's accounts when a stream had ended.
    fn after(&self, stream: usize, node: u32) -> Option<&Accounts> {
        self.record.accounts.get(stream)?.get(&node)
    }

    fn spent(&self) -> Spent {
        let donor = self.after(2, DONOR).cloned().unwrap_or_default();
        let at: Vec<SpentAt> = self
            .draw
            .of(Kind::Stranger)
            .map(|node| self.at(&donor, node))
            .collect();
        let idlers: Vec<f64> = self
            .draw
            .of(Kind::Idler)
            .filter_map(|node| self.continuity(node))
            .collect();
        Spent {
            earned_bytes: self.owed(0, &[DONOR], Kind::Viewer),
            between_bytes: self.owed(1, &self.draw.of(Kind::Viewer).collect::<Vec<_>>(), Kind::Stranger),
            first_spent_s: self.first_spent_s(),
            spent_bytes: at.iter().map(|at| at.spent_bytes).sum(),
            at,
            donor_continuity: self.continuity(DONOR),
            idler_continuity: (!idlers.is_empty()).then(|| idlers.iter().sum::<f64>() / idlers.len() as f64),
            lost_is_back: self.lost_is_back(),
            agreement: self.record.accounts.iter().map(agreement).collect(),
        }
    }

    /// What all of a kind owed these when a stream had ended, by the ledgers of these.
    fn owed(&self, stream: usize, creditors: &[u32], debtors: Kind) -> u64 {
        let ledgers = creditors.iter().filter_map(|node| self.after(stream, *node));
        let claims = ledgers.flat_map(|ledger| {
            let debtors = self.draw.of(debtors);
            let peers = debtors.filter_map(|node| Some(&self.after(stream, node)?.peer));
            peers.map(|peer| ledger.owed_by(peer).max(0).unsigned_abs())
        });
        claims.sum()
    }

    fn stranger<'a>(&self, donor: &'a Accounts, node: u32) -> Option<&'a Account> {
        donor.with(&self.after(2, node)?.peer)
    }

    fn at(&self, donor: &Accounts, node: u32) -> SpentAt {
        let account = self.stranger(donor, node);
        SpentAt {
            stranger: self.draw.members[node as usize].name.clone(),
            shifted_bytes: account.map_or(0, |account| account.shifted_bytes),
            taken_bytes: account.map_or(0, |account| account.taken_bytes),
            spent_bytes: account.map_or(0, Account::spent_bytes),
        }
    }

    fn first_spent_s(&self) -> Option<f64> {
        let spent = |donor: &Accounts| {
            let mut strangers = self.draw.of(Kind::Stranger);
            strangers.any(|node| {
                self.stranger(donor, node)
                    .is_some_and(|account| account.spent_bytes() > 0)
            })
        };
        let first = self.record.looks.iter().find(|(_, donor)| spent(donor));
        first.map(|(at_ns, _)| SimTime(at_ns.saturating_sub(self.record.came_ns)).as_seconds())
    }

    /// Of the third stream, from when the donor came.
    fn continuity(&self, node: u32) -> Option<f64> {
        let of_node = |life: &&Life| life.node == node && life.stream == 2;
        let remains = &self.record.lives.iter().find(of_node)?.remains;
        let playout = Playout {
            seen: &remains.seen,
            sent: self.record.sent.get(2)?,
            chunk_ns: ms(self.scenario.stream.chunk_ms),
        };
        let window = self.record.came_ns..self.record.ended_ns;
        let clock = &self.record.clock;
        let counted = remains
            .statistics
            .between(clock.unix_ms(window.start), clock.unix_ms(window.end));
        let there = remains.started_ns..self.record.ended_ns;
        playout.continuity(&window, &there, &counted)
    }

    fn lost_is_back(&self) -> bool {
        let both = (self.after(2, DONOR), self.after(2, LOST));
        let (Some(donor), Some(lost)) = both else {
            return false;
        };
        let pair = [(DONOR, donor.clone()), (LOST, lost.clone())].into();
        let found = agreement(&pair);
        lost.with(&donor.peer).is_some() && found.pairs > 0 && found.within_receipt == found.pairs
    }
}
