//! Tests of the watch over requests: an answer is overdue when it could have been here, and no sooner.

use std::time::Duration;

use wire::{Bitrate, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, K, addr, asked, ended, offer, peer};
use super::ANSWER_SLACK;
use crate::neighbour::UNPROVEN_TIMEOUT;

/// A viewer that peer 1 has called: it has asked that one for everything before the handshake is over, so that nobody knows how
/// far away it is. Peer 2 comes when there is nothing left to ask for.
fn called() -> (Bench, Stream) {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    let (now, caller) = (bench.now, peer(1));
    bench
        .neighbours
        .insert(now, caller, addr(1), vec![addr(1)], None, false);
    viewer.on_advert(&mut bench.ctx(), caller, offer(1));
    viewer.seek_parents(&mut bench.ctx());
    assert_eq!(asked(&bench.said(), caller), SubstreamSet::all(K));
    bench.connect(2, 20);
    viewer.on_advert(&mut bench.ctx(), peer(2), offer(1));
    (bench, viewer)
}

/// So much time passes, with a look at the requests every few milliseconds.
fn wait(bench: &mut Bench, viewer: &mut Stream, time: Duration) {
    let until = bench.now + time;
    while bench.now < until {
        bench.pass(5);
        viewer.watch_parents(&mut bench.ctx());
        viewer.seek_parents(&mut bench.ctx());
    }
}

#[test]
fn who_called_from_afar_is_not_distrusted_before_its_answer_can_be_here() {
    let (mut bench, mut viewer) = called();
    let rtt = Duration::from_millis(400);
    wait(&mut bench, &mut viewer, rtt);
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::EMPTY);
    // The end of the handshake and the answer come at the same time.
    assert!(bench.neighbours.prove(&peer(1), rtt));
    bench.agree(&mut viewer, 1, SubstreamSet::all(K));
    assert_eq!(ended(&bench.said(), peer(1)), SubstreamSet::EMPTY);
    assert_eq!(viewer.orphans(), SubstreamSet::EMPTY);
}

#[test]
fn once_it_is_known_how_far_away_it_is_an_answer_is_overdue_after_that_time() {
    let (mut bench, mut viewer) = called();
    let rtt = Duration::from_millis(40);
    wait(&mut bench, &mut viewer, rtt);
    assert!(bench.neighbours.prove(&peer(1), rtt));
    wait(&mut bench, &mut viewer, rtt / 2 + ANSWER_SLACK);
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::EMPTY);
    wait(&mut bench, &mut viewer, Duration::from_millis(10));
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::all(K));
}

#[test]
fn who_called_and_is_not_there_is_not_waited_for_until_the_handshake_fails() {
    let (mut bench, mut viewer) = called();
    wait(&mut bench, &mut viewer, UNPROVEN_TIMEOUT + ANSWER_SLACK);
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::EMPTY);
    wait(&mut bench, &mut viewer, Duration::from_millis(10));
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::all(K));
}
