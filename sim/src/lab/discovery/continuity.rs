//! What of the stream viewers put out, life by life.

use std::ops::Range;

use super::figures::Facts;
use super::outcome::{LifeShare, Lives, Low};
use super::session::Life;
use crate::lab::probe::Playout;
use crate::measure::Role;
use crate::time::{SimTime, ms, seconds};

/// The goal for every life.
const GOAL: f64 = 0.995;

/// When a life began and ended on the lab's clock.
fn span(facts: &Facts<'_>, life: &Life) -> Range<u64> {
    life.remains.started_ns..life.remains.left_ns.unwrap_or(facts.record.ended_ns)
}

/// Continuity of a life within a part of it; `None` if nothing was due.
fn within(facts: &Facts<'_>, life: &Life, window: Range<u64>) -> Option<f64> {
    let remains = &life.remains;
    let playout = Playout {
        seen: &remains.seen,
        sent: &facts.record.sent[facts.member(life).stream],
        chunk_ns: ms(facts.scenario.stream.chunk_ms),
    };
    let clock = &facts.record.clock;
    let counted = remains
        .statistics
        .between(clock.unix_ms(window.start), clock.unix_ms(window.end));
    playout.continuity(&window, &span(facts, life), &counted)
}

pub(super) fn lives(facts: &Facts<'_>) -> Lives {
    let viewers = || {
        let lives = facts.record.lives.iter();
        lives.filter(|life| facts.member(life).role == Role::Consumer)
    };
    let kills_ns = facts.at_ns(facts.draw.phases.kills);
    let before = viewers().filter(|life| life.nth == 1).filter_map(|life| {
        let span = span(facts, life);
        within(facts, life, span.start..span.end.min(kills_ns))
    });
    let whole: Vec<(&Life, f64)> = viewers()
        .filter_map(|life| Some((life, within(facts, life, span(facts, life))?)))
        .collect();
    let again = whole.iter().filter(|(life, _)| life.nth > 1);
    let stayed = facts.scenario.end.map(|end| {
        let end_ns = facts.at_ns(SimTime(seconds(end.at_s)));
        let stay =
            viewers().filter(|life| life.remains.started_ns < end_ns && life.remains.left_ns.is_none());
        LifeShare::of(stay.filter_map(|life| within(facts, life, end_ns..facts.record.ended_ns)))
    });
    let seconds = |ns: u64| SimTime(ns.saturating_sub(facts.record.began_ns)).as_seconds();
    let low = whole
        .iter()
        .filter(|(_, share)| *share < GOAL)
        .map(|(life, share)| {
            let span = span(facts, life);
            Low {
                viewer: facts.draw.name(life.node),
                life: life.nth,
                stream: facts.member(life).stream,
                continuity: *share,
                from_s: seconds(span.start),
                to_s: seconds(span.end),
            }
        });
    Lives {
        before_kills: LifeShare::of(before),
        whole: LifeShare::of(whole.iter().map(|(_, share)| *share)),
        restarted: LifeShare::of(again.map(|(_, share)| *share)),
        stayed,
        below: low.collect(),
    }
}

impl LifeShare {
    fn of(shares: impl Iterator<Item = f64>) -> Self {
        let shares: Vec<f64> = shares.collect();
        if shares.is_empty() {
            return LifeShare::default();
        }
        LifeShare {
            lives: shares.len(),
            min: shares.iter().copied().fold(1.0, f64::min),
            mean: shares.iter().sum::<f64>() / shares.len() as f64,
        }
    }
}
