//! At which pace an input is read: as it comes, or by its own clock.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Buf;
use tokio::time::Instant;
use wire::Time;

use super::{PieceSender, READ_MAX, ReadOptions, Unwanted};
use crate::media::pacer::{Pacer, Piece};

/// A reader that fell behind by more (the machine slept) goes on from there instead of hurrying after.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// How long after the last piece of a file its repetition begins: what a piece covers.
const REPEAT_AFTER: Duration = Duration::from_millis(4);

/// How far an input may run ahead of its own clock and still be sent as it comes: more than the bursts of an encoder that
/// writes by frames. What comes in larger bursts is better sent evenly.
const AHEAD_MAX: Duration = Duration::from_millis(500);

/// An encoder's clock may be faster than ours by one in so many; crystals differ by one in ten thousand at most. Without
/// this allowance a live encoder would count as a file after some hours.
const DRIFT_SHARE: u32 = 1000;

/// Why reading stopped before the end.
pub(super) enum Stop {
    /// Nobody listens any more.
    Unwanted,
    /// The system refused.
    Failed(io::Error),
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Stop::Unwanted
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(error)
    }
}

/// Reads on until a file shows a clock that the pacer understands, or shows that it has none: whether it has one. What was read is
/// appended to `head`.
pub(super) fn find_clock(from: &mut impl Read, head: &mut Vec<u8>) -> io::Result<bool> {
    let mut pacer = Pacer::new(None);
    pacer.push(head);
    let mut buffer = vec![0; READ_MAX];
    while !pacer.has_clock() && pacer.may_have_clock() {
        let len = read_some(from, &mut buffer)?;
        if len == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..len]);
        pacer.push(&buffer[..len]);
    }
    Ok(pacer.has_clock())
}

/// Sends what comes as it comes, as long as it is live. A file in a pipe runs through in no time; once that shows, it is
/// sent by its own clock, and the pipe holds it back.
pub(super) fn follow(from: &mut impl Read, out: &PieceSender) -> Result<(), Stop> {
    let mut pacer = Pacer::new(None);
    let mut lead = Lead::default();
    // Sent already, but not yet given out by the pacer, which waits for the next clock reference.
    let mut sent_ahead = 0;
    let mut buffer = vec![0; READ_MAX];
    loop {
        let len = read_some(from, &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        out.send(&buffer[..len])?;
        sent_ahead += len;
        pacer.push(&buffer[..len]);
        let mut elapsed = None;
        while let Some(Piece { at, bytes }) = pacer.next_piece() {
            sent_ahead -= bytes.len();
            elapsed = Some(at);
        }
        if let Some(elapsed) = elapsed
            && lead.observe(out.clock.now(), elapsed) > AHEAD_MAX
        {
            tracing::info!("the input is faster than its own clock: it is cast at the pace of that clock");
            let mut schedule = Schedule::due_now(elapsed);
            return play_rest(from, pacer, sent_ahead, &mut schedule, out);
        }
    }
}

/// Sends what comes when it is due; `head` was read already.
pub(super) fn play(
    from: &mut impl Read,
    head: &[u8],
    options: ReadOptions,
    schedule: &mut Schedule,
    out: &PieceSender,
) -> Result<(), Stop> {
    let mut pacer = Pacer::new(options.rate.map(wire::Bitrate::as_bps));
    pacer.push(head);
    play_rest(from, pacer, 0, schedule, out)
}

/// Sends what the pacer holds and what still comes, without the first `skip` bytes.
fn play_rest(
    from: &mut impl Read,
    mut pacer: Pacer,
    mut skip: usize,
    schedule: &mut Schedule,
    out: &PieceSender,
) -> Result<(), Stop> {
    let mut buffer = vec![0; READ_MAX];
    let mut ended = false;
    loop {
        while let Some(Piece { at, mut bytes }) = pacer.next_piece() {
            let sent = skip.min(bytes.len());
            bytes.advance(sent);
            skip -= sent;
            if !bytes.is_empty() {
                schedule.wait_for(at);
                out.send_bytes(bytes)?;
            }
        }
        if ended {
            return Ok(());
        }
        match read_some(from, &mut buffer)? {
            0 => {
                pacer.finish();
                ended = true;
            }
            len => pacer.push(&buffer[..len]),
        }
    }
}

/// Reads what is there, at least a byte; 0 at the end.
pub(super) fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// How far an input runs ahead of its own clock.
#[derive(Debug, Default)]
struct Lead {
    /// When the input's clock would have begun if it ran at our pace.
    began: Option<Time>,
    latest: Option<Time>,
}

impl Lead {
    /// The input's own clock has come to `elapsed`: how far ahead that is.
    fn observe(&mut self, now: Time, elapsed: Duration) -> Duration {
        let own = now - elapsed;
        let drift = now.since(self.latest.replace(now).unwrap_or(now)) / DRIFT_SHARE;
        // An input that paused began later: it may not make up for that in a burst.
        let began = self.began.map_or(own, |began| (began - drift).max(own));
        self.began = Some(began);
        began.since(own)
    }
}

/// When pieces are due by the monotonic clock.
pub(super) struct Schedule {
    start: Instant,
    latest: Duration,
}

impl Schedule {
    /// The first piece is due now.
    pub(super) fn start() -> Self {
        Schedule {
            start: Instant::now(),
            latest: Duration::ZERO,
        }
    }

    /// What is due at `elapsed` is due now.
    fn due_now(elapsed: Duration) -> Self {
        let now = Instant::now();
        Schedule {
            // A clock that cannot go back that far only makes the rest come later.
            start: now.checked_sub(elapsed).unwrap_or(now),
            latest: elapsed,
        }
    }

    /// Waits until what is due `at` after the start is due.
    #[allow(clippy::disallowed_methods)] // A thread of its own: it has nothing else to do than wait.
    pub(super) fn wait_for(&mut self, at: Duration) {
        self.latest = at;
        let now = Instant::now();
        let Some(due) = self.start.checked_add(at) else {
            return;
        };
        if let Some(early) = due.checked_duration_since(now) {
            std::thread::sleep(early);
        } else if now.duration_since(due) > BEHIND_MAX {
            self.start += now.duration_since(due);
        }
    }

    /// The next pieces count from the end of those before.
    pub(super) fn repeat(&mut self) {
        self.start += self.latest + REPEAT_AFTER;
        self.latest = Duration::ZERO;
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
