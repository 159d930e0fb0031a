//! The peers this node is connected to, whatever streams they share.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use coords::Coord;
use incentives::{Account, Accounts, Contribution};
use wire::message::Role;
use wire::{Message, PeerId, PeerMap, StreamId, Time};

use crate::io::{Outbox, Output};
use crate::uplink::Uplink;

/// Between pings of a settled neighbour: coordinates and clocks change slowly, and 20 neighbours at this rate cost
/// 2 kbit/s each way.
const PING_EVERY: Duration = Duration::from_secs(8);

/// Between the first pings: three samples in the first second place a newcomer and set its clock.
const PING_EVERY_EARLY: Duration = Duration::from_millis(330);

/// How many pings are early ones.
const EARLY_PINGS: u32 = 3;

/// The roll is called this often at most: a ping and its answer for each neighbour, 6 KB with twenty.
const ROLL_EVERY: Duration = Duration::from_millis(1_000);

/// One neighbour is called this often at most.
const CALL_AGAIN: Duration = Duration::from_millis(300);

/// Who was heard from so lately need not be called.
const HEARD_LATELY: Duration = Duration::from_millis(50);

/// Beyond the round trip, the answer to a call may take this long: some queue in a modem.
const CALL_SLACK: Duration = Duration::from_millis(80);

/// The round trip to who has not completed the handshake yet: the median between the hosts of PlanetLab, for a round trip's time.
const UNPROVEN_RTT: Duration = Duration::from_millis(100);

/// An answer is overdue after this time while no round trip is measured: what RFC 6298 (2.1) begins with.
pub(crate) const UNPROVEN_TIMEOUT: Duration = Duration::from_secs(1);

/// Weight of a new round trip in the smoothed one, as in RFC 6298.
const RTT_GAIN: f64 = 0.125;

/// Pings that went with first packets and are not answered yet: a node dials few strangers at a time.
const MAX_FIRST_PINGS: usize = 16;

/// A peer this node is connected to.
#[derive(Debug)]
pub(crate) struct Neighbour {
    /// Whether the handshake is over.
    proven: bool,
    pub(crate) addr: SocketAddr,
    /// Where others can reach it.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) since: Time,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    /// Until then the connection counts as one of the overlay's ring: a message of that went over it.
    pub(crate) ring_until: Time,
    pub(crate) coord: Coord,
    pub(crate) coord_error: f64,
    rtt_us: f64,
    rtt_dev_us: f64,
    pings: u32,
    next_ping: Time,
    /// The ping not answered yet: an answer to anything else measures nothing.
    open_ping: Option<(u32, Time)>,
    /// When anything came from it last.
    heard: Time,
    /// When it was called, if it was not heard since.
    called: Option<Time>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Entered in the accounts every so often: a search there for each chunk would cost more than most of its way.
    passed: Option<Passed>,
    /// What the transport holds back for it.
    pub(crate) queued: usize,
    /// What it does in the stream shared with it, for display.
    pub(crate) role: Role,
    /// When its subscriptions so far are paid for.
    pub(crate) subscribe_ready: Time,
    /// Until then a flood of its counts as told.
    pub(crate) flood_until: Time,
    /// Words of its own that were passed on for it.
    pub(crate) guests: u8,
}

impl Neighbour {
    /// Smoothed round trip.
    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_us as u64)
    }

    /// The same in whole microseconds, without a detour for those who reckon with it.
    pub(crate) fn rtt_us(&self) -> f64 {
        self.rtt_us as u64 as f64
    }

    /// Time after which an answer is overdue, as in RFC 6298.
    pub(crate) fn timeout(&self) -> Duration {
        if !self.proven {
            return UNPROVEN_TIMEOUT;
        }
        Duration::from_micros((self.rtt_us + 4.0 * self.rtt_dev_us) as u64)
    }

    /// Whether this answers the open ping, which then is open no more.
    pub(crate) fn take_nonce(&mut self, nonce: u32, sent_at: Time) -> bool {
        let ours = self.open_ping == Some((nonce, sent_at));
        if ours {
            self.open_ping = None;
        }
        ours
    }

    /// Whether it was called and has not answered in time: gone, most likely, long before the transport says so. Nothing is
    /// asked of it any more.
    pub(crate) fn is_mute(&self, now: Time) -> bool {
        self.called
            .is_some_and(|at| now.since(at) > self.timeout() + CALL_SLACK)
    }

    /// Whether it has not answered although the transport has had the time to repeat what was lost. Nothing is kept for it
    /// any more.
    pub(crate) fn is_gone(&self, now: Time) -> bool {
        self.called
            .is_some_and(|at| now.since(at) > 2 * (self.timeout() + CALL_SLACK))
    }

    /// Whether it was called and has not answered yet.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.called.is_some()
    }

    fn observe_rtt(&mut self, rtt: Duration) {
        let sample = rtt.as_micros() as f64;
        self.rtt_dev_us += 0.25 * ((sample - self.rtt_us).abs() - self.rtt_dev_us);
        self.rtt_us += RTT_GAIN * (sample - self.rtt_us);
    }
}

