//! Connections: at most one between two peers, each end with its own idea of whether it is there.
//!
//! An end is in exactly one of four phases. `Dialling` and `Accepting` become `Open` when the handshake is done at that
//! end; any becomes `Closed` when the end closes, its peer dies, or it learns that the other end is gone. A closed end
//! never opens again: whoever wants the connection back makes a new one.

use super::Opening;
use crate::time::SimTime;

/// A connection's number; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(pub(crate) u32);

/// One of the two ends: that which dialled, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Dialler = 0,
    Acceptor = 1,
}

impl End {
    pub(crate) fn other(self) -> End {
        match self {
            End::Dialler => End::Acceptor,
            End::Acceptor => End::Dialler,
        }
    }
}

/// How far an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dialled, no answer yet.
    Dialling,
    /// Was dialled and has answered; waits for the dialler's proof of identity.
    Accepting,
    /// Ready.
    Open,
    /// Over, or (the acceptor before the first packet) not begun.
    Closed,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    peers: [u32; 2],
    phase: [Phase; 2],
    /// One way, without jitter.
    pub(crate) one_way_ns: u64,
    /// Nothing reaches this end before: its opening, and on the ordered stream whatever was sent before.
    not_before: [SimTime; 2],
    opened: [SimTime; 2],
    /// When each end sent its last chunk, and how long after the one before.
    sent_at: [SimTime; 2],
    apart_ns: [u64; 2],
    pub(crate) dialled_at: SimTime,
    /// What the dialler says along with the first packet, until that is there.
    pub(crate) opening: Opening,
    /// Whether that was something.
    pub(crate) with_opening: bool,
}

impl Conn {
    pub(crate) fn peer(&self, end: End) -> u32 {
        self.peers[end as usize]
    }

    pub(crate) fn phase(&self, end: End) -> Phase {
        self.phase[end as usize]
    }

    /// An arrival on the ordered stream at `end`: not before what was sent earlier.
    pub(crate) fn in_order(&mut self, end: End, arrival: SimTime) -> SimTime {
        let not_before = &mut self.not_before[end as usize];
        *not_before = arrival.max(*not_before);
        *not_before
    }

    /// An arrival beside the ordered stream: not before the end is open.
    pub(crate) fn once_open(&self, end: End, arrival: SimTime) -> SimTime {
        arrival.max(self.opened[end as usize])
    }

    /// `end` sends a chunk.
    pub(crate) fn sends(&mut self, end: End, now: SimTime) {
        let sent_at = &mut self.sent_at[end as usize];
        self.apart_ns[end as usize] = now.since(*sent_at);
        *sent_at = now;
    }

    /// How far apart the last two chunks were that `end` sent.
    pub(crate) fn apart_ns(&self, end: End) -> u64 {
        self.apart_ns[end as usize]
    }

    /// Nothing may reach `end` before `at`: its opening.
    pub(crate) fn opens_at(&mut self, end: End, at: SimTime) {
        self.opened[end as usize] = at;
        self.in_order(end, at);
    }
}

/// All connections, and for each peer those that its end has not closed, by the other peer's number.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    conns: Vec<Conn>,
    /// Sorted by peer; short, except at the local tracker.
    of: Vec<Vec<(u32, ConnId)>>,
}

impl Conns {
    /// Makes room for one more peer.
    pub(crate) fn add_peer(&mut self) {
        self.of.push(Vec::new());
    }

