//! A modelled encoder and segmenter: chunks of equal time, key frames at equal distances.

use bytes::Bytes;

use crate::scenario::Stream;
use crate::time::{SimTime, ms};

/// How long a key frame takes: one of 25 frames a second.
pub(crate) const KEYFRAME_MS: f64 = 40.0;

/// Bytes a nanosecond in the first [`KEYFRAME_MS`] of a group and in what remains of it.
pub(crate) fn rates(stream: &Stream) -> (f64, f64) {
    let rate = stream.rate.as_bps() as f64 / 8e9;
    let key_share = (KEYFRAME_MS / stream.gop_ms).min(1.0);
    let rest_x = if key_share < 1.0 {
        (1.0 - key_share * stream.keyframe_x).max(0.0) / (1.0 - key_share)
    } else {
        1.0
    };
    (rate * stream.keyframe_x, rate * rest_x)
}

/// Makes the chunks one by one.
#[derive(Debug)]
pub(super) struct Encoder {
    chunk_ns: u64,
    gop_ns: u64,
    /// See [`rates`].
    key_rate: f64,
    rest_rate: f64,
    made: u64,
    /// Chunks before the first one of the encoder that makes them now: groups are counted from there.
    earlier: u64,
    /// Part of a byte left over, so that the rate is exact in the long run.
    left_over: f64,
    zeros: Bytes,
}

/// One chunk as it comes out of the encoder.
pub(super) struct Made {
    pub(super) generated: SimTime,
    pub(super) payload: Bytes,
    pub(super) random_access: bool,
}

impl Encoder {
    pub(super) fn new(stream: &Stream) -> Self {
        let (key_rate, rest_rate) = rates(stream);
        Encoder {
            chunk_ns: ms(stream.chunk_ms),
            gop_ns: ms(stream.gop_ms),
            key_rate,
            rest_rate,
            made: 0,
            earlier: 0,
            left_over: 0.0,
            zeros: Bytes::from(vec![0; wire::MAX_PAYLOAD]),
        }
    }

    /// When the next chunk is complete.
    pub(super) fn next_at(&self) -> SimTime {
        SimTime((self.made + 1) * self.chunk_ns)
    }

    /// Nobody takes the next chunk: the encoder is gone, and whatever comes next is from a new one.
    pub(super) fn skip(&mut self) {
        self.made += 1;
        self.earlier = self.made;
    }

    pub(super) fn make(&mut self) -> Made {
        let from = self.made * self.chunk_ns;
        self.made += 1;
        let in_group = (from - self.earlier * self.chunk_ns) % self.gop_ns;
        let rate = if in_group < ms(KEYFRAME_MS) {
            self.key_rate
        } else {
            self.rest_rate
        };
        let exact = rate * self.chunk_ns as f64 + self.left_over;
        let whole = exact.floor();
        self.left_over = exact - whole;
        // A chunk without media still says that time has passed.
        let len = (whole as usize).clamp(1, self.zeros.len());
        Made {
            generated: SimTime(from),
            payload: self.zeros.slice(..len),
            // The first chunk that begins within the group.
            random_access: in_group < self.chunk_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    fn ten_seconds(stream: &Stream) -> Vec<Made> {
        let mut encoder = Encoder::new(stream);
        std::iter::from_fn(|| (encoder.next_at().0 <= 10 * SECOND).then(|| encoder.make())).collect()
    }

    #[test]
    fn the_rate_is_met_and_groups_begin_every_second() {
        for keyframe_x in [1.0, 8.0] {
            let stream = Stream {
                keyframe_x,
                ..Stream::default()
            };
            let chunks = ten_seconds(&stream);
            assert_eq!(chunks.len(), 1250);
            let bytes: usize = chunks.iter().map(|c| c.payload.len()).sum();
            assert!(bytes.abs_diff(4_375_000) < 100, "{bytes}");
            let starts: Vec<u64> = chunks
                .iter()
                .filter(|c| c.random_access)
                .map(|c| c.generated.0 / SECOND)
                .collect();
            assert_eq!(starts, (0..10).collect::<Vec<_>>());
            let (key, rest) = (chunks[0].payload.len() as f64, chunks[50].payload.len() as f64);
            assert!((key / 3500.0 - keyframe_x).abs() < 0.01);
            assert!(keyframe_x == 1.0 || rest < 3500.0);
        }
    }

    #[test]
    fn a_new_encoder_begins_with_a_group() {
        let mut encoder = Encoder::new(&Stream::default());
        (0..10).for_each(|_| assert!(encoder.make().random_access == (encoder.made == 1)));
        (0..20).for_each(|_| encoder.skip());
        let made = encoder.make();
        assert!(made.random_access);
        assert_eq!(made.generated, SimTime(30 * 8_000_000));
    }

    #[test]
    fn groups_need_not_be_whole_chunks() {
        let stream = Stream {
            gop_ms: 500.0,
            chunk_ms: 33.0,
            ..Stream::default()
        };
        let starts = ten_seconds(&stream).iter().filter(|c| c.random_access).count();
        assert_eq!(starts, 20);
    }
}
