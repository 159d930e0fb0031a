use proptest::prelude::*;

use super::*;

#[test]
fn arithmetic_saturates_instead_of_wrapping() {
    assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
    assert_eq!(Time::ZERO + Duration::MAX, Time::NEVER);
    assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
    assert_eq!(Time::ZERO.offset_by(-1), Time::ZERO);
    assert_eq!(Time::NEVER.offset_by(1), Time::NEVER);
    assert_eq!(Time::from_millis(u64::MAX), Time::NEVER);
    assert_eq!(Time::from_millis(1).since(Time::from_millis(2)), Duration::ZERO);
}

#[test]
fn units_and_text() {
    let time = Time::from_millis(1_234_567) + Duration::from_micros(89);
    assert_eq!((time.as_millis(), time.as_micros()), (1_234_567, 1_234_567_089));
    assert_eq!(time.to_string(), "1234.567089s");
}

proptest! {
    #[test]
    fn differences_have_the_right_sign(a in 0..u64::MAX / 4, us in -1_000_000_000i64..1_000_000_000) {
        let earlier = Time::from_micros(a + 1_000_000_000);
        let later = earlier.offset_by(us);
        prop_assert_eq!(later.signed_micros_since(earlier), us);
        prop_assert_eq!(later.since(earlier).as_micros() as i64, us.max(0));
        prop_assert_eq!(earlier + later.since(earlier), earlier.max(later));
    }
}
