//! Where credit is of use: with those who supply a node that gives nothing to the stream itself.

use std::time::Duration;

use wire::message::Role;
use wire::{PeerId, SubstreamSet, Time};

use super::Stream;
use super::rank::CREDIT_ALIKE;

/// Credit is to last so long at least: a shift takes up to ten seconds, and is planned with a quarter of a claim.
const AHEAD: Duration = Duration::from_secs(30);

/// So many peers are wished to owe this node something before they supply it, while it lacks suppliers.
const PROSPECTS: usize = 8;

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

    /// Those who could supply what is lacking, the ones with the least lag first.
    fn prospects(&self, now: Time, lacking: SubstreamSet) -> impl Iterator<Item = PeerId> {
        let mut found: Vec<(u16, PeerId)> = Vec::new();
        for (peer, state) in self.peers.iter().filter(|(_, state)| state.supplies.is_empty()) {
            let said = state.advert.as_ref().filter(|(_, at)| now.since(*at) <= SAID);
            let Some((advert, _)) = said.filter(|(advert, _)| advert.role != Role::Peercaster) else {
                continue;
            };
            let passes_on = advert.primaries.and(lacking);
            let lags = passes_on
                .iter()
                .filter_map(|s| advert.lags_ms.get(usize::from(s.0)));
            if advert.slots > 0
                && let Some(lag) = lags.min()
            {
                found.push((*lag, *peer));
            }
        }
        found.sort_unstable();
        found.into_iter().take(PROSPECTS).map(|(_, peer)| peer)
    }
}
