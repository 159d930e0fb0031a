//! The rings of a scenario, one for each space, side by side.

use std::sync::mpsc;

use super::outcome::OverlayOutcome;
use super::plan::{RingPlan, RingSpace};
use super::ring;
use crate::driver::Progress;

/// Most members of all rings that are simulated at a time: with 100 KiB each they take 10 GB.
const MEMBERS_AT_A_TIME: usize = 100_000;

/// The rings have nothing to do with one another, so each has a thread, and what came out is put together in their order.
pub(super) fn run(
    plan: &RingPlan,
    seed: u64,
    outcome: &mut OverlayOutcome,
    progress: &mut dyn FnMut(Progress),
) {
    let rings: Vec<(usize, RingSpace)> = plan.spaces.iter().copied().enumerate().collect();
    let mut reached = vec![None; rings.len()];
    for rings in rings.chunks((MEMBERS_AT_A_TIME / plan.nodes).max(1)) {
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let begin = |&(n, space): &(usize, RingSpace)| {
                let (tell, part) = (tell.clone(), outcome.part());
                // Nobody hears it when the run is given up.
                let progress = move |progress: Progress| tell.send((n, progress)).unwrap_or_default();
                scope.spawn(move || ring::run(plan, space, seed.wrapping_add(n as u64), part, progress))
            };
            let running: Vec<_> = rings.iter().map(begin).collect();
            drop(tell);
            for (n, part) in told {
                reached[n] = Some(part);
                progress(together(plan, &reached));
            }
            for ring in running {
                match ring.join() {
                    Ok(part) => outcome.absorb(part),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
}

/// How far all rings are.
fn together(plan: &RingPlan, reached: &[Option<Progress>]) -> Progress {
    let mut all = Progress {
        done_s: 0.0,
        of_s: reached.len() as f64 * ring::expected_s(plan),
        deliveries: 0,
        events: 0,
    };
    for part in reached.iter().flatten() {
        all.done_s += part.done_s;
        all.deliveries += part.deliveries;
        all.events += part.events;
    }
    all
}
