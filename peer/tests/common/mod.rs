//! A transport with its inputs, for tests on loopback.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test program uses a part, on real clocks"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater::clock::Clock;
use headwater::net::{NetConfig, Streams, Transport, Tuning};
use swarm::Input;
use tokio::sync::mpsc;
use wire::message::Ping;
use wire::{Chunk, ChunkFlags, ChunkHeader, Message, PeerId, SecretKey, Seq, Time};

/// Longer than anything on loopback takes on a busy machine, shorter than a test runner's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) transport: Transport,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) clock: Clock,
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// Two keys, the one with the smaller id first.
pub(crate) fn ordered_keys(a: u8, b: u8) -> (SecretKey, SecretKey) {
    let (a, b) = (key(a), key(b));
    if a.peer_id() < b.peer_id() { (a, b) } else { (b, a) }
}

impl Peer {
    pub(crate) fn new(identity: SecretKey) -> Self {
        Self::listening(identity, "127.0.0.1:0")
    }

    pub(crate) fn listening(identity: SecretKey, listen: &str) -> Self {
        Self::with(identity, &[listen], Tuning::default(), 512)
    }

    pub(crate) fn with(identity: SecretKey, listen: &[&str], tuning: Tuning, inputs: usize) -> Self {
        let id = identity.peer_id();
        let clock = Clock::start();
        let streams = Arc::new(Streams::default());
        let (sender, inputs) = mpsc::channel(inputs);
        let config = NetConfig {
            identity,
            listen: listen.iter().map(|addr| addr.parse().unwrap()).collect(),
            agent: "test".to_owned(),
            max_accepted: 64,
            tuning,
        };
        let transport = Transport::bind(config, clock, Arc::clone(&streams), sender).unwrap();
        Peer {
            id,
            transport,
            inputs,
            streams,
            clock,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.transport.local_addrs()[0]
    }

    /// The next input but reports of backlog.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            match tokio::time::timeout(PATIENCE, self.inputs.recv()).await {
                Ok(Some(Input::Backlog { .. })) => {}
                Ok(Some(input)) => return input,
                Ok(None) => panic!("the transport has ended"),
                Err(_) => panic!("nothing came"),
            }
        }
    }

    /// Fails if anything but backlog comes within `time`.
    pub(crate) async fn nothing_for(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(input) = tokio::time::timeout_at(end, self.inputs.recv()).await {
            assert!(matches!(input, Some(Input::Backlog { .. })), "{input:?}");
        }
    }

    pub(crate) async fn expect_connected(&mut self, from: PeerId) {
        match self.next().await {
            Input::Connected { peer, .. } if peer == from => {}
            other => panic!("{other:?}"),
        }
    }

    /// The peer says goodbye and goes.
    pub(crate) async fn expect_goodbye(&mut self, from: PeerId) {
        match self.next().await {
            Input::Message {
                message: Message::Bye(_),
                ..
            } => {}
            other => panic!("{other:?}"),
        }
        self.expect_disconnected(from).await;
    }

    pub(crate) async fn expect_disconnected(&mut self, from: PeerId) {
        match self.next().await {
            Input::Disconnected { peer, .. } if peer == Some(from) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// `a` dials `b`.
pub(crate) async fn connect(a: &mut Peer, b: &mut Peer) {
    assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
    a.expect_connected(b.id).await;
    b.expect_connected(a.id).await;
}

pub(crate) fn chunk(stream: &SecretKey, seq: u64, len: usize) -> Arc<Chunk> {
    let header = ChunkHeader {
        stream: stream.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::from_micros(seq),
        duration: Duration::from_millis(8),
        flags: ChunkFlags::default(),
    };
    Arc::new(Chunk::sign(header, Bytes::from(vec![seq as u8; len]), stream))
}

pub(crate) fn ping(nonce: u32) -> Message {
    Ping {
        nonce,
        ..Ping::default()
    }
    .into()
}

pub(crate) fn nonce_of(input: Input) -> u32 {
    match input {
        Input::Message {
            message: Message::Ping(ping),
            ..
        } => ping.nonce,
        other => panic!("{other:?}"),
    }
}

/// Waits until a transport runs no more tasks than these.
pub(crate) async fn settles(transport: &Transport, tasks: usize) {
    let end = Instant::now() + PATIENCE;
    while transport.stats().tasks > tasks {
        assert!(Instant::now() < end, "{:?}", transport.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
