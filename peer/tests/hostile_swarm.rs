//! Strangers among real nodes that watch a real stream on loopback: the picture is unharmed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

#[path = "common/cast.rs"]
mod cast;
mod common;
#[path = "common/stranger.rs"]
mod stranger;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cast::{feed, info, node};
use common::{PATIENCE, Peer, chunk, key};
use futures_util::future::join_all;
use headwater::driver::{NodeHandle, StreamEvents, StreamItem};
use stranger::{closed, hello, stranger};
use swarm::{Event, Input, Participation, PlayoutWish};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::message::{Advert, Join, Leave, PeerRecord, Pong, Role, Subscribed};
use wire::{Bitrate, List, Message, PeerId, SecretKey, Seq, StreamId, SubstreamSet, VERSIONS, codec};

/// Four seconds and a half: the strangers come after the first.
const CHUNKS: u64 = 560;

/// What a viewer saw.
#[derive(Debug, Default)]
struct Seen {
    played: u64,
    late: u64,
    missed: u64,
    banned: Vec<PeerId>,
}

/// A source, and viewers who watch until the stream ends.
struct Cast {
    source: NodeHandle,
    stream: StreamId,
    feeding: JoinHandle<()>,
    viewers: Vec<(NodeHandle, JoinHandle<Seen>)>,
}

impl Cast {
    async fn begin(viewers: u8) -> Self {
        let secret = SecretKey::from_bytes(&[99; 32]);
        let stream = secret.stream_id();
        let source = node(1).await;
        let _own = source.publish(secret, info(&source)).await.unwrap();
        let feeding = tokio::spawn(feed(source.clone(), stream, CHUNKS));
        let mut watching = Vec::new();
        for n in 0..viewers {
            let viewer = node(10 + n).await;
            let wish = Participation::Consume(PlayoutWish::default());
            let via = source.local_addrs().to_vec();
            let events = viewer.join(stream, via, wish).await.unwrap();
            watching.push((viewer, tokio::spawn(watch(events))));
        }
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        Cast {
            source,
            stream,
            feeding,
            viewers: watching,
        }
    }

    /// The nodes that a stranger can dial.
    fn nodes(&self) -> Vec<NodeHandle> {
        let viewers = self.viewers.iter().map(|(viewer, _)| viewer.clone());
        std::iter::once(self.source.clone()).chain(viewers).collect()
    }

    /// Waits for the end. Nobody may have seen a gap, nor blamed anybody but `strangers`.
    async fn end(self, least: f64, strangers: &[PeerId]) -> Vec<Seen> {
        self.feeding.await.unwrap();
        let mut all = Vec::new();
        for (viewer, watching) in self.viewers {
            let seen = watching.await.unwrap();
            let continuity = (seen.played - seen.late) as f64 / (seen.played + seen.missed) as f64;
            assert!(seen.played > CHUNKS / 2 && continuity >= least, "{seen:?}");
            assert!(
                seen.banned.iter().all(|peer| strangers.contains(peer)),
                "{seen:?}"
            );
            viewer.shutdown().await;
            all.push(seen);
        }
        self.source.shutdown().await;
        all
    }
}

async fn watch(mut events: StreamEvents) -> Seen {
    let mut seen = Seen::default();
    let end = tokio::time::Instant::now() + 2 * PATIENCE;
    while let Ok(Some(item)) = tokio::time::timeout_at(end, events.recv()).await {
        match item {
            StreamItem::Chunk { in_time, .. } => {
                seen.played += 1;
                seen.late += u64::from(!in_time);
            }
            StreamItem::Gap { from, to } => seen.missed += from.behind(to),
            StreamItem::Event(Event::Banned { peer, .. }) => seen.banned.push(peer),
            StreamItem::Event(Event::Ended { .. }) => return seen,
            StreamItem::Event(_) => {}
        }
    }
    panic!("no end: {seen:?}");
}

async fn standing(of: PeerId, at: &NodeHandle) -> Option<f64> {
    let (stats, _) = at.stats().await.unwrap();
    let link = stats.neighbours.iter().find(|link| link.peer == of)?;
    Some(link.standing)
}

