//! The progress bar, and the only clock on the wall in the simulator.

use std::time::{Duration, Instant};

use headwater_sim::Progress;
use headwater_sim::lab::LabProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws a second: smooth enough, and free.
const REDRAWS: u8 = 10;

/// Shows simulated time and the time left while standard error is a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    #[allow(clippy::disallowed_methods)] // How long a run takes is a fact about this machine, not of the run.
    pub(super) fn new(quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Hidden by itself when standard error is no terminal.
            ProgressDrawTarget::stderr_with_hz(REDRAWS)
        };
        let bar = ProgressBar::with_draw_target(Some(1), target);
        // An invalid template would only lose the bar's looks.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
            bar.set_style(style);
        }
        Bar {
            bar,
            started: Instant::now(),
        }
    }

    pub(super) fn show(&self, progress: Progress) {
        let (done, of) = (progress.done_s, progress.of_s);
        let deliveries = progress.deliveries as f64 / 1e6;
        let what = format!("{done:.1} of {of:.0} s simulated, {deliveries:.2} M deliveries");
        self.draw(done, of, &what, self.left(done, of));
    }

    /// The same for many runs; `share` is how much is done of them all, those at work included.
    pub(super) fn show_runs(&self, done: usize, runs: usize, share: f64) {
        let of = runs as f64;
        self.draw(share, of, &format!("{done} of {runs} runs"), self.left(share, of));
    }

    /// The same for real programs, which take the time they take.
    pub(super) fn show_lab(&self, progress: LabProgress) {
        let (done, of) = (progress.done_s, progress.of_s);
        let what = format!("{done:.0} of {of:.0} s, {} peers there", progress.running);
        self.draw(done, of, &what, of - done);
    }

    /// Seconds left if it goes on as it went so far.
    fn left(&self, done: f64, of: f64) -> f64 {
        let elapsed = self.started.elapsed().as_secs_f64();
        if done > 0.0 {
            elapsed * (of - done) / done
        } else {
            0.0
        }
    }

    fn draw(&self, done_s: f64, of_s: f64, what: &str, left_s: f64) {
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left_s.max(0.0)));
        self.bar.set_length((of_s * 1000.0) as u64);
        self.bar.set_position((done_s * 1000.0) as u64);
        self.bar.set_message(format!("{what}, {left} left"));
    }

    /// Takes the bar away; seconds since it was made.
    pub(super) fn finish(self) -> f64 {
        self.bar.finish_and_clear();
        self.started.elapsed().as_secs_f64()
    }
}
