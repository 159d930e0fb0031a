//! Rates in scenario files: `"3.5mbit"`, or a number of bits a second.

use serde::{Deserialize, Deserializer, Serializer};
use wire::Bitrate;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a rate is written as \"3.5mbit\" or as a number of bits a second"
)]
enum Written {
    Bits(u64),
    Text(String),
}

pub(crate) fn serialize<S: Serializer>(rate: &Bitrate, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(rate.as_bps())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bitrate, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Bits(bps) => Ok(Bitrate::from_bps(bps)),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}
