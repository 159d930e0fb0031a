//! Who may connect: bounds on what strangers can make us hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm::{Allowance, Meter};
use wire::Time;

/// Handshakes under way at once. Each holds some 20 KiB for at most three seconds.
const MAX_HANDSHAKES: usize = 64;

/// From so many on, a stranger must first show that it receives at the address it claims, which costs it a round trip
/// and us nothing.
const RETRY_FROM: usize = 16;

/// One address may hold this share of the connections: many viewers behind one NAT can take part, and nobody can take
/// all places from one address.
const SHARE_OF_ONE_ADDRESS: usize = 4;

/// The least that one address may hold.
const LEAST_OF_ONE_ADDRESS: usize = 8;

/// What to do with a stranger.
#[derive(Debug)]
pub(super) enum Admission {
    /// Go on; the place is held until this is dropped.
    Accept(Place),
    /// Let it prove its address first.
    Retry,
    /// No.
    Refuse,
}

/// Counts the connections that others have made.
#[derive(Debug)]
pub(super) struct Gate {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    handshakes: usize,
    by_ip: BTreeMap<IpAddr, usize>,
    /// How many may be let in in a second, by the node's word.
    strangers: Meter,
}

/// One accepted connection's place.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    ip: IpAddr,
    handshake: bool,
}

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Gate {
            most,
            state: Mutex::default(),
        }
    }

    /// Lets in no more than this from now on; `None`: as many as there is room for.
    pub(super) fn limit(&self, allowance: Option<Allowance>) {
        self.lock().strangers.limit(allowance);
    }

    /// Decides on a stranger at `ip`, whose address is proved or not.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, proved: bool, now: Time) -> Admission {
        let mut state = self.lock();
        let of_ip = state.by_ip.get(&ip).copied().unwrap_or(0);
        // Peers on this machine are ours.
        let most_of_ip = if ip.is_loopback() {
            self.most
        } else {
            (self.most / SHARE_OF_ONE_ADDRESS).max(LEAST_OF_ONE_ADDRESS)
        };
        if state.total >= self.most || of_ip >= most_of_ip || state.handshakes >= MAX_HANDSHAKES {
            return Admission::Refuse;
        }
        if state.handshakes >= RETRY_FROM && !proved {
            return Admission::Retry;
        }
        if !state.strangers.admits(now) {
            return Admission::Refuse;
        }
        state.total += 1;
        state.handshakes += 1;
        *state.by_ip.entry(ip).or_default() += 1;
        Admission::Accept(Place {
            gate: Arc::clone(self),
            ip,
            handshake: true,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock leaves the counts half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is over.
    pub(super) fn established(&mut self) {
        if std::mem::take(&mut self.handshake) {
            self.gate.lock().handshakes -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.established();
        let mut state = self.gate.lock();
        state.total -= 1;
        if let Some(count) = state.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                state.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time::from_millis(1_000);

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn accept(gate: &Arc<Gate>, ip: IpAddr) -> Option<Place> {
        match gate.admit(ip, true, NOW) {
            Admission::Accept(mut place) => {
                place.established();
                Some(place)
            }
            _ => None,
        }
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let gate = Arc::new(Gate::new(64));
        let held: Vec<_> = std::iter::from_fn(|| accept(&gate, ip(1))).collect();
        assert_eq!(held.len(), 16);
        assert!(accept(&gate, ip(2)).is_some());
        drop(held);
        assert!(accept(&gate, ip(1)).is_some());
        assert!(gate.lock().by_ip.is_empty());
    }

    #[test]
    fn all_together_are_bounded() {
        let gate = Arc::new(Gate::new(40));
        let held: Vec<_> = (0..=255).filter_map(|n| accept(&gate, ip(n))).collect();
        assert_eq!(held.len(), 40);
    }

    #[test]
    fn unfinished_handshakes_are_bounded_and_strangers_prove_their_address() {
        let gate = Arc::new(Gate::new(1000));
        let mut held = Vec::new();
        for n in 0..RETRY_FROM as u8 {
            held.push(gate.admit(ip(n), false, NOW));
        }
        assert!(held.iter().all(|a| matches!(a, Admission::Accept(_))));
        assert!(matches!(gate.admit(ip(99), false, NOW), Admission::Retry));
        for n in RETRY_FROM..MAX_HANDSHAKES {
            held.push(gate.admit(ip(n as u8), true, NOW));
        }
        assert!(matches!(gate.admit(ip(99), true, NOW), Admission::Refuse));
        held.clear();
        assert!(matches!(gate.admit(ip(99), false, NOW), Admission::Accept(_)));
    }

    #[test]
    fn who_comes_in_a_crowd_is_refused_and_let_in_later() {
        let gate = Arc::new(Gate::new(1000));
        gate.limit(Some(Allowance {
            every: Duration::from_millis(100),
            at_once: 2,
        }));
        let mut held = Vec::new();
        let mut let_in = |n: u8, now: Time| match gate.admit(ip(n), true, now) {
            Admission::Accept(place) => {
                held.push(place);
                true
            }
            _ => false,
        };
        assert_eq!((0..10).filter(|&n| let_in(n, NOW)).count(), 2);
        let later = NOW + Duration::from_millis(100);
        assert_eq!((10..20).filter(|&n| let_in(n, later)).count(), 1);
        gate.limit(None);
        assert!(matches!(gate.admit(ip(99), true, later), Admission::Accept(_)));
    }
}
