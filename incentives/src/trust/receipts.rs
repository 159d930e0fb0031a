//! Receipts: what a consumer signs while it is served, and what a provider makes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::trust::{FraudProof, Receipt, TrustMessage};
use wire::{PeerId, Signed, StreamId, Time};

use super::{Fault, Trust, fault, records};
use crate::store::Store;

/// A receipt is due after so many bytes: half a second of the default stream from one supplier.
pub const RECEIPT_BYTES: u64 = 256 << 10;
/// And after so long, if anything came.
pub const RECEIPT_EVERY: Duration = Duration::from_secs(1);

/// How long receipts wait to be entered in an account that has nothing else to sign: two signatures in ten seconds instead of
/// in one.
pub(crate) const FOLD_EVERY: Duration = Duration::from_secs(10);

/// One byte in so many may go astray or come twice: with 3 % loss and suppliers that change, about half of that does.
const WASTE: u64 = 8;

/// Streams of one provider that are counted each.
const MAX_STREAMS: usize = 64;

/// Epochs of a consumer whose receipts wait to be entered: it restarted that often within [`FOLD_EVERY`], or this peer could not
/// reach it.
const MAX_EPOCHS: usize = 8;

/// What came of one stream.
#[derive(Clone, Copy, Debug, Default)]
struct InStream {
    bytes: u64,
    /// Bytes that no receipt for this stream tells of yet, and since when there are any.
    open: u64,
    since: Time,
    last: Time,
}

/// What this peer has of one provider in this run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issued {
    epoch: u64,
    seq: u64,
    bytes: u64,
    streams: BTreeMap<StreamId, InStream>,
    /// Bytes over all streams since the last receipt.
    open: u64,
}

impl Issued {
    /// Each receipt says how much came in all, and how much of it in one stream. So the bytes of all streams together make one
    /// due, and streams that come at the same time take turns.
    pub(crate) fn due_at(&self) -> Time {
        let open = self.streams.values().filter(|stream| stream.open > 0);
        let first = open.map(|stream| stream.since).min();
        first.map_or(Time::NEVER, |since| since + RECEIPT_EVERY)
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.bytes == 0
    }

    /// Goes on above an epoch that is remembered elsewhere.
    pub(crate) fn above(&mut self, epoch: u64) {
        if self.epoch <= epoch {
            self.epoch = epoch.saturating_add(1);
            self.seq = 0;
        }
    }

    fn add(&mut self, now: Time, stream: StreamId, bytes: u64) {
        self.open = self.open.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        if !self.streams.contains_key(&stream) && self.streams.len() == MAX_STREAMS {
            // The one that has been silent for longest. Should it come again it is counted anew; the sum knows all of it.
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.last);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.streams.remove(&oldest);
            }
        }
        let stream = self.streams.entry(stream).or_default();
        if stream.open == 0 {
            stream.since = now;
        }
        stream.last = now;
        stream.bytes = stream.bytes.saturating_add(bytes);
        stream.open = stream.open.saturating_add(bytes);
    }

    /// The stream whose turn it is: the one that has waited for longest. It waits no more.
    fn next_stream(&mut self) -> Option<(StreamId, u64)> {
        let open = self.streams.iter_mut().filter(|(_, stream)| stream.open > 0);
        let (id, stream) = open.min_by_key(|(_, stream)| stream.since)?;
        stream.open = 0;
        self.open = 0;
        Some((*id, stream.bytes))
    }
}

impl<S: Store> Trust<S> {
    pub(crate) fn note_received(&mut self, now: Time, provider: PeerId, stream: StreamId, bytes: u64) {
        let epoch = self.epoch;
        let Some(peer) = self.peers.get_mut(&provider) else {
            return;
        };
        let issued = &mut peer.issued;
        issued.epoch = issued.epoch.max(epoch);
        issued.add(now, stream, bytes);
        if issued.open >= RECEIPT_BYTES {
            self.issue(now, provider);
        }
    }

    /// Signs the receipts that are due by the clock.
    pub(crate) fn issue_due(&mut self, now: Time) {
        let due = |provider: &PeerId| {
            let peer = self.peers.get(provider);
            peer.is_some_and(|peer| now >= peer.issued.due_at())
        };
        let due: Vec<_> = self.present.iter().copied().filter(due).collect();
        for provider in due {
            while self
                .peers
                .get(&provider)
                .is_some_and(|peer| now >= peer.issued.due_at())
            {
                self.issue(now, provider);
            }
        }
    }

    /// Signs a receipt for all that came of a provider and has none.
    pub(crate) fn issue_rest(&mut self, now: Time, provider: PeerId) {
        if self.peers.get(&provider).is_some_and(|peer| peer.issued.open > 0) {
            self.issue(now, provider);
        }
    }

