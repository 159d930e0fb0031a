//! Messages of the ring that wait for a connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use wire::{MAX_OPENING_MESSAGES, Message, PeerId, Time};

use crate::stream::DIAL_TIMEOUT;

/// Most peers whom messages wait for: all that the ring's lists and entries name, and some whom leases go to.
const MAX_PEERS: usize = 96;

/// Most messages for one of them: a question for each level that it may be the finger of.
const MAX_MESSAGES: usize = 24;

/// Dials under way at a time: a newcomer to the ring has to meet some thirty members, and a viewer's uplink is full of media.
const DIALS_AT_ONCE: usize = 4;

/// The ring dials only while the uplink's queue is shorter than this.
const DIAL_BACKLOG: Duration = Duration::from_millis(40);

#[derive(Debug)]
struct Wait {
    peer: PeerId,
    addrs: Vec<SocketAddr>,
    messages: Vec<Message>,
    since: Time,
    dialled: bool,
    urgent: bool,
    /// How many of the messages were to go along with the first packet.
    opening: usize,
}

/// Somebody to be dialled.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) peer: PeerId,
    pub(super) addrs: Vec<SocketAddr>,
    /// To be said with the first packet.
    pub(super) opening: Vec<Message>,
}

/// Those whom messages wait for, who came first first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    list: VecDeque<Wait>,
}

impl Waiting {
    /// Keeps a message until its receiver is connected. What is beyond the bounds is dropped, as if it had been lost on the way:
    /// the ring asks again.
    pub(super) fn push(
        &mut self,
        now: Time,
        to: PeerId,
        addrs: Vec<SocketAddr>,
        message: Message,
        urgent: bool,
    ) {
        if let Some(wait) = self.list.iter_mut().find(|wait| wait.peer == to) {
            wait.urgent |= urgent;
            if wait.messages.len() < MAX_MESSAGES {
                wait.messages.push(message);
            }
        } else if self.list.len() < MAX_PEERS {
            self.list.push_back(Wait {
                peer: to,
                addrs,
                messages: vec![message],
                since: now,
                dialled: false,
                urgent,
                opening: 0,
            });
        }
    }

    pub(super) fn holds(&self, peer: &PeerId) -> bool {
        self.list.iter().any(|wait| wait.peer == *peer)
    }

    /// What waits for a peer, less what it was told with the first packet if that was `opened`; nothing waits any more.
    pub(super) fn take(&mut self, peer: &PeerId, opened: bool) -> Vec<Message> {
        let at = self.list.iter().position(|wait| wait.peer == *peer);
        let Some(mut wait) = at.and_then(|at| self.list.remove(at)) else {
            return Vec::new();
        };
        if opened {
            wait.messages.drain(..wait.opening);
        }
        wait.messages
    }

    /// Whom to dial now, if anybody. `booked` is how long the uplink is busy.
    pub(super) fn next_dial(&mut self, now: Time, booked: Duration) -> Option<Dial> {
        let under_way = self.list.iter().filter(|wait| wait.dialled).count();
        let bears = under_way < DIALS_AT_ONCE && booked < DIAL_BACKLOG;
        let wait = self
            .list
            .iter_mut()
            .find(|wait| !wait.dialled && (wait.urgent || bears))?;
        wait.dialled = true;
        wait.since = now;
        if wait.urgent {
            // Somebody waits for the answer. The ring's own upkeep does not need to be seen on the way, nor to hurry.
            wait.opening = wait.messages.len().min(MAX_OPENING_MESSAGES);
        }
        Some(Dial {
            peer: wait.peer,
            addrs: wait.addrs.clone(),
            opening: wait.messages[..wait.opening].to_vec(),
        })
    }

    pub(super) fn has_undialled(&self) -> bool {
        self.list.iter().any(|wait| !wait.dialled)
    }

    /// Gives up those who could not be reached in time, and says who they are.
    pub(super) fn expire(&mut self, now: Time) -> Vec<PeerId> {
        // Who was not even dialled waits for its turn; if that never comes it is as good as gone.
        let patience = |wait: &Wait| {
            if wait.dialled {
                DIAL_TIMEOUT
            } else {
                3 * DIAL_TIMEOUT
            }
        };
        let gone = |wait: &Wait| now.since(wait.since) > patience(wait);
        let peers = self.list.iter().filter(|wait| gone(wait)).map(|wait| wait.peer);
        let peers = peers.collect();
        self.list.retain(|wait| !gone(wait));
        peers
    }
}

#[cfg(test)]
mod tests;
