use wire::trust::ShiftOrder;
use wire::{SecretKey, StreamId};

use super::*;

const MIB: u64 = 1 << 20;

/// The lower and the higher of two peers, with their keys, and a state both have signed in which the lower owes 100 MiB.
struct Two {
    keys: [SecretKey; 2],
    low: Pair,
    high: Pair,
    notes: BTreeMap<ShiftId, (Note, Signed<Note>)>,
    kept: BTreeSet<ShiftId>,
}

fn at(seconds: u64) -> Time {
    Time::from_millis(1_700_000_000_000 + seconds * 1000)
}

fn signer() -> SecretKey {
    SecretKey::from_bytes(&[77; 32])
}

fn id(n: u8) -> ShiftId {
    ShiftId([n; 32])
}

fn entry(n: u8, low_owes: bool, mib: u64) -> Pending {
    Pending {
        id: id(n),
        amount: mib * MIB,
        low_owes,
        raises: false,
        signer: signer().peer_id(),
        hops: 1,
        base: 0,
    }
}

impl Two {
    fn new() -> Self {
        let mut keys = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
        keys.sort_by_key(SecretKey::peer_id);
        let ids = [keys[0].peer_id(), keys[1].peer_id()];
        let pair = |me: usize| {
            let other = ids[1 - me];
            Pair::new(ids[me], other, Verifier::new(other.as_bytes()).unwrap())
        };
        let mut two = Two {
            low: pair(0),
            high: pair(1),
            keys,
            notes: BTreeMap::new(),
            kept: BTreeSet::new(),
        };
        let mut state = AccountState::empty(ids[0], ids[1]);
        state.by_high = state.by_high.after(1, 100 * MIB).unwrap();
        state.seq = 1;
        two.both_sign(state);
        two
    }

    fn both_sign(&mut self, state: AccountState) {
        let first = Signed::new(&state, &self.keys[0]);
        let agreed = Cosigned::join(&first, &first.also_by(&self.keys[1])).unwrap();
        for pair in [&mut self.low, &mut self.high] {
            pair.signed = state.seq;
            assert!(pair.adopt(state.clone(), agreed.clone()));
        }
    }

    /// Adds entries to what both have signed.
    fn with(mut self, entries: &[Pending]) -> Self {
        let mut state = self.next();
        state.pending = self.low.state.pending.iter().chain(entries).copied().collect();
        self.both_sign(state);
        self
    }

    /// The state that follows without any change.
    fn next(&self) -> AccountState {
        AccountState {
            seq: self.low.state.seq + 1,
            previous: self.low.hash(),
            ..self.low.state.clone()
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            notes: &self.notes,
            kept: &self.kept,
        }
    }

    fn check(&self, change: impl FnOnce(&mut AccountState)) -> Result<(), Refusal> {
        let mut next = self.next();
        change(&mut next);
        self.high.check(at(0), &next, &[], &self.facts())
    }

    fn note(&mut self, n: u8, mib: u64) {
        let note = Note {
            id: id(n),
            debtor: signer().peer_id(),
            amount: mib * MIB,
        };
        self.notes.insert(id(n), (note, Signed::new(&note, &signer())));
    }

    fn receipt(&self, consumer: usize, epoch: u64, bytes: u64) -> (Receipt, Signed<Receipt>) {
        let receipt = Receipt {
            consumer: self.keys[consumer].peer_id(),
            provider: self.keys[1 - consumer].peer_id(),
            stream: StreamId::from_bytes([9; 32]),
            epoch,
            seq: 1,
            bytes,
            in_stream: bytes,
        };
        let signed = Signed::new(&receipt, &self.keys[consumer]);
        (receipt, signed)
    }
}

#[test]
fn a_state_that_changes_nothing_may_be_signed_and_numbers_may_be_left_out() {
    let two = Two::new();
    assert_eq!(two.check(|_| {}), Ok(()));
    assert_eq!(two.check(|next| next.seq += SKIP), Ok(()));
    assert_eq!(two.check(|next| next.seq -= 1), Err(Refusal::Number));
    assert_eq!(two.check(|next| next.seq += 5 * SKIP), Err(Refusal::Number));
    assert_eq!(two.check(|next| next.previous[0] ^= 1), Err(Refusal::Base));
}

