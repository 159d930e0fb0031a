use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wire::{Chunk, ChunkFlags, ChunkHeader, SecretKey, Seq, Time};

use super::Playout;
use crate::config::Preference;
use crate::io::{Outbox, Output, PlayoutWish};
use crate::window::Window;

/// Chunk length, and the number of chunks between key frames.
const MS: u64 = 8;
const GOP: u64 = 125;

struct Player {
    key: SecretKey,
    window: Window,
    playout: Playout,
    out: Outbox,
    now: Time,
}

impl Player {
    fn new(wish: PlayoutWish) -> Self {
        Player {
            key: SecretKey::from_bytes(&[7; 32]),
            window: Window::new(Seq(0)),
            playout: Playout::new(wish),
            out: Outbox::new(),
            now: Time::ZERO,
        }
    }

    fn arrive(&mut self, at_ms: u64, seq: u64) {
        self.take(at_ms, seq, true);
    }

    fn take(&mut self, at_ms: u64, seq: u64, telling: bool) {
        self.take_of(MS, at_ms, seq, telling);
    }

    /// Of a stream with chunks of `length` milliseconds.
    fn take_of(&mut self, length: u64, at_ms: u64, seq: u64, telling: bool) {
        self.until(at_ms);
        let header = ChunkHeader {
            stream: self.key.stream_id(),
            session: Seq(0),
            seq: Seq(seq),
            generated_at: Time::from_millis(seq * length),
            duration: Duration::from_millis(length),
            flags: ChunkFlags {
                random_access: (seq * length).is_multiple_of(GOP * MS),
                ..ChunkFlags::default()
            },
        };
        let chunk = Arc::new(Chunk::sign(header, Bytes::new(), &self.key));
        self.window.insert(chunk.clone());
        self.playout.on_arrival(self.now, &chunk, telling);
        self.advance();
    }

    fn advance(&mut self) {
        self.playout.advance(
            self.now,
            self.key.stream_id(),
            &self.window,
            Some(0),
            &mut self.out,
        );
    }

    fn until(&mut self, ms: u64) {
        while let Some(next) = self
            .playout
            .next_deadline()
            .filter(|&next| next < Time::from_millis(ms))
        {
            assert!(
                next > self.now || self.now == Time::ZERO,
                "a deadline in the past would spin"
            );
            self.now = next;
            self.advance();
        }
        self.now = Time::from_millis(ms);
    }

    /// Sequence number, playout lag in milliseconds, in time.
    fn played(&self) -> Vec<(u64, i64, bool)> {
        self.out
            .iter()
            .filter_map(|output| match output {
                Output::Play {
                    chunk,
                    lag_us,
                    in_time,
                    ..
                } => Some((chunk.seq().0, lag_us / 1000, *in_time)),
                _ => None,
            })
            .collect()
    }
}

/// Every chunk with a fixed delay; the ones in `lost` never come, the ones in `late` come that much later.
fn run(player: &mut Player, chunks: u64, delay_ms: u64, lost: &[u64], late: &[(u64, u64)]) {
    let mut arrivals: Vec<(u64, u64)> = (0..chunks)
        .filter(|seq| !lost.contains(seq))
        .map(|seq| {
            let extra = late.iter().find(|(s, _)| *s == seq).map_or(0, |(_, ms)| *ms);
            (seq * MS + MS + delay_ms + extra, seq)
        })
        .collect();
    arrivals.sort();
    for (at, seq) in arrivals {
        player.arrive(at, seq);
    }
}

#[test]
fn steady_delays_give_a_steady_lag_and_no_gap() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[]);
    let played = player.played();
    assert!(played.len() > 1200, "{}", played.len());
    assert!(played.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    assert!(played.iter().all(|&(_, _, in_time)| in_time));
    let last = played.last().expect("played").1;
    // 8 ms of chunk, 50 ms of way, 20 ms of guard, and up to two bins of rounding and slack.
    assert!((70..=98).contains(&last), "{last}");
}

#[test]
fn what_comes_late_right_after_the_start_is_in_time_and_the_start_is_not_later() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[(60, 70)]);
    let played = player.played();
    assert!(played.iter().all(|&(_, _, in_time)| in_time));
    assert_eq!((player.playout.late, player.playout.missed), (0, 0));
    let (_, first, _) = played[0];
    let most = played.iter().map(|&(_, lag, _)| lag).max().expect("played");
    let (_, last, _) = played[played.len() - 1];
    assert!(
        first < most && last < most - 80,
        "{first}, {most} at most, {last} in the end"
    );
}