    fn issue(&mut self, now: Time, provider: PeerId) {
        let Some(peer) = self.peers.get_mut(&provider) else {
            return;
        };
        let issued = &mut peer.issued;
        let Some((stream, in_stream)) = issued.next_stream() else {
            return;
        };
        issued.seq += 1;
        let receipt = Receipt {
            consumer: self.me,
            provider,
            stream,
            epoch: issued.epoch,
            seq: issued.seq,
            bytes: issued.bytes,
            in_stream,
        };
        let signed = Signed::new(&receipt, &self.key);
        let write = records::given(provider, receipt.epoch, Some(&signed));
        peer.pair.given.insert(receipt.epoch, (receipt, signed.clone()));
        if peer.pair.proposes() {
            peer.fold_at = peer.fold_at.min(now + FOLD_EVERY);
        }
        self.write_soon(now, write);
        self.send(provider, TrustMessage::Receipt(signed));
    }

    pub(crate) fn on_receipt(
        &mut self,
        now: Time,
        from: PeerId,
        signed: &Signed<Receipt>,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        if signed.peek().map_err(fault)?.consumer == self.me {
            let own = signed.open(&self.own).map_err(fault)?;
            return self.on_own_receipt(now, from, own, signed);
        }
        let receipt = signed.open(&peer.pair.key).map_err(fault)?;
        if (receipt.consumer, receipt.provider) != (from, self.me) {
            return Err(Fault::Foreign);
        }
        if receipt.in_stream > receipt.bytes {
            return Err(Fault::TooMuch);
        }
        let pair = &mut peer.pair;
        if let Some((known, earlier)) = pair.held.get(&receipt.epoch) {
            if known.seq == receipt.seq && !earlier.same_body(signed) {
                let proof = FraudProof::Receipts(from, earlier.clone(), signed.clone());
                self.condemn(now, None, proof);
                return Err(Fault::Stale);
            }
            if receipt.seq <= known.seq || receipt.bytes < known.bytes {
                return Err(Fault::Stale);
            }
        }
        let newest = pair
            .held
            .keys()
            .next_back()
            .is_some_and(|&epoch| epoch > receipt.epoch);
        let entered = if pair.proposes() {
            pair.state.by_low
        } else {
            pair.state.by_high
        };
        let after = entered.after(receipt.epoch, receipt.bytes);
        if newest || after.is_none_or(|after| after.total == entered.total) {
            return Err(Fault::Stale);
        }
        if !pair.held.contains_key(&receipt.epoch) && pair.held.len() == MAX_EPOCHS {
            return Err(Fault::TooMuch);
        }
        let before = match pair.held.get(&receipt.epoch) {
            Some((known, _)) => known.bytes,
            None if entered.epoch == receipt.epoch => entered.bytes,
            None => 0,
        };
        let more = receipt.bytes - before;
        // Some of what was sent was there already, or was lost: that much is not held against a peer that gives receipts.
        peer.receipted = peer.receipted.saturating_add(more).saturating_add(more / WASTE);
        // Only what was given in this run is waited for.
        peer.receipted = peer.receipted.min(peer.sent);
        let write = records::held(from, receipt.epoch, Some(signed));
        pair.held.insert(receipt.epoch, (receipt, signed.clone()));
        if pair.proposes() {
            peer.fold_at = peer.fold_at.min(now + FOLD_EVERY);
        }
        self.write_soon(now, write);
        Ok(())
    }

    /// A provider shows a receipt of this peer's own, which may have been forgotten in a crash.
    fn on_own_receipt(
        &mut self,
        now: Time,
        from: PeerId,
        receipt: Receipt,
        signed: &Signed<Receipt>,
    ) -> Result<(), Fault> {
        if receipt.provider != from || receipt.consumer != self.me {
            return Err(Fault::Foreign);
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        let pair = &mut peer.pair;
        let entered = if pair.proposes() {
            pair.state.by_high
        } else {
            pair.state.by_low
        };
        let after = entered.after(receipt.epoch, receipt.bytes);
        let known = pair
            .given
            .get(&receipt.epoch)
            .is_some_and(|(known, _)| known.seq >= receipt.seq);
        if known || after.is_none_or(|after| after.total == entered.total) {
            return Ok(());
        }
        if receipt.epoch >= peer.issued.epoch.max(1) {
            peer.issued.above(receipt.epoch);
        }
        if pair.given.len() < MAX_EPOCHS {
            let write = records::given(from, receipt.epoch, Some(signed));
            pair.given.insert(receipt.epoch, (receipt, signed.clone()));
            peer.fold_at = peer.fold_at.min(now);
            self.write_soon(now, write);
            self.drive(now, from);
        }
        Ok(())
    }
}
