//! Connections of the world: made, cut, and found to be gone, as a transport has it.

use std::net::SocketAddr;
use std::time::Duration;

use headwater_swarm::Input;
use wire::{Message, PeerId};

use super::World;

impl World {
    /// Takes a peer off the network without a word.
    pub fn kill(&mut self, index: usize) {
        self.peers[index].alive = false;
        let gone = self.peers[index].id;
        let linked: Vec<usize> = self
            .links
            .iter()
            .filter(|(a, _)| *a == index)
            .map(|(_, b)| *b)
            .collect();
        self.links.retain(|(a, b)| *a != index && *b != index);
        for other in linked {
            self.cut.insert((other, index));
            self.push(
                Duration::from_secs(2),
                other,
                Input::Disconnected {
                    peer: Some(gone),
                    addr: None,
                },
            );
        }
    }

    /// What was sent on a connection that is no more: whoever was started again says so, as a transport does.
    pub(super) fn reset(&mut self, from: usize, to: usize) {
        if self.peers[to].alive && self.cut.remove(&(from, to)) {
            let gone = Input::Disconnected {
                peer: Some(self.peers[to].id),
                addr: None,
            };
            self.push(self.one_way * 2, from, gone);
        }
    }

    pub(super) fn connect(
        &mut self,
        from: usize,
        peer: Option<PeerId>,
        addrs: &[SocketAddr],
        opening: Vec<Message>,
    ) {
        let to = self.peers.iter().position(|p| p.alive && addrs.contains(&p.addr));
        let Some(to) = to else {
            let addr = addrs.first().copied();
            self.push(Duration::from_secs(3), from, Input::Disconnected { peer, addr });
            return;
        };
        if !self.links.insert((from, to)) {
            return;
        }
        self.links.insert((to, from));
        let rtt = self.one_way * 2;
        let (a, b) = (&self.peers[from], &self.peers[to]);
        let dialler = Input::Connected {
            peer: b.id,
            addr: b.addr,
            listen: vec![b.addr],
            dialled: true,
            rtt: Some(rtt),
            opened: !opening.is_empty(),
        };
        let listener = Input::Connected {
            peer: a.id,
            addr: a.addr,
            listen: vec![a.addr],
            dialled: false,
            rtt: opening.is_empty().then_some(rtt),
            opened: false,
        };
        let greeting = b.greeting.clone().map(|(message, frame)| Input::Message {
            from: b.id,
            message: *message,
            bytes: frame.len(),
        });
        let opener = a.id;
        self.push(rtt, from, dialler);
        if opening.is_empty() {
            if let Some(greeting) = greeting {
                self.push(rtt, from, greeting);
            }
            self.push(rtt + self.one_way, to, listener);
            return;
        }
        self.push(self.one_way, to, listener);
        for message in opening {
            let bytes = wire::codec::encode(&message).len();
            let input = Input::Message {
                from: opener,
                message,
                bytes,
            };
            self.push(self.one_way, to, input);
        }
        self.push(rtt + self.one_way, to, Input::Proven { peer: opener, rtt });
    }

    /// A new connection takes the place of one that was cut without a word, as a transport has it.
    pub(super) fn replace_cut(&mut self, at: usize, input: &Input) {
        if let Input::Connected { peer, .. } = input
            && self.cut.remove(&(at, self.index(*peer)))
        {
            let gone = Input::Disconnected {
                peer: Some(*peer),
                addr: None,
            };
            self.feed(at, gone);
        }
    }

    /// Whether a dial failed to whom there is a connection by now, or an old connection ended: a transport says nothing then.
    pub(super) fn is_stale(&self, to: usize, input: &Input) -> bool {
        match input {
            Input::Disconnected { peer: Some(peer), .. } => {
                // Somebody who is none of this world may have been dialled because a stranger named it.
                let at = self.peers.iter().position(|other| other.id == *peer);
                at.is_some_and(|at| self.links.contains(&(to, at)))
            }
            _ => false,
        }
    }
}
