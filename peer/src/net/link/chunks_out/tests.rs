use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test]
async fn only_changes_that_matter_are_told_and_not_too_often() {
    let start = Instant::now();
    let mut reporter = Reporter::default();
    assert_eq!(
        reporter.due(start, 0, ms(40)),
        Some(start),
        "the first is told at once"
    );
    reporter.reported(start, 0, ms(40));
    let at = start + ms(10);
    assert_eq!(reporter.due(at, 0, ms(40)), None);
    assert_eq!(reporter.due(at, 1000, ms(43)), None);
    assert_eq!(reporter.due(at, 20_000, ms(40)), Some(start + REPORT_INTERVAL));
    assert_eq!(reporter.due(at, 0, ms(60)), Some(start + REPORT_INTERVAL));
    reporter.reported(at, 20_000, ms(40));
    assert_eq!(reporter.due(at, 0, ms(40)), Some(at + REPORT_INTERVAL), "emptied");
    assert_eq!(reporter.due(at, 15_000, ms(40)), None);
}

#[test]
fn the_room_for_chunks_follows_the_path() {
    // 64 KiB a round trip of 64 ms are 1 MiB a second.
    assert_eq!(carried(64 * 1024, ms(64), MAX_WAIT), 153_600);
}
