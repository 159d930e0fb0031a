//! Which numbers are held, a bit each: holes are looked for fifty times a second, and are few among many.

use std::collections::VecDeque;

use wire::Seq;

const BITS: u64 = u64::BITS as u64;

/// A set of numbers that lie near each other.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The first word's place: its lowest bit is the number `first * 64`.
    first: u64,
    words: VecDeque<u64>,
}

impl Held {
    fn word(&self, place: u64) -> u64 {
        let at = place
            .checked_sub(self.first)
            .and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.words.get(at)).copied().unwrap_or(0)
    }

    pub(super) fn insert(&mut self, seq: Seq) {
        let place = seq.0 / BITS;
        if self.words.is_empty() {
            self.first = place;
        }
        while place < self.first {
            self.words.push_front(0);
            self.first -= 1;
        }
        while place - self.first >= self.words.len() as u64 {
            self.words.push_back(0);
        }
        self.words[(place - self.first) as usize] |= 1 << (seq.0 % BITS);
    }

    /// Forgets everything before `seq`.
    pub(super) fn drop_before(&mut self, seq: Seq) {
        let place = seq.0 / BITS;
        while self.first < place && self.words.pop_front().is_some() {
            self.first += 1;
        }
        if let Some(word) = self.words.front_mut().filter(|_| self.first == place) {
            *word &= u64::MAX << (seq.0 % BITS);
        }
    }

    /// The first number from `seq` on that is not in it.
    pub(super) fn next_hole(&self, seq: Seq) -> Seq {
        let mut place = seq.0 / BITS;
        let mut holes = !self.word(place) & (u64::MAX << (seq.0 % BITS));
        while holes == 0 {
            place += 1;
            holes = !self.word(place);
        }
        Seq(place
            .saturating_mul(BITS)
            .saturating_add(u64::from(holes.trailing_zeros())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain set, with numbers that come in any order and are forgotten from below.
        #[test]
        fn is_a_set(steps in prop::collection::vec((0u8..4, 0u64..400), 1..200)) {
            let mut held = Held::default();
            let mut model = BTreeSet::new();
            let mut base = 0;
            for (what, a) in steps {
                match what {
                    0 | 1 => {
                        let seq = base + a % 200;
                        held.insert(Seq(seq));
                        model.insert(seq);
                    }
                    2 => {
                        base += a % 20;
                        held.drop_before(Seq(base));
                        model.retain(|&seq| seq >= base);
                    }
                    _ => {
                        let hole = (a..).find(|seq| !model.contains(seq)).unwrap();
                        prop_assert_eq!(held.next_hole(Seq(a)), Seq(hole));
                    }
                }
            }
        }
    }
}
