//! Questions passed on whose answers are awaited.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::{PeerId, Time};

/// After so long nobody waits for an answer any more.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(5);

/// Most questions under way. Beyond that the oldest is forgotten: whoever asked asks again.
const MAX_PENDING: usize = 1_024;

/// Who passed a question on first waits this long for the answer before somebody else is asked, too: eight times half the
/// circumference of the earth there and back.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// Each later one waits less by this, so that the one next to the gap acts first...
const LESS_EACH: Duration = Duration::from_millis(150);

/// ...but no less than this: the last step of a look-up is short.
const LEAST_PATIENCE: Duration = Duration::from_millis(800);

/// How long an answer is waited for alone to a question that was passed on so often.
pub(crate) fn patience(hops: u8) -> Duration {
    PATIENCE
        .saturating_sub(LESS_EACH * u32::from(hops))
        .max(LEAST_PATIENCE)
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The node that this is a part of.
    Own(u64),
    /// A search that this node has begun, for itself or for another.
    Search(u64),
    /// This node, to find its neighbours.
    Upkeep,
    /// A peer, under a number of its own.
    Peer(PeerId, u64),
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Question<T> {
    pub(crate) asked_at: Time,
    pub(crate) asker: Asker,
    /// Who was asked: nobody else's answer counts.
    pub(crate) to: PeerId,
    pub(crate) what: T,
    /// When somebody else is asked, too.
    pub(crate) retry_at: Option<Time>,
}

/// The questions under way, by the number that they were passed on with.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    asked: BTreeMap<u64, Question<T>>,
    next: u64,
}

impl<T> Pending<T> {
    /// Numbers begin somewhere that strangers do not know.
    pub(crate) fn new(first: u64) -> Self {
        Pending {
            asked: BTreeMap::new(),
            next: first,
        }
    }

    /// A number that was not used before.
    pub(crate) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Enters a question whose answer is overdue after so long; the number to pass it on with.
    pub(crate) fn ask(
        &mut self,
        asked_at: Time,
        asker: Asker,
        to: PeerId,
        patience: Duration,
        what: T,
    ) -> u64 {
        if self.asked.len() >= MAX_PENDING {
            let oldest = self.asked.iter().min_by_key(|(_, question)| question.asked_at);
            if let Some(nonce) = oldest.map(|(nonce, _)| *nonce) {
                self.asked.remove(&nonce);
            }
        }
        let nonce = self.number();
        let question = Question {
            asked_at,
            asker,
            to,
            what,
            retry_at: Some(asked_at + patience),
        };
        self.asked.insert(nonce, question);
        nonce
    }

    /// The question that `from` answers, which may do so again.
    pub(crate) fn get_mut(&mut self, nonce: u64, from: PeerId) -> Option<&mut Question<T>> {
        self.asked.get_mut(&nonce).filter(|question| question.to == from)
    }

    /// Whether there is one that fulfils a condition.
    pub(crate) fn any(&self, condition: impl Fn(&Question<T>) -> bool) -> bool {
        self.asked.values().any(condition)
    }

    /// The question that `from` answers; it is not awaited any more.
    pub(crate) fn answer(&mut self, nonce: u64, from: PeerId) -> Option<Question<T>> {
        self.asked.get(&nonce).filter(|question| question.to == from)?;
        self.asked.remove(&nonce)
    }

    /// Takes out those that fulfil a condition.
    pub(crate) fn take_if(&mut self, condition: impl Fn(&Question<T>) -> bool) -> Vec<Question<T>> {
        let nonces: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, question)| condition(question))
            .map(|(nonce, _)| *nonce)
            .collect();
        nonces
            .into_iter()
            .filter_map(|nonce| self.asked.remove(&nonce))
            .collect()
    }

    /// Those whose answer is overdue, once each. They stay: the answer may still come.
    pub(crate) fn overdue(&mut self, now: Time) -> Vec<(Asker, PeerId, T)>
    where
        T: Clone,
    {
        let due = |question: &&mut Question<T>| question.retry_at.is_some_and(|at| at <= now);
        let overdue = self.asked.values_mut().filter(due).map(|question| {
            question.retry_at = None;
            (question.asker, question.to, question.what.clone())
        });
        overdue.collect()
    }

    /// When the next answer is overdue.
    pub(crate) fn next_retry(&self) -> Option<Time> {
        self.asked.values().filter_map(|question| question.retry_at).min()
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&mut self, now: Time) {
        self.asked
            .retain(|_, question| now.since(question.asked_at) < FORGOTTEN);
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }
}
