//! Bit rates.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A rate in bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bitrate(u64);

/// Why a text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rate: write a number and a unit, such as 20mbit, 500kbit or 1gbit")]
pub struct ParseBitrateError {
    text: String,
}

impl Bitrate {
    /// No bits at all.
    pub const ZERO: Bitrate = Bitrate(0);

    /// `bps` bits a second.
    pub const fn from_bps(bps: u64) -> Self {
        Bitrate(bps)
    }

    /// `kbps` thousand bits a second.
    pub const fn from_kbps(kbps: u64) -> Self {
        Bitrate(kbps.saturating_mul(1000))
    }

    /// Bits a second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// How long `bytes` take at this rate; [`Duration::MAX`] at rate zero.
    #[inline]
    pub fn time_for(self, bytes: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        // Every copy and message is reckoned so, and a division of 128 bits takes several times as long.
        let us = match bytes.checked_mul(8_000_000) {
            Some(bits) => bits.div_ceil(self.0),
            None => {
                let us = (u128::from(bytes) * 8_000_000).div_ceil(u128::from(self.0));
                u64::try_from(us).unwrap_or(u64::MAX)
            }
        };
        Duration::from_micros(us)
    }

    /// How many whole bytes fit into `time` at this rate.
    #[inline]
    pub fn bytes_in(self, time: Duration) -> u64 {
        let us = time.as_micros();
        match u64::try_from(us).ok().and_then(|us| self.0.checked_mul(us)) {
            Some(bits) => bits / 8_000_000,
            None => u64::try_from(u128::from(self.0).saturating_mul(us) / 8_000_000).unwrap_or(u64::MAX),
        }
    }

    /// This rate times `factor` (not negative).
    pub fn scaled(self, factor: f64) -> Bitrate {
        Bitrate((self.0 as f64 * factor) as u64)
    }
}

impl FromStr for Bitrate {
    type Err = ParseBitrateError;

    /// Reads `20mbit`, `1.5mbit`, `500kbit`, `1gbit`, `9600bit` or a bare number of bits a second.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBitrateError {
            text: text.to_owned(),
        };
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(lower.len());
        let number: f64 = lower[..digits].parse().map_err(|_| error())?;
        let unit = match lower[digits..].trim() {
            "" | "bit" | "bps" => 1.0,
            "kbit" | "kbps" | "k" => 1e3,
            "mbit" | "mbps" | "m" => 1e6,
            "gbit" | "gbps" | "g" => 1e9,
            _ => return Err(error()),
        };
        let bps = number * unit;
        // Beyond a petabit a second the text is a slip, not a link.
        if !(0.0..=1e15).contains(&bps) {
            return Err(error());
        }
        Ok(Bitrate(bps as u64))
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bps = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} bit/s", self.0),
            1_000..1_000_000 => write!(f, "{:.0} kbit/s", bps / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.2} Mbit/s", bps / 1e6),
            _ => write!(f, "{:.2} Gbit/s", bps / 1e9),
        }
    }
}

#[cfg(test)]
mod tests;
