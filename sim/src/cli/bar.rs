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
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = match progress.done_s {
            done if done > 0.0 => elapsed * (progress.of_s - done) / done,
            _ => 0.0,
        };
        let (done, of) = (progress.done_s, progress.of_s);
        let deliveries = progress.deliveries as f64 / 1e6;
        let what = format!("{done:.1} of {of:.0} s simulated, {deliveries:.2} M deliveries");
        self.draw(done, of, &what, left);
    }

    /// The same for real programs, which take the time they take.
    pub(super) fn show_lab(&self, progress: LabProgress) {
        let (done, of) = (progress.done_s, progress.of_s);
        let what = format!("{done:.0} of {of:.0} s, {} peers there", progress.running);
        self.draw(done, of, &what, of - done);
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
