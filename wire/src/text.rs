//! Texts in messages, with a bound.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

struct AtMost<const N: usize>;

impl<const N: usize> Visitor<'_> for AtMost<N> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {N} bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        if text.len() > N {
            return Err(E::invalid_length(text.len(), &self));
        }
        Ok(text.to_owned())
    }
}

/// Reads a text of at most `N` bytes; a longer one is an error before it is copied.
pub(crate) fn at_most<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<String, D::Error> {
    d.deserialize_str(AtMost::<N>)
}
