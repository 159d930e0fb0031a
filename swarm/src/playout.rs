//! The playout buffer's clockwork: when each chunk is handed to the outputs.
//!
//! Every chunk is due a fixed time after it was generated, the *schedule*. It begins where the delays seen so far say
//! that chunks will be here in time, and then follows the delays: up at once when they grow, down slowly. A chunk that
//! is not here when due is waited for a little, then given up: a gap that is counted, never a stall for ever.

mod delays;
mod opening;

use std::time::Duration;

use wire::{Chunk, Seq, StreamId, Time};

use crate::config::Preference;
use crate::io::{Event, Outbox, Output, PlayoutWish};
use crate::window::Window;
use delays::Delays;
use opening::Opening;

/// What a preference means in figures; all our judgement, the curve they span is measured with the simulator.
struct Leaning {
    /// The share of chunks that should be here when due.
    in_time: f64,
    /// Added to the delay that this share stays below.
    guard_us: i64,
    /// Added to the schedule once playout has begun, when chance alone says which delays were seen, and suppliers still
    /// change: the lag comes down again within seconds. It costs no start-up, because the first chunks are handed over
    /// before it.
    settling_us: i64,
    /// What a repair may take longer than its substream's supplier: asking, an answer, and asking once more.
    repair_us: i64,
    /// How long a chunk that is due is waited for.
    patience: Duration,
    /// Playout may begin when so much is here from the key frame on without a hole: what is missing behind that has as long to come.
    /// What it costs is in docs/results/swarm.md, "The last chunks of the past".
    ahead: Duration,
    /// How much faster than live the buffer is consumed to come closer to live.
    catch_up: f64,
}

const fn leaning(preference: Preference) -> Leaning {
    match preference {
        Preference::Live => Leaning {
            in_time: 0.985,
            guard_us: 5_000,
            settling_us: 30_000,
            repair_us: 150_000,
            patience: Duration::from_millis(30),
            ahead: Duration::from_millis(100),
            catch_up: 0.05,
        },
        Preference::Balanced => Leaning {
            in_time: 0.9985,
            guard_us: 20_000,
            settling_us: 150_000,
            repair_us: 200_000,
            patience: Duration::from_millis(250),
            ahead: Duration::from_millis(150),
            catch_up: 0.03,
        },
        Preference::Smooth => Leaning {
            in_time: 0.9998,
            guard_us: 80_000,
            settling_us: 300_000,
            repair_us: 900_000,
            patience: Duration::from_millis(600),
            ahead: Duration::from_millis(300),
            catch_up: 0.01,
        },
    }
}

/// Between two looks at the delays.
const ADAPT_EVERY: Duration = Duration::from_millis(250);

/// A schedule this much above what is needed is left alone.
const SLACK_US: i64 = 10_000;

/// A chunk that never came counts as this much later than the schedule: one alone changes little, many push it out.
const MISSED_US: i64 = 40_000;

/// A schedule this far above what is needed is a disturbance that is over: playout hurries back, by one part in...
const FAR_US: i64 = 100_000;

/// ...so many of the excess in a second.
const HURRY: f64 = 2.0;

/// So many chunks given up in a row, a tenth of a second of the default stream, are no single supplier's doing.
const ALL_LATE: u32 = 12;

/// Live chunks seen before playout may begin: one of each substream, mostly...
const MIN_SAMPLES: u32 = 12;

/// ...or those of so long a time, and two at least, where chunks are far apart.
const SAMPLED_FOR: Duration = Duration::from_millis(150);
const FEWEST_SAMPLES: u32 = 2;

/// If the next key frame is due this soon, playout waits for it instead of beginning far behind live.
const WORTH_WAITING: Duration = Duration::from_millis(220);

/// ...and only when that saves so much lag.
const WORTH_SAVING: Duration = Duration::from_millis(350);

