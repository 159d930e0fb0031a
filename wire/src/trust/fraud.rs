//! Proof that a peer signed two things that exclude each other. Anybody can check it without knowing either of the peers.

use serde::{Deserialize, Serialize};

use super::{AccountState, Receipt};
use crate::PeerId;
use crate::sign::{SignatureError, Signed, Verifier};

/// Two statements of one peer under the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FraudProof {
    /// Two states of the same account.
    States(PeerId, Signed<AccountState>, Signed<AccountState>),
    /// Two receipts of the same epoch to the same provider.
    Receipts(PeerId, Signed<Receipt>, Signed<Receipt>),
}

impl FraudProof {
    /// Who is accused.
    pub fn accused(&self) -> PeerId {
        match self {
            FraudProof::States(by, ..) | FraudProof::Receipts(by, ..) => *by,
        }
    }

    /// Checks it.
    ///
    /// # Errors
    /// A [`SignatureError`] when the accused did not sign both, or they do not exclude each other.
    pub fn check(&self) -> Result<PeerId, SignatureError> {
        let key = Verifier::new(self.accused().as_bytes())?;
        let proven = match self {
            FraudProof::States(by, one, other) => {
                let (a, b) = (one.open(&key)?, other.open(&key)?);
                let same = (a.low, a.high, a.seq) == (b.low, b.high, b.seq);
                same && (a.low == *by || a.high == *by) && !one.same_body(other)
            }
            FraudProof::Receipts(by, one, other) => {
                let (a, b) = (one.open(&key)?, other.open(&key)?);
                let same = (a.provider, a.epoch, a.seq) == (b.provider, b.epoch, b.seq);
                same && a.consumer == *by && b.consumer == *by && !one.same_body(other)
            }
        };
        if proven {
            Ok(self.accused())
        } else {
            Err(SignatureError::Subject)
        }
    }
}
