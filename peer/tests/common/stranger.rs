//! Somebody who speaks QUIC and TLS rightly, and then whatever a test wants.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater::net::Tuning;
use headwater::net::tls::Tls;
use quinn::crypto::rustls::QuicClientConfig;
use wire::message::Hello;
use wire::{Message, SecretKey, codec};

/// Longer than anything on loopback takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn hello(versions: (u16, u16)) -> Vec<u8> {
    codec::encode(&Message::from(Hello {
        versions,
        ..Hello::default()
    }))
}

/// Somebody who speaks QUIC and TLS rightly and says `first` on the control stream.
pub(crate) async fn stranger(
    identity: &SecretKey,
    to: SocketAddr,
    first: &[u8],
) -> (quinn::Connection, quinn::SendStream, quinn::RecvStream) {
    stranger_opening(identity, to, first, None).await
}

/// The same with an opening along with the first packet.
pub(crate) async fn stranger_opening(
    identity: &SecretKey,
    to: SocketAddr,
    first: &[u8],
    opening: Option<&[u8]>,
) -> (quinn::Connection, quinn::SendStream, quinn::RecvStream) {
    let connection = opened_only(identity, to, opening).await;
    let (mut send, recv) = connection.open_bi().await.unwrap();
    send.write_all(first).await.unwrap();
    (connection, send, recv)
}

/// Somebody who has said nothing yet but an opening along with the first packet.
pub(crate) async fn opened_only(
    identity: &SecretKey,
    to: SocketAddr,
    opening: Option<&[u8]>,
) -> quinn::Connection {
    let crypto: QuicClientConfig = Tls::new(identity).unwrap().client(None, opening).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(Tuning::default().transport()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint
        .connect_with(config, to, "headwater")
        .unwrap()
        .await
        .unwrap()
}

pub(crate) async fn closed(connection: &quinn::Connection) -> String {
    tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .expect("the connection is to be closed")
        .to_string()
}
