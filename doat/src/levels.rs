//! Routing entries of one direction.
//!
//! Entry `j` names the member `2^j` further along the ring, the *finger*, and as a filter the streams that have a local
//! tracker with one of the `2^j` members from there on. So the entries together cover the ring, nearest first, by the rank of
//! members instead of the distance on the curve: where members crowd together, entries at doubling distances would all name
//! the same few.
//!
//! ```text
//! f[0] = the next member       f[j+1] = f[j].f[j]
//! U[0] = streams leased here   U[j+1] = U[j] | U[j](f[j])     S[j] = U[j](f[j]), the filter of entry j
//! ```

use wire::message::{FilterChange, FilterState, MAX_RING_LEVELS, RingNode, Watched};
use wire::{List, PeerId, Time};

use crate::filter::{Filter, Needle};
use crate::ring::Ring;
use crate::{Place, Way};

/// Whoever asks for a level is told of changes for so long: three times as long as it takes to ask again.
pub(crate) const WATCHED_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// A finger that took the place of another stays for so long, unless it dies: with 1000 members that come and go three times a
/// second this halves what everybody is told, and one look-up in 2500 fails (docs/results/doat.md).
const STAYS: std::time::Duration = std::time::Duration::from_secs(5);

/// Most watchers of one level. In a ring at rest there is one; while it grows all those for whom this member has been at that
/// rank within [`WATCHED_FOR`].
const MAX_WATCHERS: usize = 32;

/// Whether a filter has more than there can be. Whoever claims that poisons others: every look-up would come by.
///
/// A member tracks 64 streams at most, and its leases are held within eight ranks of it: that bounds a range of up to 64 members,
/// and a range of up to sixteen to twice the streams that filters are made for. Wider ones may be full in a large overlay; but
/// not when the member's own range of the same width, with `own` bits, has hardly anything: a tenth of the streams or less.
fn is_poisoned(ones: u32, level: usize, own: u32) -> bool {
    match level {
        // 2048 streams, 3072, 5120.
        0..=4 => ones > 9_554,
        5 => ones > 11_974,
        6 => ones > 14_546,
        _ => ones > 15_360 && own < 4_096,
    }
}

/// Somebody whose finger this member is.
#[derive(Clone, Debug)]
struct Watcher {
    peer: PeerId,
    until: Time,
}

/// What this member tells of one level: U, and who hears it.
#[derive(Clone, Debug, Default)]
struct Own {
    filter: Filter,
    /// Its [`Filter::check`], once it has been asked for.
    check: Option<u32>,
    /// The finger of this level, which is the watcher's next.
    finger: Option<PeerId>,
    seq: u32,
    watchers: Vec<Watcher>,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) finger: RingNode,
    /// Where that is on the ring: worked out once, because it takes longer to compute than to compare.
    place: Place,
    /// What the finger said last: its filter and the state of that. A new finger takes over the filter of the one before,
    /// whose range was nearly the same, until it speaks for itself.
    said: Option<(Filter, Option<FilterState>)>,
    /// When it took the place of another.
    chosen_at: Option<Time>,
    /// The state in which that was last compared, and by which check.
    checked: Option<(FilterState, u32)>,
    /// The finger's finger: the next entry's.
    next: Option<RingNode>,
    pub(crate) heard_at: Option<Time>,
    /// When it was asked last. Hearing of changes does not renew what was asked for.
    pub(crate) renewed_at: Option<Time>,
    /// Since when an answer is awaited.
    pub(crate) asked_at: Option<Time>,
}

/// What became of a message about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is not about one of our entries.
    Foreign,
    /// It fits what was there.
    Taken {
        /// Whether the filter is another one now.
        news: bool,
    },
    /// Something is missing in between: the whole has to be asked for.
    Gap,
    /// The filter has more than there can be.
    Poisoned,
}

/// The entries of one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    entries: Vec<Entry>,
    /// `own[j]` is U[j], as those who watch it know it; at least one more than entries. Beyond the entries it is what all of them
    /// together lead to.
    own: Vec<Own>,
}

impl Levels {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn entry_mut(&mut self, level: usize) -> Option<&mut Entry> {
        self.entries.get_mut(level)
    }

