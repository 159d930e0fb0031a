//! Loss and jitter.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::time::SimTime;

/// What happens to something that has left an uplink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) jitter_ns: u64,
    /// A number to choose by which part of it is lost.
    pub(crate) part: u32,
}

/// Draws the fate of deliveries.
#[derive(Debug)]
pub(crate) struct Weather {
    rng: ChaCha8Rng,
    /// Probability of loss in units of 2^-32.
    loss: u64,
    jitter_ns: f64,
}

impl Weather {
    pub(crate) fn new(seed: u64, loss: f64, jitter_ns: f64) -> Self {
        let mut weather = Weather {
            rng: ChaCha8Rng::seed_from_u64(seed),
            loss: 0,
            jitter_ns,
        };
        weather.set_loss(loss);
        weather
    }

    pub(crate) fn set_loss(&mut self, loss: f64) {
        self.loss = (loss * (1u64 << 32) as f64) as u64;
    }

    /// One draw of 64 bits decides both: the upper half loss, the lower half jitter.
    pub(crate) fn draw(&mut self) -> Fate {
        let bits = self.rng.next_u64();
        // In (0, 1], so that the logarithm is finite.
        let uniform = ((bits & 0xffff_ffff) + 1) as f64 / (1u64 << 32) as f64;
        Fate {
            lost: bits >> 32 < self.loss,
            jitter_ns: (-uniform.ln() * self.jitter_ns) as u64,
            part: bits as u32,
        }
    }
}

/// When something on an ordered stream that left at `left` arrives: what is lost comes a round trip later.
pub(crate) fn arrival(left: SimTime, one_way_ns: u64, fate: Fate) -> SimTime {
    let on_time = left.plus(one_way_ns + fate.jitter_ns);
    if fate.lost {
        on_time.plus(2 * one_way_ns)
    } else {
        on_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MS;

    #[test]
    fn losses_and_jitter_have_their_means() {
        let mut weather = Weather::new(3, 0.005, 3.0 * MS as f64);
        let draws: Vec<Fate> = (0..400_000).map(|_| weather.draw()).collect();
        let lost = draws.iter().filter(|f| f.lost).count() as f64 / 400_000.0;
        assert!((lost - 0.005).abs() < 0.0005, "{lost}");
        let mean = draws.iter().map(|f| f.jitter_ns as f64).sum::<f64>() / 400_000.0;
        assert!((mean / MS as f64 - 3.0).abs() < 0.03, "{mean}");
        // Exponential: a share of 1/e exceeds the mean.
        let beyond = draws.iter().filter(|f| f.jitter_ns > 3 * MS).count() as f64 / 400_000.0;
        assert!((beyond - (-1.0f64).exp()).abs() < 0.01, "{beyond}");
    }

    #[test]
    fn the_extremes_are_exact() {
        let mut weather = Weather::new(3, 0.0, 0.0);
        assert!(
            (0..1000)
                .map(|_| weather.draw())
                .all(|fate| !fate.lost && fate.jitter_ns == 0)
        );
        weather.set_loss(1.0);
        assert!((0..1000).all(|_| weather.draw().lost));
    }

    #[test]
    fn reliable_things_come_a_round_trip_later() {
        let lost = Fate {
            lost: true,
            jitter_ns: 1,
            part: 0,
        };
        assert_eq!(arrival(SimTime(5), 10, lost), SimTime(36));
        let fine = Fate { lost: false, ..lost };
        assert_eq!(arrival(SimTime(5), 10, fine), SimTime(16));
    }
}
