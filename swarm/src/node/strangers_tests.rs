use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use wire::{Bitrate, Media, SecretKey, Seq, StreamInfo, Time};

use super::super::Node;
use super::{LEAST_AT_ONCE, LONGEST, MOST_AT_ONCE};
use crate::Allowance;
use crate::config::NodeConfig;
use crate::io::{Input, Outbox, Output, Participation, PlayoutWish};

fn node(upload: Bitrate) -> Node {
    let key = SecretKey::from_bytes(&[200; 32]);
    let config = NodeConfig {
        peer: key.peer_id(),
        key,
        listen: vec![SocketAddr::from((Ipv4Addr::new(10, 0, 0, 200), 4_000))],
        upload,
        seed: 1,
        max_neighbours: 64,
        ring_after: None,
        split_above: crate::SPLIT_ABOVE,
    };
    Node::new(config, Time::ZERO)
}

fn publish() -> Input {
    let info = StreamInfo {
        session: Seq(0),
        revision: 1,
        started_at: Time::ZERO,
        substreams: 16,
        chunk_duration_us: 8_000,
        rate: Bitrate::from_kbps(1_000),
        media: Media::Opaque,
        title: String::new(),
        private: false,
    };
    Input::Publish {
        key: SecretKey::from_bytes(&[9; 32]),
        info,
    }
}

/// What the driver is told about strangers.
fn told(node: &mut Node, input: Input) -> Vec<Option<Allowance>> {
    let mut out = Outbox::new();
    node.handle(Time::from_millis(1), input, &mut out);
    let told = |output| match output {
        Output::Strangers(allowance) => Some(allowance),
        _ => None,
    };
    out.into_iter().filter_map(told).collect()
}

#[test]
fn a_peercaster_answers_so_many_that_the_stream_keeps_most_of_its_uplink() {
    let stream = SecretKey::from_bytes(&[9; 32]).stream_id();
    let mut node = node(Bitrate::from_kbps(17_500));
    let allowance = told(&mut node, publish());
    let [Some(Allowance { every, at_once })] = allowance[..] else {
        panic!("{allowance:?}");
    };
    // 0.15 of 17.5 Mbit/s are 170 of 1928 bytes.
    assert_eq!(Duration::from_secs(1).as_micros() / every.as_micros(), 170);
    assert_eq!(u64::from(at_once), MOST_AT_ONCE);
    // Another uplink, another number; the same uplink is not worth a word.
    let half = Input::Upload {
        rate: Bitrate::from_kbps(8_750),
    };
    let slower = told(&mut node, half.clone());
    assert!(
        matches!(slower[..], [Some(Allowance { every: slower, .. })] if slower > every),
        "{slower:?}"
    );
    assert_eq!(told(&mut node, half), []);
    assert_eq!(told(&mut node, Input::LeaveStream { stream }), [None]);
}

#[test]
fn however_little_uplink_there_is_somebody_is_let_in() {
    for upload in [Bitrate::ZERO, Bitrate::from_kbps(20)] {
        let allowance = told(&mut node(upload), publish());
        let [Some(Allowance { every, at_once })] = allowance[..] else {
            panic!("{allowance:?}");
        };
        assert_eq!((every, u64::from(at_once)), (LONGEST, LEAST_AT_ONCE));
    }
}

#[test]
fn a_viewer_answers_everybody() {
    let mut node = node(Bitrate::from_kbps(4_000));
    let join = Input::Join {
        stream: SecretKey::from_bytes(&[9; 32]).stream_id(),
        via: Vec::new(),
        participation: Participation::Consume(PlayoutWish::default()),
    };
    assert_eq!(told(&mut node, join), []);
    let rate = Bitrate::from_kbps(2_000);
    assert_eq!(told(&mut node, Input::Upload { rate }), []);
}
