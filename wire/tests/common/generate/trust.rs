//! What peers say about trust, with anything in it.

use headwater_wire::Cosigned;
use headwater_wire::trust::*;

use super::*;

fn any_id() -> impl Strategy<Value = ShiftId> {
    any::<[u8; 32]>().prop_map(ShiftId)
}

fn any_key() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_map(|secret| SecretKey::from_bytes(&secret))
}

fn any_signed<T: headwater_wire::Statement + std::fmt::Debug>(
    statement: impl Strategy<Value = T>,
) -> impl Strategy<Value = Signed<T>> {
    (statement, any_key()).prop_map(|(statement, key)| Signed::new(&statement, &key))
}

fn any_cosigned<T: headwater_wire::Statement + std::fmt::Debug>(
    statement: impl Strategy<Value = T>,
) -> impl Strategy<Value = Cosigned<T>> {
    (any_signed(statement), any_key()).prop_map(|(first, key)| {
        let second = first.also_by(&key);
        Cosigned::join(&first, &second).expect("both are over the same bytes")
    })
}

fn any_receipt() -> impl Strategy<Value = Receipt> {
    (any_peer(), any_peer(), any_stream(), any::<[u64; 4]>()).prop_map(
        |(consumer, provider, stream, [epoch, seq, bytes, in_stream])| Receipt {
            consumer,
            provider,
            stream,
            epoch,
            seq,
            bytes,
            in_stream,
        },
    )
}

fn any_entered() -> impl Strategy<Value = Entered> {
    any::<[u64; 3]>().prop_map(|[epoch, bytes, total]| Entered { epoch, bytes, total })
}

fn any_pending() -> impl Strategy<Value = Pending> {
    (
        any_id(),
        any_peer(),
        any::<(u64, bool, bool)>(),
        any::<(u8, u64)>(),
    )
        .prop_map(|(id, signer, (amount, low_owes, raises), (hops, base))| Pending {
            id,
            amount,
            low_owes,
            raises,
            signer,
            hops,
            base,
        })
}

fn any_account() -> impl Strategy<Value = AccountState> {
    (
        (any_peer(), any_peer()),
        (any_entered(), any_entered()),
        any::<(u64, i64, u64)>(),
        any_list(any_pending()),
        any::<[u8; 32]>(),
    )
        .prop_map(
            |((low, high), (by_low, by_high), (seq, shifted, closed), pending, previous)| AccountState {
                low,
                high,
                seq,
                by_low,
                by_high,
                shifted,
                closed,
                pending,
                previous,
            },
        )
}

fn any_note() -> impl Strategy<Value = Note> {
    (any_id(), any_peer(), any::<u64>()).prop_map(|(id, debtor, amount)| Note { id, debtor, amount })
}

fn any_edge() -> impl Strategy<Value = TrustEdge> {
    (any_peer(), any_peer(), any::<(u8, u64)>(), any_time()).prop_map(
        |(debtor, creditor, (bucket, seq), expires)| TrustEdge {
            debtor,
            creditor,
            bucket,
            seq,
            expires,
        },
    )
}

fn any_prepare() -> impl Strategy<Value = ShiftPrepare> {
    (any_list(any_peer()), any::<[u64; 3]>(), any::<u16>()).prop_map(
        |(path, [amount, base, nonce], left_ms)| ShiftPrepare {
            order: ShiftOrder {
                path,
                amount,
                base,
                nonce,
            },
            left_ms,
        },
    )
}

fn any_proposal() -> impl Strategy<Value = AccountProposal> {
    (
        any_signed(any_account()),
        any_list(any_signed(any_receipt())),
        any_list(any_signed(any_note())),
        any_list(any_prepare()),
    )
        .prop_map(|(state, receipts, notes, orders)| AccountProposal {
            state,
            receipts,
            notes,
            orders,
        })
}

fn any_fraud() -> impl Strategy<Value = FraudProof> {
    let states = (any_peer(), any_signed(any_account()), any_signed(any_account()));
    let receipts = (any_peer(), any_signed(any_receipt()), any_signed(any_receipt()));
    prop_oneof![
        states.prop_map(|(by, one, other)| FraudProof::States(by, one, other)),
        receipts.prop_map(|(by, one, other)| FraudProof::Receipts(by, one, other)),
    ]
}

pub(super) fn any_trust_message() -> impl Strategy<Value = Message> {
    let message = prop_oneof![
        any_signed(any_receipt()).prop_map(TrustMessage::Receipt),
        any_proposal().prop_map(TrustMessage::Propose),
        any::<(u64, u64)>().prop_map(|(seq, floor)| TrustMessage::Decline { seq, floor }),
        any_cosigned(any_account()).prop_map(TrustMessage::Account),
        any_prepare().prop_map(TrustMessage::Prepare),
        any_id().prop_map(TrustMessage::Abort),
        any_id().prop_map(TrustMessage::Release),
        any_signed(any_note()).prop_map(TrustMessage::Note),
        any_signed(any_edge()).prop_map(TrustMessage::Advertise),
        any_cosigned(any_edge()).prop_map(TrustMessage::Advertised),
        any_list(any_cosigned(any_edge())).prop_map(TrustMessage::Walk),
        any::<bool>().prop_map(|owed| TrustMessage::AskEdges { owed }),
        any_list(any_cosigned(any_edge())).prop_map(TrustMessage::TellEdges),
        any_fraud().prop_map(TrustMessage::Fraud),
    ];
    message.prop_map(Message::from)
}