#[test]
fn what_the_proposer_gave_needs_a_receipt() {
    let two = Two::new();
    let (receipt, _) = two.receipt(1, 7, 5 * MIB);
    let mut next = two.next();
    next.by_low = next.by_low.after(7, 5 * MIB).unwrap();
    let check =
        |next: &AccountState, receipts: &[Receipt]| two.high.check(at(0), next, receipts, &two.facts());
    assert_eq!(check(&next, &[]), Err(Refusal::Receipt));
    assert_eq!(check(&next, std::slice::from_ref(&receipt)), Ok(()));
    next.by_low.total += 1;
    assert_eq!(check(&next, &[receipt]), Err(Refusal::Receipt));
}

#[test]
fn what_the_proposer_took_only_grows_and_no_receipt_is_passed_over() {
    let mut two = Two::new();
    let taken =
        |next: &mut AccountState, epoch, bytes| next.by_high = next.by_high.after(epoch, bytes).unwrap();
    assert_eq!(two.check(|next| taken(next, 1, 101 * MIB)), Ok(()));
    assert_eq!(two.check(|next| next.by_high.total -= 1), Err(Refusal::Receipt));
    assert_eq!(two.check(|next| taken(next, 3, MIB)), Ok(()));
    let held = two.receipt(0, 2, MIB);
    two.high.held.insert(2, held);
    assert_eq!(two.check(|next| taken(next, 3, MIB)), Err(Refusal::Receipt));
    assert_eq!(two.check(|next| taken(next, 2, MIB)), Ok(()));
}

#[test]
fn the_balance_moves_by_notes_alone_and_by_what_they_say() {
    let mut two = Two::new().with(&[entry(1, true, 8)]);
    assert_eq!(two.check(|next| next.shifted += 1), Err(Refusal::Sum));
    let settle = |next: &mut AccountState| {
        next.pending = Default::default();
        next.shifted -= 8 * MIB as i64;
    };
    assert_eq!(two.check(settle), Err(Refusal::Sum), "without the note");
    two.note(1, 7);
    assert_eq!(two.check(settle), Err(Refusal::Sum), "a note of another amount");
    two.note(1, 8);
    assert_eq!(two.check(settle), Ok(()));
    // And the proposer makes it so.
    let next = two.low.next(at(0), &two.facts());
    assert!(next.urgent);
    assert_eq!(next.state.low_owes(), 92 * i128::from(MIB));
    assert_eq!(two.high.check(at(0), &next.state, &[], &two.facts()), Ok(()));
}

#[test]
fn a_debt_that_rises_falls_nowhere_else() {
    let raises = Pending {
        raises: true,
        base: 2,
        ..entry(1, true, 8)
    };
    assert_eq!(raises.effect(), 8 * i128::from(MIB));
    assert_eq!(entry(1, true, 8).effect(), -8 * i128::from(MIB));
    assert_eq!(entry(1, false, 8).effect(), 8 * i128::from(MIB));
}

#[test]
fn an_entry_goes_by_the_word_of_its_debtor() {
    let drop_all = |next: &mut AccountState| next.pending = Default::default();
    // The proposer's own word is its signature.
    assert_eq!(Two::new().with(&[entry(1, true, 8)]).check(drop_all), Ok(()));
    let mut two = Two::new().with(&[entry(1, false, 8)]);
    assert_eq!(two.check(drop_all), Err(Refusal::Release), "this one owes");
    two.high.released.insert(id(1));
    assert_eq!(two.check(drop_all), Ok(()));
    two.kept.insert(id(1));
    assert_eq!(
        two.check(drop_all),
        Err(Refusal::Release),
        "it may still have to pay for it"
    );
}

#[test]
fn whoever_has_the_note_does_not_let_the_entry_go() {
    let mut two = Two::new().with(&[entry(1, true, 8)]);
    two.note(1, 8);
    assert_eq!(
        two.check(|next| next.pending = Default::default()),
        Err(Refusal::Sum)
    );
}