    pub(crate) fn get(&self, id: ConnId) -> &Conn {
        &self.conns[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> &mut Conn {
        &mut self.conns[id.0 as usize]
    }

    /// The connection that `peer`'s side has with `other`, with the end that `peer` is.
    pub(crate) fn between(&self, peer: u32, other: u32) -> Option<(ConnId, End)> {
        let list = &self.of[peer as usize];
        let at = list.binary_search_by_key(&other, |(p, _)| *p).ok()?;
        let id = list[at].1;
        Some((id, self.end_of(id, peer)))
    }

    fn end_of(&self, id: ConnId, peer: u32) -> End {
        if self.get(id).peers[0] == peer {
            End::Dialler
        } else {
            End::Acceptor
        }
    }

    /// All connections whose end at `peer` is not closed, with that end.
    pub(crate) fn of(&self, peer: u32) -> Vec<(ConnId, End)> {
        self.of[peer as usize]
            .iter()
            .map(|(_, id)| (*id, self.end_of(*id, peer)))
            .collect()
    }

    /// `dialler` dials `acceptor`, with whom its side has no connection.
    pub(crate) fn dial(
        &mut self,
        dialler: u32,
        acceptor: u32,
        one_way_ns: u64,
        now: SimTime,
        opening: Opening,
    ) -> ConnId {
        let id = ConnId(self.conns.len() as u32);
        self.conns.push(Conn {
            peers: [dialler, acceptor],
            phase: [Phase::Dialling, Phase::Closed],
            one_way_ns,
            not_before: [now; 2],
            opened: [now; 2],
            sent_at: [now; 2],
            apart_ns: [0; 2],
            dialled_at: now,
            with_opening: !opening.is_empty(),
            opening,
        });
        self.link(dialler, acceptor, id);
        id
    }

    /// The first packet of `id` reached the acceptor, which has no connection with the dialler any more.
    pub(crate) fn accept(&mut self, id: ConnId) {
        let [dialler, acceptor] = self.get(id).peers;
        self.get_mut(id).phase[End::Acceptor as usize] = Phase::Accepting;
        self.link(acceptor, dialler, id);
    }

    /// The handshake is done at `end`; false when that end is closed by now.
    pub(crate) fn open(&mut self, id: ConnId, end: End) -> bool {
        let phase = &mut self.get_mut(id).phase[end as usize];
        if matches!(phase, Phase::Dialling | Phase::Accepting) {
            *phase = Phase::Open;
            return true;
        }
        false
    }

    /// `end` is over; false when it was already.
    pub(crate) fn close(&mut self, id: ConnId, end: End) -> bool {
        let conn = self.get_mut(id);
        if conn.phase(end) == Phase::Closed {
            return false;
        }
        conn.phase[end as usize] = Phase::Closed;
        let (peer, other) = (conn.peer(end), conn.peer(end.other()));
        let list = &mut self.of[peer as usize];
        if let Ok(at) = list.binary_search_by_key(&other, |(p, _)| *p) {
            // A newer one with the same peer may have taken the place.
            if list[at].1 == id {
                list.remove(at);
            }
        }
        true
    }

    fn link(&mut self, peer: u32, other: u32, id: ConnId) {
        let list = &mut self.of[peer as usize];
        match list.binary_search_by_key(&other, |(p, _)| *p) {
            Ok(at) => list[at].1 = id,
            Err(at) => list.insert(at, (other, id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Conns {
        let mut conns = Conns::default();
        (0..3).for_each(|_| conns.add_peer());
        conns
    }

    #[test]
    fn each_end_opens_and_closes_on_its_own() {
        let mut conns = three();
        let id = conns.dial(2, 0, 10, SimTime(0), Vec::new());
        assert_eq!(conns.between(2, 0), Some((id, End::Dialler)));
        assert_eq!(conns.between(0, 2), None, "the other side knows nothing yet");
        conns.accept(id);
        assert_eq!(conns.between(0, 2), Some((id, End::Acceptor)));
        assert!(conns.open(id, End::Dialler));
        assert_eq!(conns.get(id).phase(End::Acceptor), Phase::Accepting);
        assert!(conns.close(id, End::Dialler));
        assert!(!conns.close(id, End::Dialler));
        assert!(!conns.open(id, End::Dialler), "a closed end stays closed");
        assert_eq!(conns.between(2, 0), None);
        assert_eq!(conns.of(0), [(id, End::Acceptor)]);
    }

    #[test]
    fn a_new_connection_survives_the_end_of_the_old_one() {
        let mut conns = three();
        let old = conns.dial(1, 0, 10, SimTime(0), Vec::new());
        conns.accept(old);
        conns.close(old, End::Dialler);
        let new = conns.dial(1, 0, 10, SimTime(5), Vec::new());
        conns.close(old, End::Acceptor);
        conns.accept(new);
        assert_eq!(conns.between(0, 1), Some((new, End::Acceptor)));
        assert_eq!(conns.between(1, 0), Some((new, End::Dialler)));
    }

    #[test]
    fn the_ordered_stream_is_ordered_and_nothing_comes_before_the_opening() {
        let mut conns = three();
        let id = conns.dial(0, 1, 10, SimTime(0), Vec::new());
        let conn = conns.get_mut(id);
        conn.opens_at(End::Acceptor, SimTime(30));
        assert_eq!(conn.once_open(End::Acceptor, SimTime(20)), SimTime(30));
        assert_eq!(conn.in_order(End::Acceptor, SimTime(50)), SimTime(50));
        assert_eq!(conn.in_order(End::Acceptor, SimTime(40)), SimTime(50));
        assert_eq!(
            conn.once_open(End::Acceptor, SimTime(40)),
            SimTime(40),
            "chunks overtake"
        );
        assert_eq!(conn.in_order(End::Dialler, SimTime(40)), SimTime(40));
    }
}
