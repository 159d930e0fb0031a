//! Statements that two peers sign over the same bytes.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::{SecretKey, SignatureBytes, SignatureError, Signed, Statement, Verifier};

/// An encoded statement with the signatures of two peers. Which of them is the first is for the statement to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Cosigned<T> {
    #[serde(rename = "b", with = "crate::byte_vec")]
    body: Vec<u8>,
    #[serde(rename = "f", with = "crate::bytes32")]
    first: SignatureBytes,
    #[serde(rename = "s", with = "crate::bytes32")]
    second: SignatureBytes,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T: Statement> Signed<T> {
    /// The same bytes, signed by another key.
    pub fn also_by(&self, key: &SecretKey) -> Self {
        Signed {
            body: self.body.clone(),
            signature: key.sign(&Self::hash(&self.body)),
            of: PhantomData,
        }
    }

    /// Whether both sign the same bytes.
    pub fn same_body(&self, other: &Self) -> bool {
        self.body == other.body
    }

    /// The hash of what is signed, in its domain.
    pub fn body_hash(&self) -> [u8; 32] {
        Self::hash(&self.body).into()
    }
}

impl<T: Statement> Cosigned<T> {
    /// Two signatures over the same bytes; `None` if the bytes differ. The signatures are not checked.
    pub fn join(first: &Signed<T>, second: &Signed<T>) -> Option<Self> {
        first.same_body(second).then(|| Cosigned {
            body: first.body.clone(),
            first: first.signature,
            second: second.signature,
            of: PhantomData,
        })
    }

    /// Checks both signatures and reads the statement.
    ///
    /// # Errors
    /// A [`SignatureError`] when one of them or the encoding is not right.
    pub fn open(&self, first: &Verifier, second: &Verifier) -> Result<T, SignatureError> {
        second.check(&Signed::<T>::hash(&self.body), &self.second)?;
        self.first().open(first)
    }

    /// Reads the statement without checking anything: for what is to be looked at before the cost of checking it.
    ///
    /// # Errors
    /// [`SignatureError::Encoding`] when the bytes are none.
    pub fn peek(&self) -> Result<T, SignatureError> {
        crate::codec::from_msgpack(&self.body).map_err(|_| SignatureError::Encoding)
    }

    /// The statement with the first signature alone.
    pub fn first(&self) -> Signed<T> {
        self.with(self.first)
    }

    /// The statement with the second signature alone.
    pub fn second(&self) -> Signed<T> {
        self.with(self.second)
    }

    fn with(&self, signature: SignatureBytes) -> Signed<T> {
        Signed {
            body: self.body.clone(),
            signature,
            of: PhantomData,
        }
    }

    /// The hash of what is signed, in its domain.
    pub fn body_hash(&self) -> [u8; 32] {
        Signed::<T>::hash(&self.body).into()
    }

    /// A hash of the statement and both signatures, by which one is known again that was found right before.
    pub fn digest(&self) -> [u8; 32] {
        let hasher = &mut T::DOMAIN.hasher();
        hasher.update(&self.first).update(&self.second).update(&self.body);
        hasher.finalize().into()
    }
}
