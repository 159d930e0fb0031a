use super::*;

const ABOVE: usize = 100;

/// Looks four times a second over so many seconds at an area of so many members; after how many of them it needed something.
fn look(balance: &mut Balance, now: &mut Time, seconds: u64, members: usize) -> Option<(Need, u64)> {
    for quarter in 0..seconds * 4 {
        if let Some(need) = balance.look(*now, members, ABOVE, false) {
            return Some((need, quarter / 4));
        }
        *now += Duration::from_millis(250);
    }
    None
}

#[test]
fn a_large_area_is_split_and_a_small_one_merged_after_a_while() {
    let (mut balance, mut now) = (Balance::default(), Time::from_millis(1000));
    assert_eq!(look(&mut balance, &mut now, 100, 100), None);
    assert_eq!(look(&mut balance, &mut now, 100, 101), Some((Need::Split, 2)));
    let (mut balance, mut now) = (Balance::default(), Time::from_millis(1000));
    assert_eq!(look(&mut balance, &mut now, 100, 25), None);
    assert_eq!(look(&mut balance, &mut now, 100, 24), Some((Need::Merge, 20)));
}

#[test]
fn a_moment_does_not_count_nor_what_was_before_a_change() {
    let (mut balance, mut now) = (Balance::default(), Time::from_millis(1000));
    for _ in 0..20 {
        assert_eq!(look(&mut balance, &mut now, 1, 300), None);
        assert_eq!(look(&mut balance, &mut now, 1, 50), None);
        assert_eq!(look(&mut balance, &mut now, 19, 5), None);
    }
    balance.settle(now);
    let (need, after) = look(&mut balance, &mut now, 100, 300).unwrap();
    assert_eq!((need, after), (Need::Split, 8));
}

#[test]
fn a_busy_host_is_relieved_if_a_split_would_help() {
    let (mut balance, now) = (Balance::default(), Time::from_millis(1000));
    let late = now + Duration::from_secs(30);
    assert_eq!(balance.look(now, 40, ABOVE, true), None);
    assert_eq!(balance.look(late, 40, ABOVE, true), Some(Need::Split));
    let mut balance = Balance::default();
    assert_eq!(balance.look(now, 25, ABOVE, true), None);
    assert_eq!(balance.look(late, 25, ABOVE, true), None);
}

#[test]
fn neither_half_of_a_split_is_merged_and_nothing_merged_is_split() {
    for above in 16..500 {
        for members in above + 1..above * 2 {
            // The smaller part that `split.rs` allows is a sixth; the usual half is not small at all.
            assert!(members / 2 * MERGE_BELOW >= above, "{members} of {above}");
        }
        let small = above / MERGE_BELOW;
        assert!(Balance::bears(above / 2, small, above), "{above}");
        let largest = (0..above)
            .rev()
            .find(|&members| Balance::bears(members, small, above));
        assert!(largest.unwrap() + small <= above * 3 / 4, "{above}");
    }
}
