//! Ids, units, time, messages, the bounded codec and signatures of headwater.

mod time;
mod units;

pub use time::Time;
pub use units::{Bitrate, ParseBitrateError};
