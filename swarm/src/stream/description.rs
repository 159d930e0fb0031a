//! The stream's description: taken in, shown, passed on.

use incentives::Offence;
use wire::message::Info;
use wire::{PeerId, SubstreamSet};

use super::{Ctx, Stream, SubstreamState};
use crate::io::{Event, Output};

impl Stream {
    /// A description, from the tracker or a neighbour, already checked.
    pub(super) fn take_info(
        &mut self,
        ctx: &mut Ctx<'_>,
        info: wire::StreamInfo,
        signed: wire::Signed<wire::StreamInfo>,
    ) {
        if let Some((held, _)) = &self.info {
            if !info.replaces(held) {
                return;
            }
            if info.session > self.session {
                self.begin_session(ctx, info.session);
            }
        }
        self.session = self.session.max(info.session);
        if self.subs.len() != usize::from(info.substreams) {
            self.subs = (0..info.substreams).map(|_| SubstreamState::default()).collect();
            self.primaries = SubstreamSet::EMPTY;
            for state in self.peers.values_mut() {
                state.supplies = SubstreamSet::EMPTY;
                state.supplied = SubstreamSet::EMPTY;
                state.asked = SubstreamSet::EMPTY;
            }
        }
        let shown = Box::new(info.clone());
        self.info = Some((info, signed.clone()));
        ctx.out.push(Output::Event(Event::Described {
            stream: self.id,
            info: shown,
            signed,
        }));
    }

    /// A neighbour passes on a description.
    pub(crate) fn on_info(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: Info) {
        if self.source.is_some() {
            return;
        }
        // Honest peers have checked it before they passed it on.
        let Ok(info) = message.info.open(&self.verifier) else {
            return ctx.penalise(from, Offence::WrongSignature);
        };
        let newer = self.info.as_ref().is_none_or(|(held, _)| info.replaces(held));
        if !newer || !info.is_sane() {
            return;
        }
        self.take_info(ctx, info, message.info.clone());
        let others: Vec<PeerId> = self.peers.keys().copied().filter(|&peer| peer != from).collect();
        for peer in others {
            ctx.send(
                peer,
                Info {
                    stream: self.id,
                    info: message.info.clone(),
                },
            );
        }
    }
}