/// What passed between this node and a neighbour in one stream and is not in the accounts yet.
#[derive(Clone, Copy, Debug)]
struct Passed {
    stream: StreamId,
    account: Account,
    last: Time,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    map: PeerMap<Neighbour>,
    next_nonce: u32,
    /// Pings that went with first packets, to whoever that is.
    first_pings: VecDeque<(u32, Time)>,
    /// When the roll was called last.
    called: Option<Time>,
    /// How often a round trip was measured.
    round_trips: u64,
}

impl Neighbours {
    /// Whether a peer is connected whose handshake is not over: how far away it is nobody knows yet.
    pub(crate) fn is_unproven(&self, peer: &PeerId) -> bool {
        self.map.get(peer).is_some_and(|neighbour| !neighbour.proven)
    }

    /// The handshake of a connection is over that was used before. Whether it was not known yet.
    pub(crate) fn prove(&mut self, peer: &PeerId, rtt: Duration) -> bool {
        let Some(neighbour) = self.map.get_mut(peer).filter(|neighbour| !neighbour.proven) else {
            return false;
        };
        self.round_trips += 1;
        neighbour.proven = true;
        neighbour.rtt_us = rtt.as_micros() as f64;
        neighbour.rtt_dev_us = neighbour.rtt_us / 8.0;
        true
    }

    /// Takes in a measured round trip to a neighbour.
    pub(crate) fn observe_rtt(&mut self, peer: &PeerId, rtt: Duration) {
        if let Some(neighbour) = self.map.get_mut(peer) {
            self.round_trips += 1;
            neighbour.observe_rtt(rtt);
        }
    }

    /// Two numbers that are others whenever a neighbour has come or gone, or a round trip was measured.
    pub(crate) fn changes(&self) -> (u64, u64) {
        (self.map.changes(), self.round_trips)
    }

    pub(crate) fn insert(
        &mut self,
        now: Time,
        peer: PeerId,
        addr: SocketAddr,
        listen: Vec<SocketAddr>,
        rtt: Option<Duration>,
        dialled: bool,
    ) {
        // Another address led to a peer that is connected already: what is known of it stays.
        if let Some(known) = self.map.get_mut(&peer) {
            known.addr = addr;
            return;
        }
        let rtt_us = rtt.unwrap_or(UNPROVEN_RTT).as_micros() as f64;
        let neighbour = Neighbour {
            proven: rtt.is_some(),
            addr,
            listen,
            since: now,
            dialled,
            ring_until: Time::ZERO,
            coord: Coord::default(),
            coord_error: 1.0,
            rtt_us,
            rtt_dev_us: rtt_us / 8.0,
            pings: 0,
            next_ping: now,
            open_ping: None,
            heard: now,
            called: None,
            bytes_in: 0,
            bytes_out: 0,
            passed: None,
            queued: 0,
            role: Role::Unknown,
            subscribe_ready: now,
            flood_until: now,
            guests: 0,
        };
        self.map.insert(peer, neighbour);
    }

    /// Forgets a neighbour, except what passed.
    pub(crate) fn remove(&mut self, peer: &PeerId, accounts: &mut Accounts) -> bool {
        let Some(mut gone) = self.map.remove(peer) else {
            return false;
        };
        if let Some(passed) = gone.passed.take() {
            accounts.add(passed.last, *peer, passed.stream, passed.account);
        }
        true
    }

    /// Notes that media passed: bytes that a neighbour gave this node, and that this node gave it.
    pub(crate) fn note_passed(
        &mut self,
        now: Time,
        peer: PeerId,
        stream: StreamId,
        account: Account,
        accounts: &mut Accounts,
    ) {
        let Some(neighbour) = self.map.get_mut(&peer) else {
            return accounts.add(now, peer, stream, account);
        };
        neighbour.bytes_in += account.to_me;
        neighbour.bytes_out += account.by_me;
        let before = neighbour.passed.take();
        let (same, other) = match before {
            Some(before) if before.stream == stream => (before.account, None),
            before => (Account::default(), before),
        };
        if let Some(other) = other {
            accounts.add(other.last, peer, other.stream, other.account);
        }
        neighbour.passed = Some(Passed {
            stream,
            account: same.plus(account),
            last: now,
        });
    }

    /// Enters in the accounts what passed.
    pub(crate) fn enter_passed(&mut self, accounts: &mut Accounts) {
        for (peer, neighbour) in self.map.iter_mut() {
            if let Some(passed) = neighbour.passed.take() {
                accounts.add(passed.last, *peer, passed.stream, passed.account);
            }
        }
    }

