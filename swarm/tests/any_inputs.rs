//! Whatever comes in, in whatever order and at whatever time: a node neither panics nor spins, and speaks only to those
//! it is connected to. `fuzz/` has the same as a target.

#[allow(unreachable_pub, reason = "the fuzz target uses it, too")]
mod anything;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_node_bears_anything(data in prop::collection::vec(any::<u8>(), 0..6_000)) {
        anything::live(&data);
    }
}
