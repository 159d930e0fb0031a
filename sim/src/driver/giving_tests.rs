use std::collections::BTreeMap;

use incentives::trust::Listed;
use wire::PeerId;

use super::lost;

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

/// An account with `peer` at this state, to which shifts added so much.
fn account(peer: u8, state: u64, shifted: i64) -> Listed {
    Listed {
        peer: id(peer),
        claim: shifted.into(),
        given: 0,
        taken: 0,
        shifted,
        pending: 0,
        arriving: 0,
        leaving: 0,
        shifts: 0,
        state,
    }
}

/// Peer 1 has shifted 100 of what 2 owed it to 3, and 9 cheats.
fn books(with_three: Listed, of_three: Listed) -> BTreeMap<PeerId, Vec<Listed>> {
    let books = [
        (1, vec![account(2, 5, -100), account(9, 1, 0), with_three]),
        (2, vec![account(1, 5, 100), account(3, 5, -100)]),
        (3, vec![account(2, 5, 100), of_three]),
    ];
    books.map(|(n, accounts)| (id(n), accounts)).into()
}

#[test]
fn what_one_side_has_not_heard_of_yet_is_not_lost() {
    let nothing = account(3, 4, 0);
    assert_eq!(lost(&books(nothing, account(1, 4, 0))), 100, "nobody has it");
    assert_eq!(lost(&books(nothing, account(1, 5, -100))), 0, "the debtor has it");
    let leaving = Listed {
        leaving: 100,
        ..account(1, 5, 0)
    };
    assert_eq!(
        lost(&books(nothing, leaving)),
        0,
        "it is under way by the debtor's book"
    );
    let arriving = Listed {
        arriving: 100,
        ..account(3, 4, 0)
    };
    assert_eq!(
        lost(&books(arriving, account(1, 4, 0))),
        0,
        "and by the creditor's"
    );
}

#[test]
fn what_is_known_of_others_is_no_loss_of_theirs() {
    let books = [(id(1), vec![account(9, 5, 70)])].into();
    assert_eq!(lost(&books), 0);
}