#[test]
fn an_entry_is_not_changed_or_doubled() {
    let two = Two::new().with(&[entry(1, true, 8)]);
    let change = |f: fn(&mut Pending)| {
        let mut entry = entry(1, true, 8);
        f(&mut entry);
        two.check(|next| next.pending = [entry].into_iter().collect())
    };
    assert_eq!(change(|entry| entry.amount += 1), Err(Refusal::Entry));
    assert_eq!(
        change(|entry| entry.signer = PeerId::from_bytes([1; 32])),
        Err(Refusal::Entry)
    );
    assert_eq!(change(|entry| entry.low_owes = false), Err(Refusal::Entry));
    let doubled = [entry(1, true, 8); 2];
    assert_eq!(
        two.check(|next| next.pending = doubled.into_iter().collect()),
        Err(Refusal::Entry)
    );
}

#[test]
fn a_lock_is_signed_only_if_it_was_asked_for_and_there_is_room() {
    let mut two = Two::new();
    let lock = |two: &Two, entry: Pending| two.check(|next| next.pending = [entry].into_iter().collect());
    assert_eq!(lock(&two, entry(1, true, 8)), Err(Refusal::Lock));
    for (n, mib) in [(1, 8), (2, 51), (3, 45)] {
        two.high.wanted.insert(id(n), entry(n, true, mib));
        two.high.counts_until.insert(id(n), at(10));
    }
    assert_eq!(lock(&two, entry(1, true, 8)), Ok(()));
    assert_eq!(
        lock(&two, entry(1, true, 9)),
        Err(Refusal::Lock),
        "another amount"
    );
    assert_eq!(
        lock(&two, entry(2, true, 51)),
        Err(Refusal::Room),
        "over a half of 100"
    );
    let both = [entry(1, true, 8), entry(3, true, 45)];
    assert_eq!(
        two.check(|next| next.pending = both.into_iter().collect()),
        Err(Refusal::Room)
    );
    // What is past its time holds nothing back.
    let mut two = two.with(&[entry(1, true, 8)]);
    assert_eq!(
        two.check(|next| next.pending = both.into_iter().collect()),
        Err(Refusal::Room)
    );
    two.high.counts_until.insert(id(1), at(0));
    assert_eq!(
        two.check(|next| next.pending = both.into_iter().collect()),
        Ok(())
    );
    let mut two = Two::new();
    // Nobody shifts what it is not owed.
    two.high.wanted.insert(id(4), entry(4, false, 1));
    assert_eq!(lock(&two, entry(4, false, 1)), Err(Refusal::Room));
}

#[test]
fn a_note_raises_a_debt_once() {
    let raises = |n: u8, base: u64| Pending {
        raises: true,
        base,
        ..entry(n, true, 8)
    };
    let mut two = Two::new().with(&[raises(1, 1)]);
    two.note(1, 8);
    let settled = two.low.next(at(0), &two.facts()).state;
    assert_eq!(settled.closed, settled.seq);
    assert_eq!(two.high.check(at(0), &settled, &[], &two.facts()), Ok(()));
    let forgot = AccountState {
        closed: 0,
        ..settled.clone()
    };
    assert_eq!(
        two.high.check(at(0), &forgot, &[], &two.facts()),
        Err(Refusal::Entry)
    );
    let base = settled.seq;
    two.both_sign(settled);
    // The same order again, with its note at hand.
    for pair in [&mut two.low, &mut two.high] {
        pair.wanted.insert(id(1), raises(1, 1));
        pair.wanted.insert(id(2), raises(2, base));
    }
    let lock = |entry: Pending| two.check(|next| next.pending = [entry].into_iter().collect());
    assert_eq!(lock(raises(1, 1)), Err(Refusal::Lock));
    assert_eq!(lock(raises(2, base)), Ok(()));
    let next = two.low.next(at(0), &two.facts());
    assert_eq!(next.evidence.locks, [id(2)]);
}

