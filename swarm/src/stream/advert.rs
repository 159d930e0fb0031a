//! What this node tells its neighbours about its supply, and what they tell it.

use std::time::Duration;

use wire::message::{Advert, NO_LAG, Role};
use wire::{PeerId, Seq, Substream, SubstreamSet, Time};

use super::seats::SMALL_SWARM;
use super::{Ctx, Stream, SubstreamState};

/// Between two adverts to the same neighbour when nothing important changed.
const ADVERT_EVERY: Duration = Duration::from_millis(700);

/// The same to a neighbour that neither supplies nor is supplied: it only compares.
const ADVERT_EVERY_IDLE: Duration = Duration::from_millis(2_000);

/// Between two adverts when something did: in a small swarm an orphan waits for just that...
const ADVERT_SOONEST: Duration = Duration::from_millis(100);

/// ...and in a crowd twenty others hear the same. There only those neighbours hear it soon who were told nothing for so long
/// when it happens, and the others when their time comes: with everybody told, `paper-fig5` spends a tenth more on control
/// messages and misses more (two seeds: continuity 0.9954 and 0.9959, with everybody told 0.9940 and 0.9904).
const ADVERT_SOONEST_IN_CROWD: Duration = Duration::from_millis(250);

/// What a neighbour should hear of soon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct News {
    /// The substreams that can be had here.
    held: SubstreamSet,
    /// Whether there is room for a child.
    room: bool,
}

impl Stream {
    fn advert(&self, ctx: &Ctx<'_>, held: SubstreamSet) -> Advert {
        let head = self.head();
        let lags = self.lags(ctx.now);
        let lags_ms = (0..self.k())
            .map(|s| match lags.us(Substream(s)) {
                Some(us) if held.contains(Substream(s)) => (us / 1000.0).min(f64::from(NO_LAG - 1)) as u16,
                _ => NO_LAG,
            })
            .collect();
        let behind = self
            .held_from()
            .behind(self.window.end())
            .min(u64::from(u32::MAX)) as u32;
        let random_access_behind = self
            .window
            .newest_random_access()
            .map(|seq| seq.behind(head).min(u64::from(u32::MAX)) as u32);
        let copy_us = ctx.uplink.copy_time(self.mean_frame as usize).as_micros();
        Advert {
            stream_tag: self.id.tag(),
            head,
            random_access_behind,
            held: behind,
            lags_ms,
            slots: self.slots,
            free_slots: self.free_slots(),
            primaries: self.primaries,
            leaves: self.leaves(),
            takers: self.takers(),
            backlog_ms: ctx.uplink.backlog(ctx.now).as_millis().min(60_000) as u16,
            copy_time_10us: (copy_us / 10).min(u128::from(u16::MAX)) as u16,
            role: self.role,
        }
    }

    /// From which chunk on this node can help with repairs: a consumer that has not begun to play has more holes than
    /// chunks, unless the peercaster began anew, and with it everybody.
    fn held_from(&self) -> Seq {
        match &self.playout {
            Some(playout) if playout.point().is_none() && !playout.resumes() => self.window.end(),
            _ => self.window.base(),
        }
    }

    /// The substreams that this node can supply now, or as soon as it is supplied itself.
    fn held(&self) -> SubstreamSet {
        let on_the_way = |sub: &SubstreamState| sub.pending.is_some() || sub.parent.is_some();
        self.flowing().or(self.primaries.and(self.subs_that(on_the_way)))
    }

    /// Whether the source has any business with this peer beyond tracking: it tells and hears adverts only from its
    /// own children, since everybody in a large swarm would like to be one.
    fn shares_adverts(&self, peer: PeerId) -> bool {
        let Some(state) = self.peers.get(&peer) else {
            return false;
        };
        if self.source.is_some() {
            return !state.supplied.is_empty();
        }
        let source = state
            .advert
            .as_ref()
            .is_some_and(|(advert, _)| advert.role == Role::Peercaster)
            || state
                .record
                .as_ref()
                .is_some_and(|record| record.role == Role::Peercaster);
        state.interested && (!source || !state.supplies.is_empty())
    }

    pub(super) fn send_advert(&mut self, ctx: &mut Ctx<'_>, to: PeerId) {
        self.advertise(ctx, to, self.news());
    }

    fn advertise(&mut self, ctx: &mut Ctx<'_>, to: PeerId, news: News) {
        if self.info.is_none() || !self.shares_adverts(to) {
            return;
        }
        let advert = self.advert(ctx, news.held);
        if let Some(state) = self.peers.get_mut(&to) {
            state.told = Some((ctx.now, news));
        }
        ctx.send(to, advert);
    }

    pub(super) fn advert_tick(&mut self, ctx: &mut Ctx<'_>) {
        let news = self.news();
        let small = self.membership.members <= SMALL_SWARM;
        let soonest = if small {
            ADVERT_SOONEST
        } else {
            ADVERT_SOONEST_IN_CROWD
        };
        let said = self.advertised;
        let due: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, state)| state.interested)
            .filter(|(_, state)| {
                let idle = state.supplies.or(state.supplied).is_empty();
                state.told.is_none_or(|(at, told)| {
                    let known = if small { Some(told) } else { said };
                    let every = match (known != Some(news), idle) {
                        (true, _) => soonest,
                        (false, true) => ADVERT_EVERY_IDLE,
                        (false, false) => ADVERT_EVERY,
                    };
                    ctx.now.since(at) >= every
                })
            })
            .map(|(peer, _)| *peer)
            .collect();
        if !due.is_empty() {
            self.advertised = Some(news);
        }
        for peer in due {
            self.advertise(ctx, peer, news);
        }
    }

    fn news(&self) -> News {
        News {
            held: self.held(),
            room: self.free_slots() > 0,
        }
    }

    /// A neighbour speaks for itself.
    pub(crate) fn on_advert(&mut self, ctx: &mut Ctx<'_>, from: PeerId, mut advert: Advert) {
        if advert.lags_ms.len() != usize::from(self.k()) && self.info.is_some() {
            return;
        }
        if self.session_plausible(&advert, ctx.now) {
            self.window.extend_head(advert.head);
        } else {
            // Not believed: it must not look as if everybody else held something back.
            advert.head = advert.head.min(self.head());
        }
        let state = self.peers.entry(from).or_default();
        let first = state.advert.is_none();
        let answer = !state.interested || state.told.is_none();
        state.interested = true;
        if let Some(neighbour) = ctx.neighbours.get_mut(&from) {
            neighbour.role = advert.role;
        }
        state.advert = Some((advert, ctx.now));
        if answer {
            self.send_advert(ctx, from);
        }
        if first && !self.orphans().is_empty() {
            self.seek_parents(ctx);
        }
    }

    /// Whether a head that somebody claims may be believed: nobody can be far ahead of real time.
    fn session_plausible(&self, advert: &Advert, now: Time) -> bool {
        let Some((newest, generated)) = self.repair.anchor else {
            return false;
        };
        let Some(estimate) = self.clock.estimate(now) else {
            return false;
        };
        let us = now
            .offset_by(estimate.offset_us)
            .signed_micros_since(generated)
            .max(0) as u64;
        let elapsed = us / self.chunk_duration().as_micros().max(1) as u64;
        advert.head >= self.session && newest.behind(advert.head) <= elapsed + HEAD_SLACK
    }
}

/// Chunks that a claimed head may lie beyond what the clock allows: chunks cut short at key frames.
const HEAD_SLACK: u64 = 16;

#[cfg(test)]
#[path = "advert_tests.rs"]
mod tests;
