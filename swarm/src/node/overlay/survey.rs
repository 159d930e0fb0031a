//! Which streams of the overlay lack capacity: for donors that were told of none.
//!
//! A member tells what the leases say that it holds, and names members farther on. So whoever asks walks over the ring in
//! steps that double, as far as it cares to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use doat::Way;
use incentives::Offence;
use wire::message::{self, MAX_FARTHER, MAX_SURVEYED, RingNode, Surveyed};
use wire::{PeerId, StreamId, Time};

use super::Node;
use crate::io::{Event, Outbox, Output, Wanting};

/// Members asked in one survey: each names those at distances that double in both directions, so these are spread over the
/// whole ring, however large.
const MOST_ASKED: usize = 24;

/// Of those, asked at a time.
const AT_ONCE: usize = 4;

/// Streams remembered in one survey: more than any donor carries.
const MAX_STREAMS: usize = 256;

/// Who has not answered by then is passed by: a connection and an answer, half around the world.
const PATIENCE: Duration = Duration::from_secs(3);

/// A survey ends by then with what it has.
const LONGEST: Duration = Duration::from_secs(10);

/// A survey under way.
#[derive(Debug)]
pub(super) struct Survey {
    since: Time,
    asked: BTreeSet<PeerId>,
    to_ask: VecDeque<RingNode>,
    open: BTreeMap<PeerId, Time>,
    found: BTreeMap<StreamId, Wanting>,
}

impl Survey {
    fn hears_of(&mut self, node: &RingNode) {
        let known =
            self.asked.contains(&node.peer) || self.to_ask.iter().any(|other| other.peer == node.peer);
        if !known && self.asked.len() + self.to_ask.len() < 2 * MOST_ASKED {
            self.to_ask.push_back(node.clone());
        }
    }

    fn finds(&mut self, lease: message::TrackerLease) {
        if lease.ttl_ms == 0 || self.found.len() >= MAX_STREAMS && !self.found.contains_key(&lease.stream) {
            return;
        }
        let via = lease.trackers().flat_map(|node| node.addrs.to_vec()).collect();
        let wanting = Wanting {
            stream: lease.stream,
            via,
            members: lease.members,
            short: lease.short,
        };
        let known = self.found.get(&lease.stream);
        if known.is_none_or(|known| known.short < wanting.short) {
            self.found.insert(lease.stream, wanting);
        }
    }

    /// What was found, those that lack most first; of equals those with more viewers.
    fn result(self) -> Vec<Wanting> {
        let mut streams: Vec<Wanting> = self.found.into_values().collect();
        streams.sort_by_key(|found| (std::cmp::Reverse((found.short, found.members)), found.stream));
        streams
    }
}

impl Node {
    /// Begins to look. A survey under way goes on instead.
    pub(in crate::node) fn start_survey(&mut self, now: Time, out: &mut Outbox) {
        if self.overlay.survey.is_some() {
            return;
        }
        let mut survey = Survey {
            since: now,
            asked: BTreeSet::from([self.config.peer]),
            to_ask: VecDeque::new(),
            open: BTreeMap::new(),
            found: BTreeMap::new(),
        };
        for lease in self.overlay.doat.held() {
            survey.finds(lease.clone());
        }
        self.overlay.survey = Some(survey);
        self.survey_tick(now, out);
    }

    /// Asks on, as far as there is somebody to ask, and ends when there is not.
    pub(super) fn survey_tick(&mut self, now: Time, out: &mut Outbox) {
        let Some(mut survey) = self.overlay.survey.take() else {
            return;
        };
        for node in self.farther() {
            survey.hears_of(&node);
        }
        survey.open.retain(|_, since| now.since(*since) < PATIENCE);
        while survey.open.len() < AT_ONCE && survey.asked.len() <= MOST_ASKED {
            let Some(node) = survey.to_ask.pop_front() else {
                break;
            };
            survey.asked.insert(node.peer);
            survey.open.insert(node.peer, now);
            let most = MAX_SURVEYED as u8;
            let survey = message::Survey { most }.into();
            self.ring_send(now, node.peer, node.addrs.to_vec(), survey, out);
        }
        // Whoever knows nobody yet waits for a way in.
        let nobody = survey.asked.len() <= 1;
        let over = survey.open.is_empty() && !nobody || now.since(survey.since) >= LONGEST;
        if over {
            let streams = survey.result();
            out.push(Output::Event(Event::Surveyed { streams }));
        } else {
            self.overlay.survey = Some(survey);
        }
    }

    /// Members to be asked next: those at distances that double, or whoever is known.
    fn farther(&self) -> Vec<RingNode> {
        let doat = &self.overlay.doat;
        let mut nodes: Vec<RingNode> = if doat.is_member() {
            let fingers = Way::BOTH.into_iter().flat_map(|way| doat.fingers(way));
            let next = Way::BOTH.into_iter().filter_map(|way| doat.ring().next(way));
            next.chain(fingers).cloned().collect()
        } else {
            self.overlay.near.clone()
        };
        if nodes.is_empty() {
            let neighbours = self.neighbours.iter().filter(|(_, n)| !n.listen.is_empty());
            nodes.extend(
                neighbours
                    .map(|(peer, n)| RingNode::new(*peer, &n.coord, n.listen.iter().copied().collect())),
            );
        }
        let mut seen = BTreeSet::from([self.config.peer]);
        nodes.retain(|node| seen.insert(node.peer));
        nodes
    }

    /// Somebody looks for streams that lack capacity.
    pub(in crate::node) fn on_survey(
        &mut self,
        now: Time,
        from: PeerId,
        survey: message::Survey,
        out: &mut Outbox,
    ) {
        let mut farther = self.farther();
        farther.retain(|node| node.peer != from);
        // Fingers come with the distances that double, upwards first: every direction and distance shall be among those named.
        let every = farther.len().div_ceil(MAX_FARTHER).max(1);
        let answer = Surveyed {
            leases: self
                .overlay
                .doat
                .shortest(usize::from(survey.most).min(MAX_SURVEYED))
                .into_iter()
                .collect(),
            farther: farther.into_iter().step_by(every).collect(),
        };
        self.send_ring(now, from, answer.into(), out);
    }

    /// The answer of one that was asked.
    pub(in crate::node) fn on_surveyed(
        &mut self,
        now: Time,
        from: PeerId,
        answer: Surveyed,
        out: &mut Outbox,
    ) {
        let Some(survey) = &mut self.overlay.survey else {
            return;
        };
        if survey.open.remove(&from).is_none() {
            return;
        }
        for node in &answer.farther {
            survey.hears_of(node);
        }
        let mut forged = false;
        for lease in &answer.leases {
            match lease.open() {
                Ok(lease) => survey.finds(lease),
                Err(_) => forged = true,
            }
        }
        if forged {
            self.penalise(now, from, Offence::WrongSignature);
        }
        self.survey_tick(now, out);
    }
}