/// Playout begins with what there is after so long.
const START_ANYWAY: Duration = Duration::from_millis(2_500);

/// When the node is awake anyway, a chunk is handed over so much before it is due: half of a chunk's usual length, which
/// no player notices, and every second wake-up for playing is saved.
const EARLY: Duration = Duration::from_millis(4);

/// Playout of one stream.
#[derive(Debug)]
pub(crate) struct Playout {
    wish: PlayoutWish,
    delays: Delays,
    /// The longest delay of a substream's own supplier, jitter included, in microseconds: with one repair more it is what
    /// playout ever waits for. What came later came so because suppliers were missing, and will not again.
    through_us: Option<i64>,
    /// Next chunk to be handed over; `None` before playout began.
    point: Option<Seq>,
    /// The schedule before the peercaster was away.
    resume_us: Option<i64>,
    /// Due time (this node's clock) minus generation time (the peercaster's), in microseconds.
    schedule_us: i64,
    /// Chunks before this one were held when playout began, and are in time whatever the clock says.
    burst_end: Seq,
    /// As long as playout has not come to what is due.
    opening: Option<Opening>,
    /// A due chunk is being waited for.
    stalled: bool,
    gap_from: Option<Seq>,
    /// Chunks given up in a row.
    given_up: u32,
    random_access_every: Option<Duration>,
    first_sample: Option<Time>,
    next: Option<Time>,
    next_adapt: Time,
    announced: bool,
    ended: bool,
    pub(crate) played: u64,
    pub(crate) missed: u64,
    pub(crate) late: u64,
    pub(crate) lag_us: Option<i64>,
}

impl Playout {
    pub(crate) fn new(wish: PlayoutWish) -> Self {
        Playout {
            wish,
            delays: Delays::default(),
            through_us: None,
            point: None,
            resume_us: None,
            schedule_us: 0,
            burst_end: Seq(0),
            opening: None,
            stalled: false,
            gap_from: None,
            given_up: 0,
            random_access_every: None,
            first_sample: None,
            next: None,
            next_adapt: Time::ZERO,
            announced: false,
            ended: false,
            played: 0,
            missed: 0,
            late: 0,
            lag_us: None,
        }
    }

    pub(crate) fn set_wish(&mut self, wish: PlayoutWish) {
        self.wish = wish;
    }

    /// The next chunk to be handed over; `None` before playout began.
    pub(crate) fn point(&self) -> Option<Seq> {
        self.point
    }

    /// Whether the stream has begun anew for one who was playing.
    pub(crate) fn resumes(&self) -> bool {
        self.resume_us.is_some()
    }

