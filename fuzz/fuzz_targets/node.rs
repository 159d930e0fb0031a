#![no_main]

extern crate headwater_coords as coords;
extern crate headwater_incentives as incentives;
extern crate headwater_wire as wire;

#[path = "../../swarm/tests/anything/mod.rs"]
mod anything;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    anything::live(data);
});
