//! Waking up at an instant, to a tenth of a millisecond.
//!
//! Tokio's timers are whole milliseconds: measured, the node's deadlines were met 1.0 ms late in the median and 2.1 ms
//! at the 99th percentile, and a chunk that waits for its turn on the uplink waits that much longer at every hop. A
//! thread that sleeps wakes up within some 60 µs on today's systems, so a thread does the waiting.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Within this of its time a deadline counts as come: waking up twice for it would cost more than it is worth.
pub(super) const NEAR: Duration = Duration::from_micros(50);

/// Longer waits are left to tokio until this long before their end: its timers are late by up to a millisecond, and a
/// busy runtime adds some.
const ROUGH: Duration = Duration::from_micros(1500);

/// From here on the thread waits for the rest.
const FINE: Duration = Duration::from_micros(2500);

/// One alarm, which is set again and again.
#[derive(Debug)]
pub(super) struct Alarm {
    at: Instant,
    shared: Arc<Shared>,
    /// `None` if the system gave no thread: then tokio's timers must do.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    earlier: Condvar,
    /// Wakes the driver.
    gone_off: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// `None` when it has gone off and was not set again.
    at: Option<Instant>,
    /// Until when the thread sleeps.
    sleeps_until: Option<Instant>,
    stop: bool,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("alarm".to_owned())
            .spawn(move || of_thread.run())
            .inspect_err(|error| tracing::debug!(%error, "no thread for precise timers"))
            .ok();
        Alarm {
            at: Instant::now(),
            shared,
            thread,
        }
    }

    /// Sets it to `at`; what it was set to before is forgotten.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Waits until the instant has come. Cancel safe.
    pub(super) async fn wait(&self) {
        // Most deadlines are moved before they come, and the thread need not know of them.
        if Instant::now() + FINE < self.at {
            tokio::time::sleep_until(self.at - ROUGH).await;
        }
        if self.thread.is_none() {
            return tokio::time::sleep_until(self.at).await;
        }
        while Instant::now() + NEAR < self.at {
            self.shared.set(self.at);
            self.shared.gone_off.notified().await;
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.earlier.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends at once; that it could panic is nothing the end of the node can mend.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, at: Instant) {
        let mut state = self.lock();
        if state.at == Some(at) {
            return;
        }
        state.at = Some(at);
        // A thread that wakes up too early sees the new time and sleeps again, which costs less than waking it now.
        if state.sleeps_until.is_none_or(|until| at < until) {
            self.earlier.notify_one();
        }
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stop {
            let now = Instant::now();
            if state.at.is_some_and(|at| at <= now) {
                state.at = None;
                self.gone_off.notify_one();
            }
            state.sleeps_until = state.at;
            state = match state.at {
                None => self.earlier.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let waited = self.earlier.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_off_when_it_is_time_and_not_before() {
        let mut alarm = Alarm::new();
        for wait in [
            Duration::ZERO,
            Duration::from_micros(700),
            Duration::from_millis(5),
        ] {
            let at = Instant::now() + wait;
            alarm.set(at);
            alarm.wait().await;
            assert!(Instant::now() + NEAR >= at);
        }
    }

    #[tokio::test]
    async fn setting_it_again_forgets_what_was() {
        let mut alarm = Alarm::new();
        let begun = Instant::now();
        alarm.set(begun + Duration::from_secs(3600));
        let cancelled = tokio::time::timeout(Duration::from_millis(5), alarm.wait()).await;
        assert!(cancelled.is_err());
        alarm.set(begun + Duration::from_millis(8));
        // Its going off unnoticed must not end the next wait.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let at = Instant::now() + Duration::from_millis(20);
        alarm.set(at);
        alarm.wait().await;
        assert!(Instant::now() + NEAR >= at);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_later_time_is_kept_although_the_thread_wakes_for_the_earlier() {
        let mut alarm = Alarm::new();
        let begun = Instant::now();
        alarm.set(begun + Duration::from_millis(3));
        alarm.set(begun + Duration::from_millis(30));
        alarm.wait().await;
        assert!(begun.elapsed() + NEAR >= Duration::from_millis(30));
    }
}