#[test]
fn a_lost_chunk_is_one_gap_and_nothing_stalls_for_ever() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 2500, 50, &[700], &[]);
    let gaps: Vec<_> = player
        .out
        .iter()
        .filter_map(|output| match output {
            Output::Gap { from, to, .. } => Some((from.0, to.0)),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [(700, 701)]);
    assert_eq!(player.playout.missed, 1);
    // It comes back toward live after the wait.
    let last = player.played().last().expect("played").1;
    assert!(last < 250, "{last}");
}

#[test]
fn a_late_chunk_is_waited_for_and_counted_once() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[(700, 100)]);
    assert_eq!(player.playout.late, 1);
    assert_eq!(player.playout.missed, 0);
    assert_eq!(player.playout.played, player.played().len() as u64);
}

#[test]
fn a_fixed_lag_is_kept_to_the_millisecond() {
    let wish = PlayoutWish {
        target_lag: Some(Duration::from_millis(300)),
        ..PlayoutWish::default()
    };
    let mut player = Player::new(wish);
    run(&mut player, 1250, 50, &[], &[]);
    let lags: Vec<i64> = player.played().iter().map(|&(_, lag, _)| lag).collect();
    assert!(
        lags[GOP as usize..].iter().all(|&lag| (300..=301).contains(&lag)),
        "{:?}",
        &lags[..10]
    );
}

#[test]
fn live_lags_less_than_smooth() {
    let mut lags = Vec::new();
    for prefer in [Preference::Live, Preference::Balanced, Preference::Smooth] {
        let mut player = Player::new(PlayoutWish {
            prefer,
            target_lag: None,
        });
        // Delays between 0 and 60 ms, in no order.
        let mut arrivals: Vec<(u64, u64)> = (0..2500)
            .map(|seq| (seq * MS + MS + (seq * 7919) % 61, seq))
            .collect();
        arrivals.sort();
        for (at, seq) in arrivals {
            player.arrive(at, seq);
        }
        lags.push(player.played().last().expect("played").1);
    }
    assert!(lags[0] < lags[1] && lags[1] < lags[2], "{lags:?}");
}

#[test]
fn after_a_pause_playout_goes_on_about_as_it_was() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[]);
    let before = player.played().last().expect("played").1;
    player.playout.begin_session();
    player.out.clear();
    // What comes first comes late, because the trees grow together again.
    let resumed = 1375 * MS;
    player.until(resumed + 900);
    for seq in 1375..1625 {
        let at = (seq * MS + MS + 50).max(resumed + 900);
        player.arrive(at, seq);
    }
    let (first, lag, _) = player.played()[0];
    assert_eq!(first % GOP, 0);
    assert!(lag <= before + 900, "{lag} after {before}");
    let schedule = player.playout.target_lag_us(0).expect("it plays") / 1000;
    assert!(schedule < before + 900, "{schedule} after {before}");
}

#[test]
fn after_a_pause_playout_goes_on_with_the_first_key_frame_that_is_here() {
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[]);
    player.playout.begin_session();
    player.out.clear();
    // None of these says how long the way is.
    let resumed = 1375 * MS + 900;
    for seq in 1375..1375 + GOP {
        player.take(resumed + (seq - 1375), seq, false);
    }
    let played = player.played();
    assert!(played.len() > 50, "all but what is not due: {played:?}");
    assert!(
        played
            .iter()
            .map(|(seq, ..)| *seq)
            .eq((1375..).take(played.len()))
    );
}

/// Plays, and again after a return with the chunks of two groups, all but those `lost`; the first key frame comes late, and after others.
fn returned(lost: impl Fn(u64) -> bool) -> Vec<u64> {
    const KEY: u64 = 1375;
    let mut player = Player::new(PlayoutWish::default());
    run(&mut player, 1250, 50, &[], &[]);
    player.window.reset(Seq(KEY));
    player.playout.begin_session();
    player.out.clear();
    let together = KEY * MS + 900;
    let others = (KEY + 1..KEY + 2 * GOP).filter(|seq| !lost(*seq));
    let mut arrivals: Vec<(u64, u64)> = others.map(|seq| (seq * MS + MS + 50, seq)).collect();
    arrivals.push((together + 1, KEY));
    arrivals.iter_mut().for_each(|(at, _)| *at = (*at).max(together));
    arrivals.sort();
    for (at, seq) in arrivals {
        player.arrive(at, seq);
    }
    player.until((KEY + 2 * GOP) * MS + 1_500);
    player.played().iter().map(|(seq, ..)| *seq).collect()
}

#[test]
fn after_a_pause_one_missing_chunk_does_not_cost_the_whole_group() {
    let played = returned(|seq| seq == 1375 + 5);
    assert_eq!(played[..6], [1375, 1376, 1377, 1378, 1379, 1381]);
    assert_eq!(played.len() as u64, 2 * GOP - 1);
}