    /// Chooses the fingers anew after the lists or what fingers said changed. The lists know those of up to eight ranks.
    /// Whether any did. Who is dead is nobody's finger, though others have not noticed yet.
    ///
    /// Whoever comes or goes moves the ranks of all behind, so in a large ring some finger would change all the time, and what is
    /// told of it with it. Therefore one that was chosen a moment ago stays, a rank or two off, and so does one while it is not
    /// known who comes in its place.
    pub(crate) fn choose(&mut self, now: Time, ring: &Ring, way: Way, dead: impl Fn(PeerId) -> bool) -> bool {
        let mut changed = false;
        let me = ring.me();
        let list = ring.list(way);
        let mut level = 0;
        while level < usize::from(MAX_RING_LEVELS) {
            let before = level.checked_sub(1).and_then(|before| self.entries.get(before));
            let listed = list.get((1 << level) - 1).is_some() || list.len() < wire::message::MAX_RING_LIST;
            let stays = |entry: &Entry| {
                let silent = before.is_some_and(|before| !before.has_spoken());
                let fresh = entry.chosen_at.is_some_and(|at| now.since(at) < STAYS);
                let beyond = before.is_none_or(|before| entry.place.comes_after(way, &me, &before.place));
                (silent || fresh) && beyond && !dead(entry.finger.peer)
            };
            if !listed && self.entries.get(level).is_some_and(stays) {
                level += 1;
                continue;
            }
            let rank = (1 << level) - 1;
            let reliable = |node: &&RingNode| {
                let beyond = |before: &Entry| Place::of(node).comes_after(way, &me, &before.place);
                !dead(node.peer) && before.is_none_or(beyond)
            };
            let finger = match list.get(rank) {
                Some(node) if reliable(&node) => Some(node),
                // The next one that can be relied on, or the last before it.
                Some(_) => list[rank..].iter().find(reliable).or_else(|| {
                    let nearer = &list[rank.div_ceil(2)..rank];
                    nearer.iter().rev().find(reliable)
                }),
                // Only a full list ends before the ring does.
                None if list.len() < wire::message::MAX_RING_LIST => None,
                None => before.and_then(|before| before.next.as_ref()),
            };
            let Some(finger) = finger.filter(|finger| finger.peer != me.peer && !dead(finger.peer)) else {
                break;
            };
            let held = self.entries.get(level).filter(|entry| entry.finger == *finger);
            let place = held.map_or_else(|| Place::of(finger), |entry| entry.place);
            // Once around, the entries before cover everything.
            if !before.is_none_or(|before| place.comes_after(way, &me, &before.place)) {
                break;
            }
            if held.is_some() {
                level += 1;
                continue;
            }
            let finger = finger.clone();
            match self.entries.get_mut(level) {
                Some(entry) if entry.finger.peer == finger.peer => {
                    entry.finger = finger;
                    entry.place = place;
                }
                Some(entry) => {
                    changed = true;
                    let said = entry.said.take().map(|(filter, _)| (filter, None));
                    let heard_at = entry.heard_at;
                    *entry = Entry {
                        said,
                        heard_at,
                        chosen_at: Some(now),
                        ..Entry::new(finger)
                    };
                }
                None => {
                    changed = true;
                    self.entries.push(Entry::new(finger));
                }
            }
            level += 1;
        }
        changed |= self.entries.len() > level || self.own.is_empty();
        self.entries.truncate(level);
        self.reach(level);
        changed
    }

    /// Whether something within reach may not be known here: a finger has not spoken yet, or there is none.
    pub(crate) fn is_in_the_dark(&self) -> bool {
        self.entries.is_empty() || self.entries.iter().any(|entry| entry.said.is_none())
    }

    /// The last entry, if it is the last only because its finger has not said yet who comes next, or named somebody dead.
    pub(crate) fn breaks_off_at(
        &self,
        ring: &Ring,
        way: Way,
        dead: impl Fn(PeerId) -> bool,
    ) -> Option<usize> {
        let last = self.entries.len().checked_sub(1)?;
        let full = ring.list(way).len() == wire::message::MAX_RING_LIST;
        let next = &self.entries[last].next;
        let lost = next.as_ref().is_none_or(|next| dead(next.peer));
        (full && lost).then_some(last)
    }

