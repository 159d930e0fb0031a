//! The event queue: a calendar of short slots, each sorted when it is opened.
//!
//! Nearly all events lie less than a second ahead, so a push is an append to a slot, and only the few dozen events of
//! one slot are ever ordered at a time. Order is total: by time, then by the order of pushing.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::time::SimTime;

/// Width of a slot: 262 µs, a power of two so that the slot is a shift. At a hundred thousand events a second that is a
/// few dozen events a slot, which are sorted in the first-level cache.
const SLOT_SHIFT: u32 = 18;
/// Slots in the ring: 1.07 s ahead, more than a delivery takes. Later events wait in a heap.
const SLOTS: u64 = 4096;

#[derive(Debug)]
struct Entry<E> {
    at: SimTime,
    seq: u64,
    event: E,
}

// Reversed, because `BinaryHeap` gives the greatest first.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<E> Eq for Entry<E> {}

/// Events in the order of their time, and among equals in the order of pushing.
#[derive(Debug)]
pub(crate) struct Calendar<E> {
    /// Events of slot `slot` that were there when it was opened, the next one last.
    current: Vec<Entry<E>>,
    /// Those pushed since, for this slot or earlier instants: few.
    late: BinaryHeap<Entry<E>>,
    slot: u64,
    /// Empty slots have no memory of their own.
    ring: Vec<Vec<Entry<E>>>,
    in_ring: usize,
    /// The memory of slots that are over, for those that get their first event: what was used last is still in the cache.
    spare: Vec<Vec<Entry<E>>>,
    far: BinaryHeap<Entry<E>>,
    pushed: u64,
}

impl<E> Calendar<E> {
    pub(crate) fn new() -> Self {
        Calendar {
            current: Vec::new(),
            late: BinaryHeap::new(),
            slot: 0,
            ring: (0..SLOTS).map(|_| Vec::new()).collect(),
            in_ring: 0,
            spare: Vec::new(),
            far: BinaryHeap::new(),
            pushed: 0,
        }
    }

    pub(crate) fn push(&mut self, at: SimTime, event: E) {
        let entry = Entry {
            at,
            seq: self.pushed,
            event,
        };
        self.pushed += 1;
        self.place(entry);
    }

    fn place(&mut self, entry: Entry<E>) {
        let slot = entry.at.0 >> SLOT_SHIFT;
        if slot <= self.slot {
            self.late.push(entry);
        } else if slot - self.slot < SLOTS {
            let events = &mut self.ring[(slot % SLOTS) as usize];
            if events.capacity() == 0 {
                *events = self.spare.pop().unwrap_or_default();
            }
            events.push(entry);
            self.in_ring += 1;
        } else {
            self.far.push(entry);
        }
    }

    /// Takes the next event if it is not later than `until`.
    pub(crate) fn pop_until(&mut self, until: SimTime) -> Option<(SimTime, E)> {
        loop {
            let (sorted, late) = (self.current.last(), self.late.peek());
            // The greater is the sooner.
            let from_late = late > sorted;
            let Some(first) = (if from_late { late } else { sorted }) else {
                self.advance()?;
                continue;
            };
            if first.at > until {
                return None;
            }
            let first = if from_late {
                self.late.pop()
            } else {
                self.current.pop()
            };
            return first.map(|entry| (entry.at, entry.event));
        }
    }

    /// Opens the next slot; `None` when there is nothing in any.
    fn advance(&mut self) -> Option<()> {
        if self.in_ring > 0 {
            self.slot += 1;
        } else {
            self.slot = self.far.peek()?.at.0 >> SLOT_SHIFT;
        }
        let index = (self.slot % SLOTS) as usize;
        if !self.ring[index].is_empty() {
            let events = std::mem::take(&mut self.ring[index]);
            self.spare.push(std::mem::replace(&mut self.current, events));
            self.in_ring -= self.current.len();
            self.current.sort_unstable();
        }
        while self
            .far
            .peek()
            .is_some_and(|e| (e.at.0 >> SLOT_SHIFT) < self.slot + SLOTS)
        {
            if let Some(entry) = self.far.pop() {
                self.place(entry);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAST: SimTime = SimTime(u64::MAX);

    #[test]
    fn equal_times_come_in_the_order_of_pushing() {
        let mut queue = Calendar::new();
        for n in 0..100 {
            queue.push(SimTime(5), n);
        }
        let popped: Vec<i32> = std::iter::from_fn(|| queue.pop_until(LAST))
            .map(|(_, n)| n)
            .collect();
        assert_eq!(popped, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_later_stays() {
        let mut queue = Calendar::new();
        for at in [3 << SLOT_SHIFT, 5, 7] {
            queue.push(SimTime(at), at);
        }
        assert_eq!(queue.pop_until(SimTime(6)), Some((SimTime(5), 5)));
        assert_eq!(queue.pop_until(SimTime(6)), None);
        assert_eq!(queue.pop_until(SimTime(7)), Some((SimTime(7), 7)));
        assert_eq!(queue.pop_until(SimTime(8)), None);
        // An event before one that was only looked at.
        queue.push(SimTime(9), 9);
        assert_eq!(queue.pop_until(LAST), Some((SimTime(9), 9)));
        assert_eq!(
            queue.pop_until(LAST),
            Some((SimTime(3 << SLOT_SHIFT), 3 << SLOT_SHIFT))
        );
    }

    proptest! {
        /// Against the plain definition: the least (time, number) of all that are in it, pushes and pops mixed, with
        /// delays from nothing to far beyond the ring.
        #[test]
        fn pops_the_least(steps in prop::collection::vec((any::<bool>(), 0u32..34, any::<u64>()), 1..400)) {
            let mut queue = Calendar::new();
            let mut model: Vec<(SimTime, usize)> = Vec::new();
            let mut now = SimTime::START;
            for (number, (push, bits, delay)) in steps.into_iter().enumerate() {
                if push {
                    let at = now.plus(delay & ((1u64 << bits) - 1));
                    queue.push(at, number);
                    model.push((at, number));
                } else {
                    model.sort();
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    let popped = queue.pop_until(LAST);
                    prop_assert_eq!(popped, expected);
                    if let Some((at, _)) = popped {
                        now = at;
                    }
                }
            }
            model.sort();
            let rest: Vec<_> = std::iter::from_fn(|| queue.pop_until(LAST)).collect();
            prop_assert_eq!(rest, model);
        }
    }
}
