//! Paths: by which way a substream comes, told to the children so that no loop closes and no tree falls apart.

use std::time::Duration;

use wire::message::Path;
use wire::{PeerId, Substream};

use super::{Ctx, Stream};

/// Between two changes of a substream's path that the children are told of. Honest ones come seconds apart.
pub(super) const PATH_EVERY: Duration = Duration::from_millis(200);

impl Stream {
    /// The ancestors as this node's children are told: itself first.
    fn path_below(&self, ctx: &Ctx<'_>, substream: Substream) -> Vec<u32> {
        let mut path = vec![ctx.config.peer.tag()];
        if let Some(sub) = self.sub(substream) {
            path.extend(&sub.path);
        }
        path
    }

    pub(super) fn send_path(&self, ctx: &mut Ctx<'_>, to: PeerId, substream: Substream) {
        let ancestors = self.path_below(ctx, substream).into_iter().collect();
        let attached = self.source.is_some()
            || self
                .sub(substream)
                .is_some_and(|sub| sub.parent.is_some() && sub.attached);
        ctx.send(
            to,
            Path {
                stream: self.id,
                substream,
                ancestors,
                attached,
            },
        );
    }

    /// Where the way of a substream changed, every child must know, or a loop could close below: at once, but a supplier
    /// whose word changes all the time does not make this node flood its children.
    pub(super) fn pass_paths_on(&mut self, ctx: &mut Ctx<'_>) {
        for substream in (0..self.k()).map(Substream) {
            let Some(sub) = self.sub_mut(substream) else {
                return;
            };
            if !sub.path_news || ctx.now.since(sub.path_told) < PATH_EVERY {
                continue;
            }
            sub.path_news = false;
            sub.path_told = ctx.now;
            let children: Vec<PeerId> = sub.children.iter().map(|child| child.peer).collect();
            for child in children {
                self.send_path(ctx, child, substream);
            }
        }
    }
}