    /// Makes room for what is told of a level. It stays when entries go: those who watch wait for them to come back.
    fn reach(&mut self, level: usize) {
        if self.own.len() <= level {
            self.own.resize_with(level + 1, Own::default);
        }
    }

    /// Forgets what a peer that is gone said and takes its entry out of use.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        for entry in &mut self.entries {
            let names = |next: &RingNode| next.peer == peer;
            if names(&entry.finger) || entry.next.as_ref().is_some_and(names) {
                entry.next = None;
            }
        }
        for own in &mut self.own {
            own.watchers.retain(|watcher| watcher.peer != peer);
        }
    }

    /// Notes what a finger said.
    pub(crate) fn apply(&mut self, now: Time, from: PeerId, message: &Watched) -> Applied {
        let level = usize::from(message.level);
        let own = self.own.get(level).map_or(0, |own| own.filter.ones());
        let Some(entry) = self.entries.get_mut(level) else {
            return Applied::Foreign;
        };
        if entry.finger.peer != from {
            return Applied::Foreign;
        }
        entry.heard_at = Some(now);
        entry.asked_at = None;
        entry.next = message.finger.clone();
        let unchanged = matches!(&message.change, FilterChange::Flips(flips) if flips.is_empty());
        if unchanged
            && message.since == Some(message.state.seq)
            && entry.checked == Some((message.state, message.check))
        {
            // As it was: nine in ten answers, and hashing takes longest.
            return Applied::Taken { news: false };
        }
        let empty = Filter::default();
        let base = match (message.since, &entry.said) {
            (None, _) => &empty,
            (Some(since), Some((filter, Some(state))))
                if state.epoch == message.state.epoch && state.seq == since =>
            {
                filter
            }
            _ => return Applied::Gap,
        };
        match base
            .changed(&message.change)
            .filter(|filter| filter.check() == message.check)
        {
            Some(filter) if is_poisoned(filter.ones(), level, own) => {
                entry.said = None;
                entry.checked = None;
                Applied::Poisoned
            }
            Some(filter) => {
                let news = entry.said.as_ref().is_none_or(|(held, _)| *held != filter);
                entry.said = Some((filter, Some(message.state)));
                entry.checked = Some((message.state, message.check));
                Applied::Taken { news }
            }
            None => {
                entry.said = entry.said.take().map(|(filter, _)| (filter, None));
                entry.checked = None;
                Applied::Gap
            }
        }
    }

    /// A finger says that all is as it was told.
    pub(crate) fn confirm(&mut self, now: Time, from: PeerId, level: usize) {
        if let Some(entry) = self.entries.get_mut(level)
            && entry.finger.peer == from
            && entry.has_spoken()
        {
            entry.heard_at = Some(now);
            entry.asked_at = None;
        }
    }

    /// Lets go of what was not said again for long; whether that changes what is told.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        let mut changed = false;
        for entry in &mut self.entries {
            if entry.said.is_some() && entry.heard_at.is_none_or(|at| now.since(at) > WATCHED_FOR) {
                entry.said = None;
                entry.checked = None;
                changed = true;
            }
        }
        for own in &mut self.own {
            own.watchers.retain(|watcher| watcher.until > now);
        }
        changed
    }

    /// What this node has of an entry's filter.
    pub(crate) fn state(&self, level: usize) -> Option<FilterState> {
        self.entries
            .get(level)?
            .said
            .as_ref()
            .and_then(|(_, state)| *state)
    }

    /// Somebody whose finger this node is wants to hear of a level.
    pub(crate) fn watch(&mut self, now: Time, level: usize, peer: PeerId) -> bool {
        if level >= usize::from(MAX_RING_LEVELS) {
            return false;
        }
        // It may have no entry of that level at this moment; who asks is told so, and later when there is one.
        self.reach(level);
        let own = &mut self.own[level];
        own.watchers.retain(|watcher| watcher.peer != peer);
        if own.watchers.len() >= MAX_WATCHERS {
            own.watchers.remove(0);
        }
        own.watchers.push(Watcher {
            peer,
            until: now + WATCHED_FOR,
        });
        true
    }

    /// U of a level as it is told, for who has `have` of it.
    pub(crate) fn tell(
        &mut self,
        epoch: u32,
        level: usize,
        have: Option<FilterState>,
        way: Way,
    ) -> Option<Watched> {
        let finger = self.entries.get(level).map(|entry| entry.finger.clone());
        let own = self.own.get_mut(level)?;
        if own.finger != finger.as_ref().map(|finger| finger.peer) {
            // The others who watch have not been told yet; should it change back, this one has to hear of it.
            own.finger = None;
        }
        let state = FilterState { epoch, seq: own.seq };
        let (since, change) = if have == Some(state) {
            (Some(own.seq), FilterChange::Flips(List::default()))
        } else {
            (None, own.filter.change_from(&Filter::default()))
        };
        let check = *own.check.get_or_insert_with(|| own.filter.check());
        Some(Watched {
            up: way.is_up(),
            level: level as u8,
            finger,
            state,
            since,
            change,
            check,
        })
    }

    /// Makes U of all levels anew from what is leased here and what fingers said; what is to be told to whom.
    pub(crate) fn update(&mut self, epoch: u32, local: &Filter, way: Way) -> Vec<(PeerId, Watched)> {
        let mut told = Vec::new();
        let mut filter = local.clone();
        for level in 0..self.own.len() {
            if let Some((said, _)) = level
                .checked_sub(1)
                .and_then(|before| self.entries.get(before)?.said.as_ref())
            {
                filter.merge(said);
            }
            let finger = self.entries.get(level).map(|entry| entry.finger.clone());
            let finger_id = finger.as_ref().map(|finger| finger.peer);
            let Some(own) = self.own.get_mut(level) else { break };
            let same = own.filter == filter;
            if same && own.finger == finger_id {
                continue;
            }
            own.finger = finger_id;
            let since = own.seq;
            own.seq = own.seq.wrapping_add(1);
            let check = own.check.filter(|_| same).unwrap_or_else(|| filter.check());
            own.check = Some(check);
            let message = Watched {
                up: way.is_up(),
                level: level as u8,
                finger,
                state: FilterState { epoch, seq: own.seq },
                since: Some(since),
                change: filter.change_from(&own.filter),
                check,
            };
            own.filter = filter.clone();
            told.extend(own.watchers.iter().map(|watcher| (watcher.peer, message.clone())));
        }
        told
    }

    /// The entry that leads to the nearest tracker of a stream before `until`, among those not in `shunned`.
    pub(crate) fn towards(
        &self,
        way: Way,
        me: &Place,
        needle: &Needle,
        until: &Place,
        shunned: impl Fn(PeerId) -> bool,
    ) -> Option<&RingNode> {
        self.entries
            .iter()
            .filter(|entry| entry.claims(needle))
            .find(|Entry { place, .. }| {
                let within = place.peer != until.peer && until.comes_after(way, me, place) || until == me;
                within && !shunned(place.peer)
            })
            .map(|entry| &entry.finger)
    }
}

impl Entry {
    /// The finger's finger, as a watch names it.
    pub(crate) fn next_tag(&self) -> Option<u32> {
        self.next.as_ref().map(|next| next.peer.tag())
    }

    /// Whether the finger has told of itself, and not only the one before it.
    fn has_spoken(&self) -> bool {
        self.said.as_ref().is_some_and(|(_, state)| state.is_some())
    }

    /// Whether it says that it leads to a tracker of this stream.
    pub(crate) fn claims(&self, needle: &Needle) -> bool {
        let said = self.said.as_ref();
        said.is_some_and(|(filter, _)| filter.contains(needle))
    }

    fn new(finger: RingNode) -> Self {
        Entry {
            place: Place::of(&finger),
            finger,
            said: None,
            checked: None,
            chosen_at: None,
            next: None,
            heard_at: None,
            renewed_at: None,
            asked_at: None,
        }
    }
}

#[cfg(test)]
mod tests;
