//! The other stream, and those who come from it.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use swarm::{Input, NewChunk, Participation};
use wire::{SecretKey, Seq, StreamId};

use super::draw::{self, Spec};
use super::encoder::Encoder;
use super::world::{Event as WorldEvent, World};
use crate::audit::What;
use crate::measure::Role;
use crate::net::addr_of;
use crate::scenario::{Earlier, Scenario};
use crate::time::{SECOND, SimTime, ms, seconds};

/// Between the end of one program and the start of the next.
pub(super) const CHANGE_NS: u64 = SECOND;

/// What a peer does in the other stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Cast,
    Watch,
    Donate,
}

/// A peer's time in the other stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) part: Part,
    pub(super) from: SimTime,
    /// `None`: to the end.
    pub(super) until: Option<SimTime>,
}

/// Something that happens in the other stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Produce,
    Join(u32),
    Leave(u32),
}

/// The other stream.
pub(super) struct Other {
    key: SecretKey,
    stream: StreamId,
    /// Its peercaster.
    pub(super) source: u32,
    encoder: Encoder,
}

/// Says which of the consumers come from the other stream and when, and adds those who stay there, its peercaster first.
pub(super) fn populate(scenario: &Scenario, earlier: &Earlier, specs: &mut Vec<Spec>, rng: &mut ChaCha8Rng) {
    let within = |from_s: f64, over_s: f64, rng: &mut ChaCha8Rng| {
        SimTime(seconds(from_s + over_s * rng.random::<f64>()))
    };
    let rate = scenario.stream.rate;
    let (mut donors, mut viewers) = (earlier.donors, earlier.changing());
    for spec in specs.iter_mut().filter(|spec| spec.role == Role::Consumer) {
        let part = match spec.passive {
            true if donors > 0 => Some(Part::Donate),
            false if viewers > 0 => Some(Part::Watch),
            _ => None,
        };
        let leave_s = if spec.passive {
            earlier.donors_leave_s
        } else {
            earlier.viewers_leave_s
        };
        match part {
            Some(Part::Donate) => {
                donors -= 1;
                spec.upload_bps = rate.scaled(earlier.donor_upload_x).as_bps();
            }
            Some(_) => viewers -= 1,
            None => {}
        }
        if part.is_some() || spec.passive {
            spec.joins = within(leave_s, earlier.over_s, rng).plus(CHANGE_NS);
        }
        spec.earlier = part.map(|part| Stay {
            part,
            from: within(0.0, earlier.joins_over_s, rng),
            until: Some(SimTime(spec.joins.0 - CHANGE_NS)),
        });
    }
    let staying = earlier.viewers - earlier.changing();
    let cast = std::iter::once((Part::Cast, earlier.source_upload_x));
    for (part, upload_x) in cast.chain(std::iter::repeat_n(
        (Part::Watch, earlier.viewer_upload_x),
        staying,
    )) {
        let bps = rate.scaled(upload_x).as_bps();
        let never = SimTime(u64::MAX);
        let mut spec = draw::spec(scenario, Role::Elsewhere, false, bps, never, rng);
        let from = if part == Part::Cast {
            SimTime::START
        } else {
            within(0.0, earlier.joins_over_s, rng)
        };
        spec.earlier = Some(Stay {
            part,
            from,
            until: None,
        });
        specs.push(spec);
    }
}

impl World {
    /// Begins the other stream, if the scenario has one.
    pub(super) fn open_other(&mut self) {
        let casts = |peer: &super::world::Peer| peer.spec.earlier.is_some_and(|stay| stay.part == Part::Cast);
        let Some(source) = self.peers.iter().position(casts) else {
            return;
        };
        let key = SecretKey::from_bytes(&self.peers[source].spec.secret);
        let encoder = Encoder::new(&self.scenario.stream);
        self.queue
            .push(encoder.next_at(), WorldEvent::Earlier(Event::Produce));
        self.other = Some(Other {
            stream: key.stream_id(),
            key,
            source: source as u32,
            encoder,
        });
    }

    /// Plans when a peer is where; when it comes first.
    pub(super) fn plan_stays(&mut self, number: u32, spec: &Spec) -> SimTime {
        if spec.role != Role::Elsewhere {
            self.queue.push(spec.joins, WorldEvent::Join(number));
        }
        let Some(stay) = spec.earlier else {
            return spec.joins;
        };
        self.queue
            .push(stay.from, WorldEvent::Earlier(Event::Join(number)));
        if let Some(until) = stay.until {
            self.queue.push(until, WorldEvent::Earlier(Event::Leave(number)));
        }
        stay.from
    }

    pub(super) fn earlier(&mut self, event: Event) {
        match event {
            Event::Produce => self.produce_other(),
            Event::Join(number) => self.join_other(number),
            Event::Leave(number) => {
                // The program ends, and what it has not given receipts for yet it does now.
                self.input(number, Input::Shutdown);
                self.gone(number, false);
            }
        }
    }

    fn join_other(&mut self, number: u32) {
        let Some((stay, other)) = self.peers[number as usize].spec.earlier.zip(self.other.as_ref()) else {
            return;
        };
        let (key, stream, source) = (other.key.clone(), other.stream, other.source);
        self.net.start(self.now, number);
        let local = self.begin(number);
        self.fold(What::Joined, number, 1);
        let join = |participation| Input::Join {
            stream,
            via: vec![addr_of(source)],
            participation,
        };
        let input = match stay.part {
            Part::Cast => self.publication(key, Seq(local.as_micros())),
            Part::Watch => join(Participation::Consume(self.wish())),
            Part::Donate => join(Participation::Donate),
        };
        self.input(number, input);
    }

    fn produce_other(&mut self) {
        let Some(other) = &mut self.other else { return };
        let made = other.encoder.make();
        let (stream, source, next) = (other.stream, other.source, other.encoder.next_at());
        self.fold(What::Produced, source, made.payload.len() as u64);
        self.queue.push(next, WorldEvent::Earlier(Event::Produce));
        let chunk = NewChunk {
            payload: made.payload,
            generated_at: self.peers[source as usize].clock.read(made.generated),
            duration: Duration::from_nanos(ms(self.scenario.stream.chunk_ms)),
            random_access: made.random_access,
            discontinuity: false,
        };
        let chunks = vec![chunk];
        self.input(source, Input::Produce { stream, chunks });
    }
}
