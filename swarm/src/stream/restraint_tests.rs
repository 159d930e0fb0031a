use super::*;

/// What is given up of 40 slots when copies wait for so many milliseconds at looks 50 ms apart.
fn given_up(queued_ms: &[u64]) -> Vec<u16> {
    let mut restraint = Restraint::default();
    let looks = queued_ms.iter().zip((1_000..).step_by(50));
    looks
        .map(|(&ms, at)| restraint.look(Time::from_millis(at), Duration::from_millis(ms), 40))
        .collect()
}

#[test]
fn a_short_queue_costs_nobody_a_place() {
    assert_eq!(given_up(&[0, 30, 5, 30]), [0, 0, 0, 0]);
}

#[test]
fn children_go_while_a_queue_grows_and_stay_while_it_drains() {
    assert_eq!(given_up(&[40, 80, 75, 60, 45, 44]), [2, 4, 6, 6, 6, 8]);
}

#[test]
fn half_of_all_slots_are_kept_whatever_the_queue() {
    assert_eq!(given_up(&[500; 20]).last(), Some(&20));
}

#[test]
fn places_come_back_one_by_one() {
    assert_eq!(given_up(&[40, 40, 0, 0, 0, 0, 0, 0]), [2, 4, 4, 3, 3, 2, 2, 1]);
}
