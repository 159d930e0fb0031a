//! What it costs when a packet of a chunk is lost, for the tests of both models: they must agree.

use std::ops::Range;

/// How far apart the chunks of three packets are that go over a connection, in milliseconds; and by how many round trips of 80 ms those
/// are later, in the mean, that lose one. Measured with QUIC connections in virtual time, 20 000 chunks each: 1.26, 1.37, 1.77.
pub(crate) const COST: [(u64, Range<f64>); 3] = [(8, 1.15..1.35), (43, 1.25..1.5), (128, 1.55..1.9)];

/// By how much those of these chunks were later than the median that took clearly longer, in the mean. All in milliseconds.
pub(crate) fn cost_ms(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let usual = times[times.len() / 2];
    let late: Vec<f64> = times
        .iter()
        .map(|ms| ms - usual)
        .filter(|ms| *ms > 50.0)
        .collect();
    assert!(late.len() > 40, "{} of {}", late.len(), times.len());
    late.iter().sum::<f64>() / late.len() as f64
}
