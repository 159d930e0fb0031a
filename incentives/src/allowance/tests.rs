use super::*;

#[test]
fn a_burst_goes_through_and_then_as_many_as_there_is_time_for() {
    let rate = Rate {
        burst: 48,
        every: Duration::from_millis(250),
    };
    let mut allowance = Allowance::default();
    let at = |ms: u64| Time::from_millis(1_000_000 + ms);
    let taken = (0..1000).filter(|_| allowance.take(at(0), rate)).count();
    assert_eq!(taken, 48);
    assert!(!allowance.take(at(249), rate));
    assert!(allowance.take(at(250), rate) && !allowance.take(at(250), rate));
}
