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

/// Streams of one provider that are counted each.
const MAX_STREAMS: usize = 64;

/// Epochs of a consumer whose receipts wait to be entered: it restarted that often within [`FOLD_EVERY`], or this peer could not
/// reach it.
const MAX_EPOCHS: usize = 8;

/// What this peer has of one provider in this run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issued {
    epoch: u64,
    seq: u64,
    bytes: u64,
    streams: BTreeMap<StreamId, u64>,
    /// Bytes without a receipt, and since when there are any.
    open: u64,
    open_since: Time,
    latest: Option<StreamId>,
}

impl Issued {
    pub(crate) fn due_at(&self) -> Time {
        if self.open == 0 {
            Time::NEVER
        } else {
            self.open_since + RECEIPT_EVERY
        }
    }

    /// Goes on above an epoch that is remembered elsewhere.
    pub(crate) fn above(&mut self, epoch: u64) {
        if self.epoch <= epoch {
            self.epoch = epoch.saturating_add(1);
            self.seq = 0;
        }
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
        if issued.open == 0 {
            issued.open_since = now;
        }
        issued.open = issued.open.saturating_add(bytes);
        issued.bytes = issued.bytes.saturating_add(bytes);
        if !issued.streams.contains_key(&stream) && issued.streams.len() == MAX_STREAMS {
            issued.streams.pop_first();
        }
        let in_stream = issued.streams.entry(stream).or_default();
        *in_stream = in_stream.saturating_add(bytes);
        let another = issued
            .latest
            .replace(stream)
            .is_some_and(|latest| latest != stream);
        if another || issued.open >= RECEIPT_BYTES {
            self.issue(now, provider);
        }
    }

    /// Signs the receipts that are due by the clock.
    pub(crate) fn issue_due(&mut self, now: Time) {
        let due = self.peers.iter().filter(|(_, peer)| now >= peer.issued.due_at());
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for provider in due {
            self.issue(now, provider);
        }
    }

    fn issue(&mut self, now: Time, provider: PeerId) {
        let Some(peer) = self.peers.get_mut(&provider) else {
            return;
        };
        let issued = &mut peer.issued;
        let Some(stream) = issued.latest else { return };
        issued.open = 0;
        issued.seq += 1;
        let receipt = Receipt {
            consumer: self.me,
            provider,
            stream,
            epoch: issued.epoch,
            seq: issued.seq,
            bytes: issued.bytes,
            in_stream: issued.streams.get(&stream).copied().unwrap_or(0),
        };
        let signed = Signed::new(&receipt, &self.key);
        peer.pair.given.insert(receipt.epoch, (receipt, signed.clone()));
        if peer.pair.proposes() {
            peer.fold_at = peer.fold_at.min(now + FOLD_EVERY);
        }
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
                self.condemn(proof);
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
        peer.receipted = peer.receipted.saturating_add(receipt.bytes - before);
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
            pair.given.insert(receipt.epoch, (receipt, signed.clone()));
            peer.fold_at = peer.fold_at.min(now);
            self.drive(now, from);
        }
        Ok(())
    }
}
