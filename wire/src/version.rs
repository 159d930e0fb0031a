//! Which version of the protocol two peers speak.

/// The lowest and highest version that this build speaks, as it says in [`crate::message::Hello`].
pub const VERSIONS: (u16, u16) = (1, 1);

/// The highest version in both ranges; `None` when they have none in common or one of them is no range.
pub fn agree(ours: (u16, u16), theirs: (u16, u16)) -> Option<u16> {
    let lowest = ours.0.max(theirs.0);
    let highest = ours.1.min(theirs.1);
    (ours.0 <= ours.1 && theirs.0 <= theirs.1 && lowest <= highest).then_some(highest)
}

#[cfg(test)]
mod tests {
    use super::agree;

    #[track_caller]
    fn check(ours: (u16, u16), theirs: (u16, u16), expected: Option<u16>) {
        assert_eq!(agree(ours, theirs), expected);
        assert_eq!(agree(theirs, ours), expected, "both sides must come to the same");
    }

    #[test]
    fn the_highest_common_version() {
        check((1, 1), (1, 1), Some(1));
        check((1, 3), (2, 9), Some(3));
        check((1, 9), (2, 3), Some(3));
        check((1, 2), (3, 4), None);
        check((0, u16::MAX), (7, 7), Some(7));
    }

    #[test]
    fn a_range_that_is_none_agrees_with_nothing() {
        check((1, 9), (5, 3), None);
        check((5, 3), (5, 3), None);
    }
}
