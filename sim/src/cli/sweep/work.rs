//! The runs of a sweep, several at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use headwater_sim::RunError;
use headwater_sim::sweep::{Job, Point, Sweep};
use serde_json::Value;

use super::super::Failure;
use super::super::bar::Bar;
use super::folder::Folder;

/// What a worker says.
enum News {
    /// It has done so much more of its run.
    Share(f64),
    /// It has a result: the number of the job, and the result with the time it took.
    Done(usize, Box<Value>),
    /// Its run did not come to its end.
    Failed(usize, RunError),
}

/// Makes all runs that are not in the folder yet; point, seed and result of each, in the order of the jobs. `failed` says
/// what it means that one did not come to its end.
pub(super) fn all(
    sweep: &Sweep,
    folder: Option<&Folder>,
    workers: usize,
    quiet: bool,
    failed: impl Fn(&Job, &RunError) -> Failure,
) -> Result<Vec<(usize, u64, Value)>, Failure> {
    let point = |job: &Job| -> &Point { &sweep.points[job.point] };
    let mut results: Vec<Option<Value>> = sweep
        .jobs
        .iter()
        .map(|job| folder.and_then(|folder| folder.find(&sweep.scenario, point(job), job)))
        .collect();
    let waiting: VecDeque<usize> = (0..results.len()).filter(|&at| results[at].is_none()).collect();
    if !quiet && waiting.len() < results.len() {
        let there = results.len() - waiting.len();
        eprintln!("{there} of them are there already");
    }
    let bar = Bar::new(quiet);
    let (runs, mut done, mut share) = (waiting.len(), 0, 0.0);
    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (tell, news) = mpsc::channel();
    let mut failure = None;
    thread::scope(|scope| {
        for _ in 0..workers {
            let tell = tell.clone();
            scope.spawn(move || {
                while let Some(at) = next() {
                    // Nobody listens any more once something has gone wrong.
                    if tell.send(one(&sweep.jobs[at], at, &tell)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(tell);
        for news in &news {
            match news {
                News::Share(more) => share += more,
                News::Done(at, result) => {
                    let job = &sweep.jobs[at];
                    let kept = folder.map(|folder| folder.keep(&sweep.scenario, point(job), job, &result));
                    failure = failure.take().or(kept.and_then(Result::err));
                    results[at] = Some(*result);
                    done += 1;
                }
                News::Failed(at, error) => {
                    failure.get_or_insert(failed(&sweep.jobs[at], &error));
                }
            }
            bar.show_runs(done, runs, share);
            if failure.is_some() {
                // Runs at work come to their end and are kept; no other begins.
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    });
    bar.finish();
    match failure {
        Some(failure) => Err(failure),
        None => Ok(sweep
            .jobs
            .iter()
            .zip(results)
            .filter_map(|(job, result)| Some((job.point, job.seed, result?)))
            .collect()),
    }
}

/// Makes one run.
#[allow(
    clippy::disallowed_methods,
    reason = "how long a run takes is a fact about this machine"
)]
fn one(job: &Job, at: usize, tell: &mpsc::Sender<News>) -> News {
    let began = Instant::now();
    let mut told = 0.0;
    let result = job.run(&mut |done| {
        // A baseline begins at nothing again; the bar does not go back.
        let more = (done - told).max(0.0);
        told += more;
        // Who does not listen any more hears it in the end.
        let _ = tell.send(News::Share(more));
    });
    match result {
        Ok(mut result) => {
            if let Some(wall_s) = result.get_mut("wall_s") {
                *wall_s = began.elapsed().as_secs_f64().into();
            }
            let _ = tell.send(News::Share(1.0 - told));
            News::Done(at, Box::new(result))
        }
        Err(error) => News::Failed(at, error),
    }
}
