//! Where credit is of use: with those who supply a node that gives nothing to the stream itself.

use std::time::Duration;

use wire::message::{NO_LAG, Role};
use wire::{PeerId, SubstreamSet, Time};

use super::parents::also_ask;
use super::rank::CREDIT_ALIKE;
use super::{Ctx, Stream};

/// Credit is to last so long at least: a shift takes up to ten seconds, and is planned with a quarter of a claim.
const AHEAD: Duration = Duration::from_secs(30);

/// So many peers are wished to owe this node something before they supply it, while it lacks suppliers.
const PROSPECTS: usize = 8;

/// What somebody owes this node is to last so long for what is taken of it, so that what can be shifted nowhere else is used, and no
/// more is paid for what others give for nothing (docs/results/trust.md)...
const LASTS: Duration = Duration::from_secs(60);

/// ...and so long where all debtors together owe so much: that pays for the whole stream.
const LASTS_OF_PLENTY: Duration = Duration::from_secs(10);
const PLENTY: Duration = Duration::from_secs(60);

/// What an advert says of supply is believed for so long.
const SAID: Duration = Duration::from_secs(5);

impl Stream {
    /// Whether this node gives nothing to this stream.
    pub(crate) fn gives_nothing(&self) -> bool {
        self.source.is_none() && !self.contributes()
    }

    /// Who is to owe this node how much, in bytes: enough to rank by, and what it takes for a while. Empty if it gives to this stream,
    /// which counts for more.
    pub(crate) fn wishes(&self, now: Time) -> Vec<(PeerId, u64)> {
        let Some((info, _)) = &self.info else {
            return Vec::new();
        };
        if !self.gives_nothing() {
            return Vec::new();
        }
        let each = info.rate.bytes_in(AHEAD) / u64::from(self.k().max(1));
        let wish = |of: u32| 2 * CREDIT_ALIKE + each * u64::from(of);
        let suppliers = self.peers.iter().filter(|(_, state)| !state.supplies.is_empty());
        let mut wishes: Vec<_> = suppliers
            .map(|(peer, state)| (*peer, wish(state.supplies.len())))
            .collect();
        let prospects: Vec<_> = self.prospects(now, self.orphans()).collect();
        wishes.extend(prospects.into_iter().map(|peer| (peer, wish(1))));
        wishes
    }

    /// Whether what a peer owes this node lasts for one substream more than so many, for a while.
    pub(super) fn can_pay(&self, ctx: &Ctx<'_>, peer: PeerId, taken: u32) -> bool {
        let owes = self.owed_by(ctx, peer);
        let lasts = |time| {
            let each = self.takes_in(time) / u64::from(self.k().max(1));
            owes >= CREDIT_ALIKE + each * (u64::from(taken) + 1)
        };
        // All debts are added up only where it matters.
        lasts(LASTS) || lasts(LASTS_OF_PLENTY) && self.has_plenty(ctx)
    }

    /// Whether all who are here together owe this node so much that it can pay for the whole stream.
    fn has_plenty(&self, ctx: &Ctx<'_>) -> bool {
        let owed: u64 = self.peers.keys().map(|peer| self.owed_by(ctx, *peer)).sum();
        owed >= self.takes_in(PLENTY)
    }

    /// What all of the stream takes in so long.
    fn takes_in(&self, time: Duration) -> u64 {
        self.info.as_ref().map_or(0, |(info, _)| info.rate.bytes_in(time))
    }

    fn owed_by(&self, ctx: &Ctx<'_>, peer: PeerId) -> u64 {
        ctx.contribution(peer, self.id).balance.min(0).unsigned_abs()
    }

    /// Moves substreams from who owes this node nothing to who does and can pay for them.
    pub(super) fn spend(&mut self, ctx: &mut Ctx<'_>) {
        if !self.spends(ctx) {
            return;
        }
        let mut asks: Vec<(PeerId, SubstreamSet)> = Vec::new();
        for substream in self.wanted().iter() {
            let supplied = self
                .sub(substream)
                .filter(|sub| sub.pending.is_none() && sub.orphan_since.is_none());
            let Some(parent) = supplied.and_then(|sub| sub.parent) else {
                continue;
            };
            if self.owes(ctx, parent) {
                continue;
            }
            let Some((peer, _)) = self.best_debtor(ctx, substream, &asks) else {
                continue;
            };
            also_ask(&mut asks, peer, substream);
        }
        for (peer, set) in asks {
            self.ask(ctx, peer, set);
        }
    }

    /// Those who could supply what is lacking: those with children that only take before others, and the ones with the least lag first.
    fn prospects(&self, now: Time, lacking: SubstreamSet) -> impl Iterator<Item = PeerId> {
        let mut found: Vec<(bool, u16, PeerId)> = Vec::new();
        for (peer, state) in self.peers.iter().filter(|(_, state)| state.supplies.is_empty()) {
            let said = state.advert.as_ref().filter(|(_, at)| now.since(*at) <= SAID);
            let Some((advert, _)) = said.filter(|(advert, _)| advert.role != Role::Peercaster) else {
                continue;
            };
            let takers = advert.takers.is_some();
            let of = if takers {
                lacking
            } else {
                advert.primaries.and(lacking)
            };
            let lags = of
                .iter()
                .filter_map(|s| advert.lags_ms.get(usize::from(s.0)))
                .filter(|lag| **lag != NO_LAG);
            if advert.slots > 0
                && let Some(lag) = lags.min()
            {
                found.push((!takers, *lag, *peer));
            }
        }
        found.sort_unstable();
        found.into_iter().take(PROSPECTS).map(|(_, _, peer)| peer)
    }
}

#[cfg(test)]
#[path = "spending_tests.rs"]
mod tests;