#[test]
fn after_a_pause_playout_does_not_begin_with_a_picture_most_of_which_is_missing() {
    let played = returned(|seq| (1376..1375 + GOP).contains(&seq) && seq % 3 != 0);
    assert!(
        played.iter().copied().eq(1375 + GOP..1375 + 2 * GOP),
        "{played:?}"
    );
}

/// A dozen of them would take more than a second.
#[test]
fn of_a_slow_stream_two_chunks_are_enough_to_begin_with() {
    let mut player = Player::new(PlayoutWish::default());
    for seq in 0..5 {
        player.take_of(100, seq * 100 + 150, seq, true);
    }
    let played = player.played();
    assert_eq!(played.first().map(|(seq, ..)| *seq), Some(0));
    assert!(played.len() >= 2, "{played:?}");
}

/// Three chunks have come then, and stand for as many substreams.
#[test]
fn of_a_slow_stream_more_is_left_to_chance_as_playout_begins() {
    let mut player = Player::new(PlayoutWish::default());
    let delay = |seq| if seq == 8 { 220 } else { 50 };
    let mut arrivals: Vec<(u64, u64)> = (0..40).map(|seq| (seq * 50 + 50 + delay(seq), seq)).collect();
    arrivals.sort_unstable();
    for (at, seq) in arrivals {
        player.take_of(50, at, seq, true);
    }
    assert!(player.played().len() > 25);
    assert_eq!((player.playout.late, player.playout.missed), (0, 0));
}

#[test]
fn a_clock_that_says_anything_overflows_nothing() {
    for us in [i64::MIN, i64::MAX] {
        let mut player = Player::new(PlayoutWish::default());
        run(&mut player, 250, 50, &[], &[]);
        player.playout.expect_delays_below(Some(us));
        for seq in 250..500 {
            player.arrive(seq * MS + MS + 50, seq);
        }
        let played = player.played();
        assert!(played.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
        assert!(
            played.last().expect("played").0 > 480,
            "{us}: {:?}",
            played.last()
        );
    }
}

/// Everything comes at the pace of the stream but the first 0.6 s, which a joiner gets at once then, less some chunks that come so many
/// milliseconds later.
fn join(player: &mut Player, missing: std::ops::Range<u64>, later_ms: u64) {
    let mut arrivals: Vec<(u64, u64)> = (0..400u64)
        .map(|seq| match seq * MS + MS + 50 {
            _ if missing.contains(&seq) => (600 + later_ms, seq),
            live => (live.max(600), seq),
        })
        .collect();
    arrivals.sort_unstable();
    for (at, seq) in arrivals {
        player.take(at, seq, seq * MS + MS + 50 >= 600);
    }
}

#[test]
fn playout_begins_before_what_is_shown_later_is_here() {
    // The 30th chunk, a quarter of a second after the key frame, comes 200 ms after the rest.
    let mut player = Player::new(PlayoutWish::default());
    join(&mut player, 30..31, 200);
    let played = player.played();
    assert!((600..800).contains(&played[0].1), "{:?}", played[0]);
    assert!(played.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    assert!(
        played.iter().all(|&(_, _, in_time)| in_time),
        "no player is there yet"
    );
    assert_eq!((player.playout.late, player.playout.missed), (0, 0));
    // What is missing sooner than that is waited for.
    let mut player = Player::new(PlayoutWish::default());
    join(&mut player, 10..11, 200);
    assert!(player.played()[0].1 >= 800);
    // And so is all by who has said how far behind live it is to be shown.
    let mut player = Player::new(PlayoutWish {
        target_lag: Some(Duration::from_millis(400)),
        ..PlayoutWish::default()
    });
    join(&mut player, 30..31, 200);
    assert!(player.played()[0].1 >= 800);
}

#[test]
fn what_was_missing_at_the_beginning_and_does_not_come_until_it_is_shown_is_late_or_given_up() {
    // Playout begins at 0.7 s, so it is needed at 0.94.
    let mut player = Player::new(PlayoutWish::default());
    join(&mut player, 30..31, 400);
    assert_eq!((player.playout.late, player.playout.missed), (1, 0));
    let mut player = Player::new(PlayoutWish::default());
    join(&mut player, 30..31, 900);
    assert_eq!(player.playout.missed, 1);
    let played = player.played();
    let needed = played[0].1 + 30 * MS as i64;
    let after = played.iter().find(|&&(seq, _, _)| seq == 31).expect("it goes on");
    // A quarter of a second is waited beyond.
    let waited = after.1 + 31 * MS as i64 - needed;
    assert!((240..=260).contains(&waited), "{waited}");
}
