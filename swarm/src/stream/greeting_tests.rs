//! Tests of the greeting, on both sides.

use wire::message::{Greeting, MAX_GREETED};
use wire::{Bitrate, PeerId};

use super::super::Stream;
use super::super::testing::{Bench, addr, peer, record, stream_id};
use super::GREETING_EVERY;
use crate::io::Output;

/// The greetings handed over after a while: whom they name.
fn greetings(bench: &mut Bench, source: &mut Stream) -> Vec<Vec<PeerId>> {
    bench.out.clear();
    bench.now += GREETING_EVERY;
    source.renew_greeting(&mut bench.ctx());
    let named = |output| match output {
        Output::Greeting { greeting, .. } => Some(greeting.map_or(Vec::new(), |(message, frame)| {
            assert_eq!(wire::codec::encode(&message), frame);
            match *message {
                wire::Message::Greeting(greeting) => greeting.peers.iter().map(|r| r.peer).collect(),
                other => panic!("{other:?}"),
            }
        })),
        _ => None,
    };
    std::mem::take(&mut bench.out)
        .into_iter()
        .filter_map(named)
        .collect()
}

#[test]
fn a_stranger_is_told_of_who_has_room_and_only_news_is_handed_over() {
    let mut bench = Bench::new(Bitrate::from_kbps(30_000));
    let mut source = bench.source();
    assert_eq!(greetings(&mut bench, &mut source), Vec::<Vec<PeerId>>::new());
    bench.register(&mut source, 1, 20);
    bench.register(&mut source, 2, 0);
    assert_eq!(greetings(&mut bench, &mut source), [[peer(1)]]);
    assert_eq!(greetings(&mut bench, &mut source), Vec::<Vec<PeerId>>::new());
    bench.register(&mut source, 1, 0);
    assert_eq!(greetings(&mut bench, &mut source), [[]]);
}

fn greeting(peers: impl Iterator<Item = u8>) -> Greeting {
    Greeting {
        stream: stream_id(),
        peers: peers.map(|n| record(n, 20)).collect(),
    }
}

#[test]
fn who_is_named_along_with_the_handshake_is_dialled_before_the_answer() {
    let mut bench = Bench::new(Bitrate::from_kbps(30_000));
    let mut joiner = bench.joiner();
    bench.connect(250, 100);
    // From a stranger, and from the tracker before it is known as such, it means nothing.
    bench.dialled();
    joiner.on_greeting(&mut bench.ctx(), peer(250), greeting(1..4));
    assert_eq!(bench.dialled(), []);
    joiner.on_connected(&mut bench.ctx(), peer(250), addr(250), true, false);
    bench.dialled();
    joiner.on_greeting(&mut bench.ctx(), peer(9), greeting(1..4));
    assert_eq!(bench.dialled(), []);
    // Itself and who is connected already it does not dial.
    bench.connect(2, 20);
    let named = greeting([1, 2, 200, 3].into_iter());
    joiner.on_greeting(&mut bench.ctx(), peer(250), named.clone());
    assert_eq!(bench.dialled(), [Some(peer(1)), Some(peer(3))]);
    joiner.on_greeting(&mut bench.ctx(), peer(250), named);
    assert_eq!(bench.dialled(), []);
}

#[test]
fn a_poor_uplink_bears_few_handshakes_at_once() {
    let mut bench = Bench::new(Bitrate::from_kbps(600));
    let mut joiner = bench.joiner();
    bench.connect(250, 100);
    joiner.on_connected(&mut bench.ctx(), peer(250), addr(250), true, false);
    bench.dialled();
    joiner.on_greeting(&mut bench.ctx(), peer(250), greeting(1..=MAX_GREETED as u8));
    let dialled = bench.dialled().len();
    assert!((1..MAX_GREETED).contains(&dialled), "{dialled}");
}
