//! Who takes part how in which stream, and from where.

use std::fmt;

use super::plan::SpendScenario;
use crate::ScenarioError;
use crate::driver::{Purpose, rng};
use crate::space::DelaySpace;

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The peercaster of this stream.
    Source(usize),
    Donor,
    Viewer,
    Stranger,
    Idler,
}

/// How a node takes part in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Casts,
    Donates,
    /// Watches, and passes on.
    Gives,
    /// Watches, and gives nothing.
    Takes,
}

impl Kind {
    /// In each stream only some give, so that nobody has a choice of suppliers, and the donor depends on strangers in the end.
    pub(crate) fn part(self, stream: usize) -> Option<Part> {
        match (self, stream) {
            (Kind::Source(own), _) => (own == stream).then_some(Part::Casts),
            (Kind::Donor, 0) => Some(Part::Donates),
            (Kind::Viewer, 1) | (Kind::Stranger, 2) => Some(Part::Gives),
            (Kind::Viewer, 0 | 2) | (Kind::Stranger, 1) | (Kind::Donor | Kind::Idler, 2) => Some(Part::Takes),
            _ => None,
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) kind: Kind,
    /// What its programs and their files are called.
    pub(crate) name: String,
    pub(crate) upload_bps: u64,
}

/// All that is known of a run before it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct SpendDraw {
    seed: u64,
    /// Three peercasters, the donor, viewers, strangers, idlers.
    pub(crate) members: Vec<Member>,
    /// One-way delays between all of them, row by row.
    pub(crate) one_way_ns: Vec<u64>,
    /// How long it takes, less the time in which programs start and end.
    pub(crate) length_s: f64,
}

/// The donor's number.
pub(crate) const DONOR: u32 = 3;
/// The viewer that is killed after the first stream, and the one whose ledger is lost then.
pub(crate) const KILLED: u32 = 4;
pub(crate) const LOST: u32 = 5;

impl SpendDraw {
    /// Draws a scenario that has been checked.
    ///
    /// # Errors
    /// When its space cannot be read.
    pub(crate) fn new(scenario: &SpendScenario) -> Result<Self, ScenarioError> {
        let plan = &scenario.spend;
        let kinds = [
            vec![Kind::Source(0), Kind::Source(1), Kind::Source(2), Kind::Donor],
            vec![Kind::Viewer; plan.viewers],
            vec![Kind::Stranger; plan.strangers],
            vec![Kind::Idler; plan.idlers],
        ]
        .concat();
        let upload_bps = |kind: Kind| {
            let x = match kind {
                Kind::Source(_) => plan.source_x,
                Kind::Donor => plan.donor_x,
                Kind::Viewer => plan.viewer_x,
                Kind::Stranger => plan.stranger_x,
                Kind::Idler => 1.0,
            };
            scenario.stream.rate.scaled(x).as_bps()
        };
        let mut space = DelaySpace::new(&scenario.space, rng(scenario.seed, Purpose::Space))?;
        (1..kinds.len()).for_each(|_| space.add());
        let places = 0..kinds.len() as u32;
        let pairs = places.clone().flat_map(|a| places.clone().map(move |b| (a, b)));
        let members = (0..).zip(&kinds).map(|(number, kind)| Member {
            kind: *kind,
            name: format!("{}{number}", kind.word()),
            upload_bps: upload_bps(*kind),
        });
        Ok(SpendDraw {
            seed: scenario.seed,
            members: members.collect(),
            one_way_ns: pairs.map(|(a, b)| space.one_way_ns(a, b)).collect(),
            length_s: plan.lengths_s().iter().sum(),
        })
    }

    /// The numbers and parts of those who take part in a stream.
    pub(crate) fn parts(&self, stream: usize) -> impl Iterator<Item = (u32, Part)> {
        let all = (0..).zip(&self.members);
        all.filter_map(move |(number, member)| Some((number, member.kind.part(stream)?)))
    }

    /// The numbers of those of one kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = u32> {
        let all = (0..).zip(&self.members);
        all.filter(move |(_, member)| member.kind == kind)
            .map(|(number, _)| number)
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Source(_) => "source",
            Kind::Donor => "donor",
            Kind::Viewer => "viewer",
            Kind::Stranger => "stranger",
            Kind::Idler => "idler",
        }
    }
}

impl fmt::Display for SpendDraw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "seed {}: 3 streams, a donor, {} viewers, {} strangers, {} idlers, {:.0} s",
            self.seed,
            self.of(Kind::Viewer).count(),
            self.of(Kind::Stranger).count(),
            self.of(Kind::Idler).count(),
            self.length_s,
        )
    }
}