    /// When [`Playout::advance`] has something to do even if no chunk comes.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.next
    }

    /// When a chunk generated at `at` (peercaster's clock) is due (this node's).
    pub(crate) fn due(&self, at: Time) -> Option<Time> {
        self.point.map(|_| at.offset_by(self.schedule_us))
    }

    /// The playout lag aimed at, given the peercaster's clock minus this node's.
    pub(crate) fn target_lag_us(&self, offset_us: i64) -> Option<i64> {
        // A stranger's clock may be anything.
        self.point.map(|_| self.schedule_us.saturating_add(offset_us))
    }

    /// Says how late the slowest substream is at present by its supplier (this node's clock minus the peercaster's).
    pub(crate) fn expect_delays_below(&mut self, us: Option<i64>) {
        // The peercaster's clock may say anything, and one step of it is enough to be far off.
        self.through_us = us.map(|us| us.clamp(-FAR_OFF_US, FAR_OFF_US));
    }

    /// How far apart key frames are, as the tracker says.
    pub(crate) fn expect_random_access_every(&mut self, ms: Option<u32>) {
        if self.random_access_every.is_none() {
            self.random_access_every = ms.map(|ms| Duration::from_millis(u64::from(ms)));
        }
    }

    /// The peercaster started again: playout begins anew with the first chunk a player can start with.
    pub(crate) fn begin_session(&mut self) {
        if self.point.take().is_some() {
            // The way here is what it was; what comes late now does so because the trees grow together again.
            self.resume_us = Some(self.schedule_us);
            self.delays = Delays::default();
        }
        self.stalled = false;
        self.opening = None;
        self.gap_from = None;
        self.first_sample = None;
        self.ended = false;
        self.next = None;
    }

    /// A chunk came. `telling`: its delay is the network's, not that of this node's own start.
    pub(crate) fn on_arrival(&mut self, now: Time, chunk: &Chunk, telling: bool) {
        // One that was given up counts as missed already. When nothing else comes, the way has become longer at once,
        // and how much longer only these tell.
        let all_late = self.given_up >= ALL_LATE;
        if telling && self.point.is_none_or(|point| chunk.seq() >= point || all_late) {
            self.first_sample.get_or_insert(now);
            self.delays
                .record(now, now.signed_micros_since(chunk.header().generated_at));
        }
    }

    /// Hands over what is due. True once, when the last chunk of the stream was reached.
    pub(crate) fn advance(
        &mut self,
        now: Time,
        stream: StreamId,
        window: &Window,
        offset_us: Option<i64>,
        out: &mut Outbox,
    ) -> bool {
        if self.ended {
            return false;
        }
        self.next = None;
        let begins = self.point.is_none();
        let mut point = match self.point {
            Some(point) => point,
            None => match self.try_start(now, window, offset_us) {
                Some(seq) => {
                    self.point = Some(seq);
                    if !self.announced {
                        self.announced = true;
                        out.push(Output::Event(Event::PlayoutStarted { stream, seq }));
                    }
                    seq
                }
                None => return false,
            },
        };
        // What it begins with holds for this call: after the peercaster was away it is less than the delays say.
        if self.next_adapt <= now && !begins {
            self.next_adapt = now + ADAPT_EVERY;
            self.adapt(offset_us);
        }
        if point < window.base() {
            // The window's bounds took what nobody could wait for any longer.
            let gone = point.behind(window.base());
            self.missed += gone;
            self.gap_from.get_or_insert(point);
            point = window.base();
        }
        // Who asks for a fixed lag gets just that: several screens may have to show the same.
        let early = if self.wish.target_lag.is_some() {
            Duration::ZERO
        } else {
            EARLY
        };
        let ended = loop {
            let Some(chunk) = window.get(point) else {
                if !self.give_up(now, point, window) {
                    break false;
                }
                self.missed += 1;
                self.given_up = self.given_up.saturating_add(1);
                // It would have needed more than the schedule allows; how much more nobody knows.
                self.delays.record(now, self.schedule_us + MISSED_US);
                self.gap_from.get_or_insert(point);
                point = point.plus(1);
                continue;
            };
            let due = chunk.header().generated_at.offset_by(self.schedule_us);
            if due > now + early {
                self.next = Some(due);
                self.opening = None;
                break false;
            }
            if let Some(from) = self.gap_from.take() {
                out.push(Output::Gap {
                    stream,
                    from,
                    to: point,
                });
            }
            if chunk.header().flags.end {
                self.ended = true;
                break true;
            }
            let needed = self
                .opening
                .map_or(due, |opening| opening.needed(chunk.header().generated_at));
            let expected = !self.stalled || self.opening.is_some() && needed >= now;
            let in_time = expected || point < self.burst_end;
            if !in_time {
                self.late += 1;
                if self.wish.target_lag.is_none() {
                    let late_us = now.signed_micros_since(needed).clamp(0, FAR_OFF_US);
                    self.schedule_us = (self.schedule_us + late_us).min(FAR_OFF_US);
                }
            }
            self.stalled = false;
            self.given_up = 0;
            self.played += 1;
            let generated = chunk.header().generated_at;
            let lag_us = now
                .offset_by(offset_us.unwrap_or(0))
                .signed_micros_since(generated);
            self.lag_us = offset_us.map(|_| lag_us);
            out.push(Output::Play {
                stream,
                chunk: chunk.clone(),
                lag_us,
                in_time,
            });
            point = point.plus(1);
        };
        self.point = Some(point);
        if begins && self.wish.target_lag.is_none() {
            let settling_us = self.settling_us();
            self.schedule_us += settling_us;
            self.next = self.next.map(|due| due.offset_by(settling_us));
        }
        ended
    }

    /// Whether the missing chunk at the playout point is past waiting for. Otherwise sets the next look.
    fn give_up(&mut self, now: Time, point: Seq, window: &Window) -> bool {
        let Some(next_held) = window.first_held(point) else {
            return false;
        };
        let distance = point.behind(next_held.seq());
        let chunk_us = next_held.header().duration.as_micros().max(1) as i64;
        let generated = next_held
            .header()
            .generated_at
            .offset_by(-(distance as i64).saturating_mul(chunk_us));
        let due = match self.opening {
            Some(opening) => opening.needed(generated),
            None => generated.offset_by(self.schedule_us),
        };
        if due > now {
            self.next = Some(due);
            return false;
        }
        self.stalled = true;
        let patience = if self.wish.target_lag.is_some() {
            Duration::ZERO
        } else {
            leaning(self.wish.prefer).patience
        };
        if due + patience > now {
            self.next = Some(due + patience);
            return false;
        }
        self.stalled = false;
        true
    }

    /// Decides whether to begin, and where.
    fn try_start(&mut self, now: Time, window: &Window, offset_us: Option<i64>) -> Option<Seq> {
        let mut candidate = window.newest_random_access()?;
        let chunk_duration = window.get(candidate)?.header().duration;
        let waited = match (self.first_sample, self.resume_us) {
            (Some(at), _) => now.since(at),
            (None, Some(_)) => Duration::ZERO,
            (None, None) => return None,
        };
        let sampled = self.delays.samples() >= enough_samples(chunk_duration);
        if !sampled && self.resume_us.is_none() && waited < START_ANYWAY {
            return None;
        }
        self.schedule_us = match (self.wish.target_lag, offset_us) {
            (Some(lag), Some(offset)) => micros(lag) - offset,
            (Some(_), None) => return None,
            (None, _) => self.wanted_schedule_us()?,
        };
        let newest_due = now.offset_by(-self.schedule_us);
        loop {
            let generated = window.get(candidate)?.header().generated_at;
            if self.can_start_at(now, candidate, generated, window) || waited >= START_ANYWAY {
                let behind = newest_due.since(generated);
                let every = window.random_access_every().or(self.random_access_every);
                // Who has seen nothing for seconds has waited enough.
                if let Some(every) = every
                    && self.resume_us.is_none()
                    && behind > WORTH_SAVING
                    && waited < START_ANYWAY
                    && every.saturating_sub(behind) <= WORTH_WAITING
                {
                    self.next = Some(now + Duration::from_millis(20));
                    return None;
                }
                self.burst_end = window.first_hole(candidate);
                // Who asks for a fixed lag has chosen when each chunk is needed.
                let shown_by_pace = self.wish.target_lag.is_none();
                self.opening = shown_by_pace.then(|| Opening::begin(now, generated));
                return Some(candidate);
            }
            candidate = match window.random_access_at(Seq(candidate.0.checked_sub(1)?)) {
                Some(earlier) => earlier,
                None => {
                    self.next = Some(now + Duration::from_millis(20));
                    return None;
                }
            };
        }
    }

    /// Whether everything from `candidate` to what is due now is here, or so much of it that the rest can come until it is shown.
    fn can_start_at(&self, now: Time, candidate: Seq, generated: Time, window: &Window) -> bool {
        let due = generated.offset_by(self.schedule_us);
        if due > now {
            return false;
        }
        let hole = window.first_hole(candidate);
        if hole >= window.end() {
            return true;
        }
        let Some(before) = window.get(Seq(hole.0.saturating_sub(1))) else {
            return false;
        };
        let hole_generated = before.header().generated_at + before.header().duration;
        let leaning = leaning(self.wish.prefer);
        // After a return everybody lacks the same few of the first chunks, and to wait for the next key frame costs all the others: what
        // is missing is waited for as at any other time.
        let given_up = self.resumes()
            && due + leaning.patience <= now
            && most_held(window, candidate, generated + leaning.ahead);
        let ahead = given_up || hole_generated.since(generated) >= leaning.ahead;
        ahead && self.wish.target_lag.is_none() || hole_generated.offset_by(self.schedule_us) > now
    }

    fn wanted_schedule_us(&self) -> Option<i64> {
        let leaning = leaning(self.wish.prefer);
        let resume_us = self.resume_us.filter(|_| self.point.is_none());
        if resume_us.is_some() && self.delays.samples() < MIN_SAMPLES {
            return resume_us;
        }
        let seen = self.delays.quantile_us(leaning.in_time)?;
        let most = self.through_us.map_or(seen, |us| us + leaning.repair_us);
        let wanted = seen.min(most) + leaning.guard_us;
        Some(resume_us.map_or(wanted, |resume_us| wanted.min(resume_us + leaning.repair_us)))
    }

    /// What is added to the schedule as playout begins: up to twice as much if it was made from few chunks, which stand for few of
    /// the suppliers.
    fn settling_us(&self) -> i64 {
        let usual = leaning(self.wish.prefer).settling_us;
        if self.resume_us.is_some() {
            return usual;
        }
        let unseen = MIN_SAMPLES.saturating_sub(self.delays.samples());
        usual + usual * i64::from(unseen) / i64::from(MIN_SAMPLES)
    }

    fn adapt(&mut self, offset_us: Option<i64>) {
        if let Some(lag) = self.wish.target_lag {
            if let Some(offset) = offset_us {
                self.schedule_us = micros(lag) - offset;
            }
            return;
        }
        let Some(wanted) = self.wanted_schedule_us() else {
            return;
        };
        if wanted > self.schedule_us {
            self.schedule_us = wanted;
        } else if wanted + SLACK_US < self.schedule_us {
            let excess = self.schedule_us - wanted;
            let hurry = if excess > FAR_US {
                excess as f64 / HURRY / 1e6
            } else {
                0.0
            };
            let speed = leaning(self.wish.prefer).catch_up + hurry;
            let step = (ADAPT_EVERY.as_micros() as f64 * speed) as i64;
            self.schedule_us -= step.min(excess);
        }
    }
}

/// Whether no more than a third is missing from `from` to what was generated at `to`: a picture that is mostly there.
fn most_held(window: &Window, from: Seq, to: Time) -> bool {
    let (mut held, mut all) = (0, 0);
    for (_, chunk) in window.slots_from(from) {
        if chunk.is_some_and(|chunk| chunk.header().generated_at >= to) {
            return 3 * held >= 2 * all;
        }
        held += usize::from(chunk.is_some());
        all += 1;
    }
    false
}

/// Live chunks of this length that are enough to begin with.
fn enough_samples(chunk_duration: Duration) -> u32 {
    let of_the_time = SAMPLED_FOR.as_micros() / chunk_duration.as_micros().max(1);
    u32::try_from(of_the_time).map_or(MIN_SAMPLES, |samples| samples.clamp(FEWEST_SAMPLES, MIN_SAMPLES))
}

/// A schedule further off than this comes from a clock that is none: 300 years.
const FAR_OFF_US: i64 = 1 << 53;

fn micros(lag: Duration) -> i64 {
    i64::try_from(lag.as_micros()).map_or(FAR_OFF_US, |us| us.min(FAR_OFF_US))
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