#[test]
fn orders_given_together_are_let_in_when_the_first_of_them_ends() {
    let raises = |n: u8| Pending {
        raises: true,
        base: 1,
        ..entry(n, true, 8)
    };
    let mut two = Two::new().with(&[raises(1)]);
    two.note(1, 8);
    for pair in [&mut two.low, &mut two.high] {
        pair.wanted.insert(id(2), raises(2));
    }
    let settled = two.low.next(at(0), &two.facts()).state;
    assert_eq!(settled.closed, settled.seq);
    assert!(settled.pending(id(1)).is_none() && settled.pending(id(2)).is_some());
    assert_eq!(two.high.check(at(0), &settled, &[], &two.facts()), Ok(()));
    two.both_sign(settled);
    // From then on it is closed to older ones.
    two.low.wanted.insert(id(3), raises(3));
    assert!(two.low.next(at(0), &two.facts()).state.pending(id(3)).is_none());
}

#[test]
fn the_proposer_leaves_out_what_does_not_fit() {
    let mut two = Two::new();
    for (n, mib) in [(1, 30), (2, 30), (3, 20)] {
        two.low.wanted.insert(id(n), entry(n, true, mib));
        two.low.counts_until.insert(id(n), at(10));
    }
    let next = two.low.next(at(0), &two.facts());
    assert_eq!(next.evidence.locks, [id(1), id(3)], "a half of 100");
}

#[test]
fn what_is_proposed_is_at_risk_until_a_later_state_is_signed() {
    let mut two = Two::new();
    let mut next = two.next();
    next.pending = [entry(1, false, 8)].into_iter().collect();
    let signed = Signed::new(&next, &two.keys[0]);
    two.low.signed = next.seq;
    two.low.proposed = Some(Proposed {
        state: next,
        signed,
        at_risk: [id(1)].into(),
        declined: true,
    });
    assert!(
        two.low.possibly_locked(id(1)) && !two.low.surely_locked(id(1)),
        "declined and still at risk"
    );
    // One more is proposed above it, and signed by both.
    let mut above = two.next();
    above.seq += 1;
    let first = Signed::new(&above, &two.keys[0]);
    two.low.signed = above.seq;
    let agreed = Cosigned::join(&first, &first.also_by(&two.keys[1])).unwrap();
    assert!(two.low.adopt(above, agreed));
    assert!(!two.low.possibly_locked(id(1)));
}

#[test]
fn a_peer_that_forgot_what_it_signed_goes_on_far_above() {
    let two = Two::new();
    let (state, agreed) = (two.low.state.clone(), two.low.agreed.clone().unwrap());
    let mut blank = Pair::new(two.low.me, two.low.other, two.low.key.clone());
    assert!(blank.adopt(state.clone(), agreed));
    assert_eq!(blank.floor, state.seq + SKIP);
    assert!(blank.next(at(0), &two.facts()).state.seq > state.seq + SKIP);
}

#[test]
fn two_proposals_at_one_number_are_noticed() {
    let mut two = Two::new();
    let sign = |two: &Two, shifted| {
        let next = AccountState {
            shifted,
            ..two.next()
        };
        Signed::new(&next, &two.keys[0])
    };
    let (one, other) = (sign(&two, 0), sign(&two, 1));
    assert_eq!(two.high.compare(2, &one), None);
    assert_eq!(two.high.compare(2, &one), None, "said twice");
    assert_eq!(two.high.compare(2, &other), Some(one));
    let agreed = two.high.agreed.as_ref().unwrap().first();
    assert_eq!(
        two.high.compare(1, &other),
        Some(agreed),
        "what was agreed counts, too"
    );
}

#[test]
fn an_order_names_everything_in_it() {
    let order = |amount, base, nonce, last| ShiftOrder {
        path: [1, 2, last]
            .map(|n| PeerId::from_bytes([n; 32]))
            .into_iter()
            .collect(),
        amount,
        base,
        nonce,
    };
    let orders = [
        order(1, 1, 1, 3),
        order(2, 1, 1, 3),
        order(1, 2, 1, 3),
        order(1, 1, 2, 3),
        order(1, 1, 1, 4),
    ];
    let ids: BTreeSet<_> = orders.iter().map(ShiftOrder::id).collect();
    assert_eq!(ids.len(), orders.len());
}
