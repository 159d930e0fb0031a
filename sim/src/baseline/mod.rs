//! Other ways to stream to many, to compare with: a direct star, a single push tree, and a random mesh with announce and pull.
//!
//! They run in the same driver over the same network as the swarm's nodes, with the same draws. In three things they are better off
//! than anything real, which spares them protocols of their own: they know the time, they find each other in a register that costs
//! nothing and is never out of date, and they see there at once who is gone. What they do with it is theirs, and costs what it costs.

mod mesh;
mod play;
mod register;
mod repair;
mod star;
mod store;
mod tree;

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use wire::Chunk;

use crate::measure::Role;
use crate::space::DelaySpace;
use crate::time::SimTime;

pub(crate) use register::Register;

/// A way to stream that is no swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The peercaster sends to everybody.
    Star,
    /// Everybody sends to as many others as its uplink has room for: one tree.
    Tree,
    /// Everybody tells random neighbours what it has, and asks them for what it lacks.
    MeshPull,
}

impl Baseline {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Baseline::Star => "star",
            Baseline::Tree => "tree",
            Baseline::MeshPull => "mesh_pull",
        }
    }
}

/// A control message among peers of a baseline.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Send me the stream; I could send it on to so many.
    Join {
        capacity: u32,
    },
    Accepted,
    /// No, or not any longer; there may be room there.
    Refused {
        instead: Option<u32>,
    },
    /// These did not come.
    Resend(Vec<usize>),
    /// What I have: bit n of the whole is chunk `from` + n.
    Have {
        from: usize,
        bits: Vec<u64>,
    },
    /// Send me these.
    Want(Vec<usize>),
    /// I cannot send these soon.
    Busy(Vec<usize>),
}

impl Note {
    /// Its bytes before they are cut into packets: 8 for kind and length, 4 for a chunk's number (the differences to the first
    /// would take less), 8 for the first of a map.
    pub(crate) fn bytes(&self) -> u64 {
        8 + match self {
            Note::Join { .. } | Note::Refused { .. } => 8,
            Note::Accepted => 0,
            Note::Resend(chunks) | Note::Want(chunks) | Note::Busy(chunks) => 4 * chunks.len() as u64,
            Note::Have { bits, .. } => 8 + 8 * bits.len() as u64,
        }
    }
}

/// Something that happened at a peer. Peers go by their numbers; 0 is the peercaster.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    /// It is there from now on.
    Joined,
    Connected(u32),
    Disconnected(u32),
    Note {
        from: u32,
        note: &'a Note,
    },
    /// The chunk with this index came.
    Chunk {
        index: usize,
        hops: u8,
        chunk: &'a Arc<Chunk>,
    },
    /// The time has come that it said.
    Due,
}

/// What a peer wants done.
#[derive(Debug)]
pub(crate) enum Act {
    Connect(u32),
    Disconnect(u32),
    Tell { to: u32, note: Note },
    Send { to: u32, chunk: Arc<Chunk>, hops: u8 },
    Play { index: usize, in_time: bool },
    Gap { from: usize, to: usize },
}

/// What a peer sees of the world while something happens to it.
pub(crate) struct Scene<'a> {
    pub(crate) now: SimTime,
    pub(crate) me: u32,
    pub(crate) register: &'a mut Register,
    pub(crate) space: &'a DelaySpace,
    pub(crate) rng: &'a mut ChaCha8Rng,
    /// How long something sent now would wait for the uplink.
    pub(crate) uplink_wait_ns: u64,
    pub(crate) acts: &'a mut Vec<Act>,
}

impl Scene<'_> {
    fn tell(&mut self, to: u32, note: Note) {
        self.acts.push(Act::Tell { to, note });
    }
}

/// A peer of a baseline.
pub(crate) trait Peer {
    fn handle(&mut self, happening: Happening<'_>, scene: &mut Scene<'_>);

    /// When it wants to be called though nothing has happened.
    fn due(&self) -> Option<SimTime>;
}

/// What a peer is told of itself and the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) role: Role,
    /// Whole copies of the stream that its uplink can carry, with all headers.
    pub(crate) copies: f64,
    pub(crate) chunk_ns: u64,
    pub(crate) gop_ns: u64,
}

/// A peer that knows nothing yet.
pub(crate) fn peer(baseline: Baseline, facts: Facts) -> Box<dyn Peer> {
    match baseline {
        Baseline::Star => Box::new(star::Star::new(facts)),
        Baseline::Tree => Box::new(tree::Tree::new(facts)),
        Baseline::MeshPull => Box::new(mesh::Mesh::new(facts)),
    }
}
