//! The peercaster's part: numbering, signing, describing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wire::message::{Appointment, Info, Role};
use wire::{
    Chunk, ChunkFlags, ChunkHeader, PeerId, PeerMap, SecretKey, Seq, Signed, StreamInfo, Substream,
    SubstreamSet, Time, Verifier,
};

use super::restraint::Restraint;
use super::tracking::{Office, Tracking};
use super::{Ctx, Stream, SubstreamState};
use crate::clock::SourceClock;
use crate::io::{Class, Event, NewChunk, Output};
use crate::window::Window;

/// Up to so many members the peercaster keeps its children though copies queue: our judgement.
const FEW: usize = 32;

/// A tracker may ask for an appointment this often: a signature takes 20 microseconds, a tracker needs two in a minute.
const APPOINT_EVERY: Duration = Duration::from_millis(500);

/// Most trackers that ask in such a time.
const MAX_ASKING: usize = 64;

/// What only the peercaster has.
#[derive(Debug)]
pub(crate) struct Source {
    key: SecretKey,
    /// When each tracker asked for an appointment last.
    asked: PeerMap<Time>,
    next: Seq,
    restraint: Restraint,
}

impl Source {
    /// Whether a tracker's wish for an appointment is looked at.
    pub(super) fn may_ask(&mut self, now: Time, tracker: PeerId) -> bool {
        self.asked.retain(|_, at| now.since(*at) < APPOINT_EVERY);
        let may = self.asked.len() < MAX_ASKING && !self.asked.contains_key(&tracker);
        if may {
            self.asked.insert(tracker, now);
        }
        may
    }
}

impl Stream {
    /// A stream that this node publishes. `None` when the description is not one peers can work with.
    pub(crate) fn publish(ctx: &mut Ctx<'_>, key: SecretKey, info: StreamInfo) -> Option<Self> {
        if !info.is_sane() {
            return None;
        }
        let id = key.stream_id();
        let verifier = Verifier::new(id.as_bytes()).ok()?;
        let mut stream = Stream::new(id, Role::Peercaster, verifier, Vec::new(), ctx.now);
        let signed = Signed::new(&info, &key);
        stream.source = Some(Source {
            asked: PeerMap::new(),
            key,
            next: info.session,
            restraint: Restraint::default(),
        });
        let me = ctx.config.peer;
        let office = Office {
            appointment: stream.appoint(ctx.now, me)?,
            peercaster: None,
            addrs: ctx.config.listen.clone(),
        };
        stream.tracking = Some(Tracking::new(ctx, id, info.substreams, office, false));
        stream.clock = SourceClock::own();
        stream.window = Window::new(info.session);
        stream.session = info.session;
        stream.live_from = info.session;
        stream.subs = (0..info.substreams).map(|_| SubstreamState::default()).collect();
        stream.primaries = SubstreamSet::all(info.substreams);
        let (shown, shown_signed) = (Box::new(info.clone()), signed.clone());
        stream.info = Some((info, signed));
        stream.count_slots(ctx);
        ctx.out.push(Output::Event(Event::Described {
            stream: id,
            info: shown,
            signed: shown_signed,
        }));
        Some(stream)
    }

    /// Lets a peer keep a tracker of the stream; `None` where the stream's key is not.
    pub(super) fn appoint(&self, now: Time, tracker: PeerId) -> Option<Signed<Appointment>> {
        let source = self.source.as_ref()?;
        // Numbered by the time, as sessions are: a later one's appointment replaces an earlier.
        Some(Appointment::sign(&source.key, tracker, now.as_micros()))
    }

    /// Signs a changed description and tells everybody near.
    pub(crate) fn describe(&mut self, ctx: &mut Ctx<'_>, mut new: StreamInfo) {
        let (Some(source), Some((old, _))) = (&self.source, &self.info) else {
            return;
        };
        new.session = old.session;
        new.revision = old.revision.saturating_add(1);
        new.started_at = old.started_at;
        new.substreams = old.substreams;
        if !new.is_sane() {
            return;
        }
        let signed = Signed::new(&new, &source.key);
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            ctx.send(
                peer,
                Info {
                    stream: self.id,
                    info: signed.clone(),
                },
            );
        }
        self.info = Some((new.clone(), signed.clone()));
        ctx.out.push(Output::Event(Event::Described {
            stream: self.id,
            info: Box::new(new),
            signed,
        }));
    }

    /// Numbers, signs and sends the next pieces of media.
    pub(crate) fn produce(&mut self, ctx: &mut Ctx<'_>, new: Vec<NewChunk>) {
        let pieces = new.into_iter().map(|new| {
            let flags = ChunkFlags {
                random_access: new.random_access,
                discontinuity: new.discontinuity,
                ..ChunkFlags::default()
            };
            (new, flags)
        });
        self.emit(ctx, pieces);
    }

    /// Tells everybody, with one more chunk in each substream, that nothing follows: a donor takes but a few of them.
    pub(crate) fn end(&mut self, ctx: &mut Ctx<'_>) {
        let flags = ChunkFlags {
            end: true,
            ..ChunkFlags::default()
        };
        let nothing = NewChunk {
            payload: Bytes::new(),
            generated_at: ctx.now,
            duration: Duration::ZERO,
            random_access: false,
            discontinuity: false,
        };
        let one_each = std::iter::repeat_n((nothing, flags), self.k().into());
        self.emit(ctx, one_each);
        self.ended = true;
    }

    fn emit(&mut self, ctx: &mut Ctx<'_>, pieces: impl Iterator<Item = (NewChunk, ChunkFlags)>) {
        let (stream, session) = (self.id, self.session);
        let Some(source) = &mut self.source else { return };
        let pieces = pieces.map(|(new, flags)| {
            let seq = source.next;
            source.next = seq.plus(1);
            let header = ChunkHeader {
                stream,
                session,
                seq,
                generated_at: new.generated_at,
                duration: new.duration,
                flags,
            };
            (header, new.payload)
        });
        let pieces = pieces.collect();
        for chunk in Chunk::sign_all(pieces, &source.key) {
            self.send_own(ctx, Arc::new(chunk));
        }
    }

    fn send_own(&mut self, ctx: &mut Ctx<'_>, chunk: Arc<Chunk>) {
        let header = chunk.header();
        let seq = header.seq;
        self.window.insert(chunk.clone());
        self.counters.bytes_in += chunk.payload().len() as u64;
        if !header.flags.end {
            self.observe_size(&chunk);
        }
        self.repair.observe(seq, header.generated_at);
        let k = self.k();
        if let Some(sub) = self.sub_mut(seq.substream(k)) {
            sub.last_arrival = Some(ctx.now);
        }
        self.forward(ctx, None, &chunk, 0, Class::Live);
    }

    /// Slots to do without because copies queue. In a small swarm nothing is given up: a queue is over before another supplier
    /// would have been found.
    pub(super) fn slots_given_up(&mut self, ctx: &Ctx<'_>) -> u16 {
        let slots = self.slots;
        let few = self
            .tracking
            .as_ref()
            .is_none_or(|tracking| tracking.everybody() <= FEW);
        let Some(source) = &mut self.source else { return 0 };
        if few {
            return 0;
        }
        source.restraint.look(ctx.now, ctx.uplink.backlog(ctx.now), slots)
    }

    /// Copies of one substream that the source sends: all of them get their share, or a whole substream would be
    /// missing for everybody.
    pub(super) fn source_share(&self, substream: Substream) -> u16 {
        let k = u16::from(self.k().max(1));
        self.slots / k + u16::from(u16::from(substream.0) < self.slots % k)
    }
}
