//! A limit on how many messages a peer may send.

use tokio::time::Instant;

/// A token bucket: `rate` messages a second in the long run, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    pub(super) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        TokenBucket {
            rate,
            burst,
            tokens: burst,
            filled_at: now,
        }
    }

    /// Whether one more message is within the limit.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_burst_passes_and_then_only_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(100.0, 20.0, start);
        let passed = |bucket: &mut TokenBucket, at| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(passed(&mut bucket, start), 20);
        assert_eq!(passed(&mut bucket, start), 0);
        assert_eq!(passed(&mut bucket, start + Duration::from_millis(105)), 10);
        assert_eq!(passed(&mut bucket, start + Duration::from_secs(60)), 20);
    }
}
