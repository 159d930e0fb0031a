use super::*;

fn stream(no_room: u16, short: Option<u16>) -> StreamStats {
    StreamStats {
        no_room,
        short,
        ..StreamStats::default()
    }
}

/// The news of a look each second at what is lacking, with the second of each.
fn news(looks: impl IntoIterator<Item = StreamStats>) -> Vec<(usize, ShortageNews)> {
    let (start, mut shortage, mut told) = (Instant::now(), Shortage::default(), Vec::new());
    for (second, stream) in looks.into_iter().enumerate() {
        shortage.look(start + Duration::from_secs(second as u64), &stream);
        told.extend(shortage.take_news().map(|news| (second, news)));
        assert_eq!(shortage.take_news(), None, "once");
    }
    told
}

#[test]
fn it_is_told_when_it_begins_and_when_it_is_over() {
    for short in [stream(3, None), stream(0, Some(150))] {
        let enough = || stream(0, short.short.map(|_| 0));
        let looks = (0..60).map(|second| {
            if (10..40).contains(&second) {
                short.clone()
            } else {
                enough()
            }
        });
        assert_eq!(
            news(looks),
            [(15, ShortageNews::Begins), (45, ShortageNews::Over)]
        );
    }
}

#[test]
fn moments_and_trifles_are_not_told() {
    let moments = (0..60).map(|second| stream(u16::from(second % 6 < 4), None));
    assert_eq!(news(moments), []);
    assert_eq!(news((0..60).map(|_| stream(0, Some(LACKS - 1)))), []);
    let gaps = (0..60).map(|second| stream(u16::from(second < 10 || second % 5 > 1), None));
    assert_eq!(
        news(gaps),
        [(5, ShortageNews::Begins)],
        "nor that it is over for a moment"
    );
}