/// Waits until it is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !so().await {
        assert!(tokio::time::Instant::now() < end, "it does not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends one chunk on a stream of its own.
async fn push(connection: &quinn::Connection, frame: &[u8]) {
    let mut uni = connection.open_uni().await.unwrap();
    // The other side may have had enough already.
    let _ = uni.write_all(frame).await;
    let _ = uni.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_chunks_cost_standing_and_then_the_connection() {
    let cast = Cast::begin(3).await;
    let (secret, stream) = (&key(77), cast.stream);
    let id = secret.peer_id();
    let attack = async |node: NodeHandle| {
        let at = node.local_addrs()[0];
        let (connection, _send, _recv) = stranger(secret, at, &hello(VERSIONS)).await;
        until(async || standing(id, &node).await == Some(1.0)).await;
        // Signed by another key, with the stream's tag.
        let good = chunk(&key(98), 7, 1000);
        let mut frame = [&good.encode_header(1, false)[..], &good.payload()[..]].concat();
        frame[2..6].copy_from_slice(&stream.tag().to_be_bytes());
        push(&connection, &frame).await;
        until(async || standing(id, &node).await.is_some_and(|left| left < 0.5)).await;
        push(&connection, &frame).await;
        closed(&connection).await;
        assert_eq!(standing(id, &node).await, None);
        let (stats, _) = node.stats().await.unwrap();
        assert_eq!(stats.bytes_rejected, 2 * frame.len() as u64);
        // It is not let in again.
        let (connection, _send, _recv) = stranger(secret, at, &hello(VERSIONS)).await;
        closed(&connection).await;
        assert_eq!(standing(id, &node).await, None);
    };
    join_all(cast.nodes().into_iter().map(attack)).await;
    let seen = cast.end(1.0, &[id]).await;
    assert!(seen.iter().all(|seen| seen.banned == [id]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn babble_floods_and_over_long_messages() {
    let cast = Cast::begin(2).await;
    let (babbler, flooder, boaster) = (key(71), key(72), key(73));
    let strangers = [babbler.peer_id(), flooder.peer_id(), boaster.peer_id()];
    let attack = async |node: NodeHandle| {
        let at = node.local_addrs()[0];
        // Unknown kinds are for later versions; bodies that do not decode are not.
        let (connection, mut send, _recv) = stranger(&babbler, at, &hello(VERSIONS)).await;
        send.write_all(&[0, 0, 0, 2, 250, 7].repeat(100)).await.unwrap();
        until(async || standing(strangers[0], &node).await == Some(1.0)).await;
        let _ = send.write_all(&[0, 0, 0, 2, 13, 7].repeat(4)).await;
        closed(&connection).await;

        let (connection, mut send, _recv) = stranger(&boaster, at, &hello(VERSIONS)).await;
        until(async || standing(strangers[2], &node).await == Some(1.0)).await;
        // A length is all it takes.
        send.write_all(&(u32::MAX / 2).to_be_bytes()).await.unwrap();
        closed(&connection).await;

        let (connection, mut send, _recv) = stranger(&flooder, at, &hello(VERSIONS)).await;
        until(async || standing(strangers[1], &node).await.is_some()).await;
        let stream = key(9).stream_id();
        let flood = codec::encode(&Message::from(Leave { stream })).repeat(1_000);
        let flooding = tokio::spawn(async move { while send.write_all(&flood).await.is_ok() {} });
        closed(&connection).await;
        flooding.await.unwrap();
        assert_eq!(standing(strangers[1], &node).await, None);
    };
    join_all(cast.nodes().into_iter().map(attack)).await;
    let seen = cast.end(1.0, &strangers).await;
    for seen in &seen {
        assert!(
            seen.banned.contains(&strangers[0]) && seen.banned.contains(&strangers[1]),
            "{seen:?}"
        );
    }
}

/// The best supplier there is, by its own word.
fn boast(stream: StreamId) -> (Join, Advert) {
    let join = Join {
        stream,
        record: PeerRecord {
            peer: PeerId::from_bytes([0; 32]),
            addrs: List::default(),
            coord: coords::Coord::default(),
            role: Role::Donor,
            slots: 1_000,
            free_slots: 1_000,
            primaries: SubstreamSet::all(16),
            leaves: SubstreamSet::EMPTY,
            has: SubstreamSet::all(16),
            lag_ms: Some(0),
        },
        want: 40,
        need: SubstreamSet::EMPTY,
        upload: Bitrate::from_kbps(1_000_000),
        known: None,
        promised: 0,
    };
    let advert = Advert {
        stream_tag: stream.tag(),
        head: Seq(u64::MAX),
        random_access_behind: Some(0),
        held: u32::MAX,
        lags_ms: (0..16).map(|_| 0).collect(),
        slots: 1_000,
        free_slots: 1_000,
        primaries: SubstreamSet::all(16),
        leaves: SubstreamSet::EMPTY,
        takers: None,
        backlog_ms: 0,
        copy_time_10us: 0,
        role: Role::Donor,
    };
    (join, advert)
}

/// Calls whom it is told of, accepts whatever is asked, sends nothing, and counts how often it was asked.
async fn promise(
    mut peer: Peer,
    stream: StreamId,
    asked: Arc<AtomicU64>,
    mut to_call: mpsc::UnboundedReceiver<NodeHandle>,
) {
    let (join, advert) = boast(stream);
    loop {
        let input = tokio::select! {
            Some(node) = to_call.recv() => {
                assert!(peer.transport.connect(Some(node.peer()), node.local_addrs().to_vec(), &[]));
                continue;
            }
            input = peer.inputs.recv() => input,
        };
        let Some(input) = input else { break };
        match input {
            Input::Connected { peer: who, .. } => {
                peer.transport.send(&who, &join.clone().into());
                peer.transport.send(&who, &advert.clone().into());
            }
            Input::Message { from, message, .. } => match message {
                Message::Ping(ping) => {
                    let pong = Pong {
                        nonce: ping.nonce,
                        sent_at: ping.sent_at,
                        ..Pong::default()
                    };
                    peer.transport.send(&from, &pong.into());
                }
                Message::Advert(_) => {
                    peer.transport.send(&from, &advert.clone().into());
                }
                Message::Subscribe(m) => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let substreams = m.substreams;
                    peer.transport
                        .send(&from, &Subscribed { stream, substreams }.into());
                }
                _ => {}
            },
            Input::Disconnected { .. } if peer.transport.stats().connections == 0 => break,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_promises_and_never_sends() {
    let cast = Cast::begin(3).await;
    let peer = Peer::new(key(78));
    let id = peer.id;
    let (call, to_call) = mpsc::unbounded_channel();
    for node in cast.nodes() {
        call.send(node).unwrap();
    }
    let asked = Arc::new(AtomicU64::new(0));
    let promising = tokio::spawn(promise(peer, cast.stream, asked.clone(), to_call));
    // A newcomer knows nobody yet, and believes it most; if it finds others sooner the next one may not.
    let mut newcomers = Vec::new();
    for n in 0..12 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        if asked.load(Ordering::Relaxed) > 0 {
            break;
        }
        let newcomer = node(50 + n).await;
        let wish = Participation::Consume(PlayoutWish::default());
        let via = cast.source.local_addrs().to_vec();
        let events = newcomer.join(cast.stream, via, wish).await.unwrap();
        call.send(newcomer.clone()).unwrap();
        newcomers.push((newcomer, tokio::spawn(watch(events))));
    }
    cast.end(0.99, &[id]).await;
    for (newcomer, late) in newcomers {
        let seen = late.await.unwrap();
        assert!(seen.played > 50, "{seen:?}");
        newcomer.shutdown().await;
    }
    tokio::time::timeout(PATIENCE, promising).await.unwrap().unwrap();
    assert!(
        asked.load(Ordering::Relaxed) > 0,
        "nobody believed it, so this proves nothing"
    );
}
