use super::*;
use crate::time::SECOND;

const WINDOW: Window = Window {
    from: SimTime(SECOND),
    to: SimTime(3 * SECOND),
};
/// The first chunk's number.
const FIRST: Seq = Seq(1_000_000);

/// Ten chunks a second from the start, for four seconds.
fn chunks() -> ChunkLog {
    let mut chunks = ChunkLog::default();
    chunks.begin(FIRST);
    (0..40).for_each(|n| chunks.push(SimTime(n * SECOND / 10)));
    chunks
}

fn at_ms(ms: u64) -> SimTime {
    SimTime(ms * MS)
}

/// A consumer that gets and plays chunks `from..to` with a lag of 250 ms.
fn player(chunks: &ChunkLog, from: usize, to: usize) -> PeerLog {
    let mut log = PeerLog::new(Role::Consumer, SimTime::START);
    for index in from..to {
        play(&mut log, chunks, index).unwrap();
    }
    log
}

fn play(log: &mut PeerLog, chunks: &ChunkLog, index: usize) -> Result<Option<f64>, Violation> {
    let seq = FIRST.plus(index as u64);
    let now = chunks.generated(index).plus(250 * MS);
    assert!(log.delivered(index));
    log.arrived(chunks, now, seq, 3, Some(251_000), WINDOW)?;
    log.plays(chunks, now, seq, true, WINDOW)
}

#[test]
fn a_perfect_player() {
    let chunks = chunks();
    let log = player(&chunks, 5, 40);
    assert_eq!((log.played, log.in_time), (20, 20), "those of the window");
    assert_eq!(log.due(&chunks, WINDOW, at_ms(4000)), Some((10, 30)));
    assert_eq!(log.last_lag_ns, 250 * MS);
    assert!((log.arrival_ms(7).unwrap() - 250.0).abs() <= 0.125);
    assert_eq!((log.hops_max, log.clock_error_us_max), (3, 1000));
}

#[test]
fn who_stalls_for_ever_misses_the_rest() {
    let chunks = chunks();
    let log = player(&chunks, 5, 15);
    assert_eq!(log.due(&chunks, WINDOW, at_ms(4000)), Some((10, 30)));
    assert_eq!(log.played, 5);
}

#[test]
fn who_leaves_misses_nothing_after_that() {
    let chunks = chunks();
    let mut log = player(&chunks, 5, 15);
    // Chunk 14 was played at 1650 ms; chunk 15 would have been at 1750.
    log.left = Some(at_ms(1700));
    assert_eq!(log.due(&chunks, WINDOW, at_ms(4000)), Some((10, 15)));
    log.left = Some(at_ms(1960));
    assert_eq!(log.due(&chunks, WINDOW, at_ms(4000)), Some((10, 18)));
}

#[test]
fn who_never_played_has_nothing_due() {
    let chunks = chunks();
    assert_eq!(player(&chunks, 0, 0).due(&chunks, WINDOW, at_ms(4000)), None);
}

#[test]
fn gaps_are_due_and_not_played() {
    let chunks = chunks();
    let mut log = player(&chunks, 5, 15);
    log.gap(&chunks, FIRST.plus(15), FIRST.plus(17)).unwrap();
    play(&mut log, &chunks, 17).unwrap();
    assert_eq!(log.due(&chunks, WINDOW, at_ms(4000)), Some((10, 30)));
    assert_eq!(log.played, 6);
    assert!(
        log.gap(&chunks, FIRST.plus(20), FIRST.plus(22))
            .unwrap_err()
            .contains("due")
    );
    assert!(
        log.gap(&chunks, FIRST.plus(18), FIRST.plus(18))
            .unwrap_err()
            .contains("none")
    );
}

#[test]
fn broken_invariants_are_found() {
    let chunks = chunks();
    let mut log = player(&chunks, 5, 15);
    let seq = |index| FIRST.plus(index);
    assert!(
        log.plays(&chunks, at_ms(3000), seq(14), true, WINDOW)
            .unwrap_err()
            .contains("after chunk 14")
    );
    assert!(
        log.plays(&chunks, at_ms(3000), seq(20), true, WINDOW)
            .unwrap_err()
            .contains("never arrived")
    );
    assert!(
        log.plays(&chunks, at_ms(3000), Seq(3), true, WINDOW)
            .unwrap_err()
            .contains("never made")
    );
    let arrived = |log: &mut PeerLog, index| log.arrived(&chunks, at_ms(3000), seq(index), 1, None, WINDOW);
    assert!(arrived(&mut log, 14).unwrap_err().contains("second time"));
    assert!(arrived(&mut log, 16).unwrap_err().contains("delivered"));
    assert!(arrived(&mut log, 99).unwrap_err().contains("never made"));
}

#[test]
fn second_copies_are_told_apart() {
    let mut log = PeerLog::new(Role::Donor, SimTime::START);
    assert!(log.delivered(3000));
    assert!(!log.delivered(3000));
    assert!(log.delivered(1500), "an older one may come later");
    assert!(log.delivered(4000));
    assert!(!log.delivered(1500));
}
