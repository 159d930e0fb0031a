//! What real programs cannot do as a scenario says is refused before anything starts.

use crate::lab::content::Content;
use crate::scenario::{Fault, Network, Scenario, Source, Stream};

/// Most packets of the stream in a group that are needed: tables, and a picture to start with.
const LEAST_PACKETS: u64 = 4;

/// Refuses a scenario that the lab cannot run.
///
/// # Errors
/// One sentence with the key.
pub(crate) fn check(scenario: &Scenario) -> Result<(), String> {
    let (network, source) = (&scenario.network, &scenario.source);
    let (usual, usual_source) = (Network::default(), Source::default());
    let built_in = |key: &str, as_built: bool| {
        if as_built {
            Ok(())
        } else {
            Err(format!(
                "the lab cannot follow {key}: a real program has its own value; leave the key out"
            ))
        }
    };
    built_in(
        "network.max_neighbours",
        network.max_neighbours == usual.max_neighbours,
    )?;
    built_in(
        "source.max_neighbours",
        source.max_neighbours == usual_source.max_neighbours,
    )?;
    built_in(
        "network.idle_timeout_ms",
        network.idle_timeout_ms == usual.idle_timeout_ms,
    )?;
    built_in("network.ring_after_s", network.ring_after_s.is_none())?;
    check_stream(&scenario.stream)?;
    if scenario.peers.target_lag_ms.is_some_and(|lag| lag < 1.0) {
        return Err(
            "the lab cannot follow peers.target_lag_ms below 1: headwater watch takes milliseconds"
                .to_owned(),
        );
    }
    if scenario.earlier.is_some() {
        return Err("the lab cannot follow earlier: it has one stream".to_owned());
    }
    if !scenario.baselines.is_empty() {
        return Err("the lab cannot follow baselines: they are models, and no programs".to_owned());
    }
    if scenario
        .faults
        .iter()
        .any(|fault| matches!(fault, Fault::Upload { .. }))
    {
        return Err(
            "the lab cannot follow faults with kind = \"upload\": nobody can tell a running program that its uplink \
             has changed"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses a stream that real programs cannot be fed.
///
/// # Errors
/// One sentence with the key.
pub(crate) fn check_stream(stream: &Stream) -> Result<(), String> {
    if stream.chunk_ms.fract() != 0.0 || stream.chunk_ms < 1.0 {
        return Err(format!(
            "the lab cannot follow stream.chunk_ms = {}: headwater cast takes whole milliseconds",
            stream.chunk_ms
        ));
    }
    if Content::new(stream).group_begins(1) < LEAST_PACKETS {
        return Err(format!(
            "the lab cannot follow stream.gop_ms = {}: at this rate a group has no room for its tables",
            stream.gop_ms
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(set: &[&str]) -> Option<String> {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        check(&Scenario::load("planetlab", &set).unwrap()).err()
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        assert_eq!(said(&[]), None);
        assert_eq!(
            said(&[
                "churn={mean_session_s=60}",
                "peers.passive_share=0.5",
                "faults=[{kind='restart',at_s=1,away_s=2}]"
            ]),
            None
        );
        for (set, key) in [
            ("network.max_neighbours=12", "network.max_neighbours"),
            ("source.max_neighbours=12", "source.max_neighbours"),
            ("network.idle_timeout_ms=500", "network.idle_timeout_ms"),
            ("network.ring_after_s=5", "network.ring_after_s"),
            ("stream.chunk_ms=8.5", "stream.chunk_ms"),
            ("peers.target_lag_ms=0.5", "peers.target_lag_ms"),
            ("faults=[{kind='upload',at_s=1,share=0.5,factor=2}]", "upload"),
            ("baselines=['star']", "baselines"),
        ] {
            assert!(said(&[set]).is_some_and(|said| said.contains(key)), "{set}");
        }
        let slow = said(&["stream.rate='20kbit'", "stream.gop_ms=100"]);
        assert!(slow.is_some_and(|said| said.contains("stream.gop_ms")));
    }
}