    /// How much a peer is worth, what is not entered yet included.
    pub(crate) fn contribution(&self, peer: PeerId, stream: StreamId, accounts: &Accounts) -> Contribution {
        let passed = self.map.get(&peer).and_then(|neighbour| neighbour.passed);
        let in_all = passed.map(|passed| passed.account).unwrap_or_default();
        let in_stream = passed.filter(|passed| passed.stream == stream);
        let in_stream = in_stream.map(|passed| passed.account).unwrap_or_default();
        accounts.contribution_with(peer, stream, in_stream, in_all)
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Neighbour> {
        self.map.get(peer)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Neighbour> {
        self.map.get_mut(peer)
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.map.contains_key(peer)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The map itself, for walks along it and another one.
    pub(crate) fn map(&self) -> &PeerMap<Neighbour> {
        &self.map
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Neighbour)> {
        self.map.iter()
    }

    /// Sends a control message, if the peer is still connected, and books the uplink for it.
    pub(crate) fn send(
        &self,
        now: Time,
        uplink: &mut Uplink,
        out: &mut Outbox,
        to: PeerId,
        message: impl Into<Message>,
    ) {
        if self.contains(&to) {
            let message = Box::new(message.into());
            let frame = Bytes::from(wire::codec::encode(&message));
            uplink.book_control(now, frame.len());
            out.push(Output::Send { to, message, frame });
        }
    }

    /// Something came from a neighbour. False when it is none.
    pub(crate) fn hear(&mut self, now: Time, peer: &PeerId) -> bool {
        let Some(neighbour) = self.map.get_mut(peer) else {
            return false;
        };
        neighbour.heard = now;
        neighbour.called = None;
        true
    }

    /// Asks these neighbours for a sign of life, because one of them seems to be gone: where many go at once, as after a power
    /// cut, nobody should be asked in vain for what they held, nor keep the places that they had.
    pub(crate) fn call_roll(&mut self, now: Time, whom: impl Fn(&PeerId) -> bool) {
        if self.called.is_some_and(|at| now.since(at) < ROLL_EVERY) {
            return;
        }
        self.called = Some(now);
        for (peer, neighbour) in &mut self.map {
            if now.since(neighbour.heard) > HEARD_LATELY && whom(peer) {
                neighbour.called.get_or_insert(now);
                neighbour.next_ping = now;
            }
        }
    }

    /// Asks one neighbour for a sign of life.
    pub(crate) fn call(&mut self, now: Time, peer: &PeerId) {
        if let Some(neighbour) = self.map.get_mut(peer)
            && now.since(neighbour.heard) > CALL_AGAIN
            && neighbour
                .open_ping
                .is_none_or(|(_, at)| now.since(at) > CALL_AGAIN)
        {
            neighbour.next_ping = now;
        }
    }

    /// Whether the roll was called so lately that somebody may turn out to be mute.
    pub(crate) fn expects_answers(&self, now: Time) -> bool {
        self.called.is_some_and(|at| now.since(at) <= 2 * ROLL_EVERY)
    }

    /// Whether the roll has just been called.
    pub(crate) fn is_calling(&self, now: Time) -> bool {
        self.called == Some(now)
    }

    pub(crate) fn is_mute(&self, peer: &PeerId, now: Time) -> bool {
        self.map.get(peer).is_some_and(|neighbour| neighbour.is_mute(now))
    }

    /// Whether any of them has not answered although the transport has had the time to repeat what was lost.
    pub(crate) fn any_gone(&self, now: Time) -> bool {
        self.map.values().any(|neighbour| neighbour.is_gone(now))
    }

    pub(crate) fn is_gone(&self, peer: &PeerId, now: Time) -> bool {
        self.map.get(peer).is_some_and(|neighbour| neighbour.is_gone(now))
    }

    /// The nonce of a ping that goes with a first packet.
    pub(crate) fn first_ping(&mut self, now: Time) -> u32 {
        self.next_nonce = self.next_nonce.wrapping_add(1);
        if self.first_pings.len() >= MAX_FIRST_PINGS {
            self.first_pings.pop_front();
        }
        self.first_pings.push_back((self.next_nonce, now));
        self.next_nonce
    }

    /// Whether this answers such a ping, which then is open no more.
    pub(crate) fn take_first_ping(&mut self, nonce: u32, sent_at: Time) -> bool {
        let before = self.first_pings.len();
        self.first_pings.retain(|ping| *ping != (nonce, sent_at));
        self.first_pings.len() < before
    }

    /// The neighbours to be pinged now, with the nonce for each.
    pub(crate) fn due_pings(&mut self, now: Time) -> Vec<(PeerId, u32)> {
        let mut due = Vec::new();
        for (peer, neighbour) in &mut self.map {
            if neighbour.next_ping > now {
                continue;
            }
            neighbour.pings += 1;
            let early = neighbour.pings < EARLY_PINGS;
            neighbour.next_ping = now + if early { PING_EVERY_EARLY } else { PING_EVERY };
            self.next_nonce = self.next_nonce.wrapping_add(1);
            neighbour.open_ping = Some((self.next_nonce, now));
            due.push((*peer, self.next_nonce));
        }
        due
    }
}

#[cfg(test)]
#[path = "neighbour_tests.rs"]
mod tests;
