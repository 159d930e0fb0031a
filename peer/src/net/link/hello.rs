//! The first message in each direction, and the version.

use std::net::SocketAddr;

use quic::CONTROL_PRIORITY;
use quinn::{Connection, RecvStream, SendStream};
use wire::message::Hello;
use wire::{Message, VERSIONS, codec};

use super::control::FrameReader;
use super::{Code, End};
use crate::net::Shared;
use crate::net::addrs::plain;

/// Opens the control stream and says hello. What is sent next may follow at once.
pub(super) async fn open(shared: &Shared, connection: &Connection) -> Result<(SendStream, RecvStream), End> {
    let (mut send, recv) = connection.open_bi().await?;
    greet(shared, connection, &mut send).await?;
    Ok((send, recv))
}

/// Waits for the control stream and the other side's hello, and says hello.
pub(super) async fn accept(
    shared: &Shared,
    connection: &Connection,
) -> Result<(Hello, SendStream, FrameReader), End> {
    let (mut send, recv) = connection.accept_bi().await?;
    let mut reader = FrameReader::new(recv);
    let frame = reader.next().await?.ok_or(End::Left)?;
    let hello = read(&frame)?;
    greet(shared, connection, &mut send).await?;
    Ok((hello, send, reader))
}

/// Reads a hello and agrees on the version.
pub(super) fn read(frame: &[u8]) -> Result<Hello, End> {
    match codec::decode(frame) {
        Ok(Message::Hello(hello)) => match wire::agree(VERSIONS, hello.versions) {
            Some(_) => Ok(hello),
            None => Err(End::Broken(Code::Version, "no common protocol version")),
        },
        _ => Err(End::Broken(Code::Protocol, "the first message is no hello")),
    }
}

/// What this side says first to somebody whom it sees there.
pub(in crate::net) fn of(shared: &Shared, observed: Option<SocketAddr>) -> Hello {
    Hello {
        versions: VERSIONS,
        features: 0,
        agent: shared.agent.clone(),
        listen: shared.local_addrs.iter().copied().collect(),
        observed,
    }
}

async fn greet(shared: &Shared, connection: &Connection, send: &mut SendStream) -> Result<(), End> {
    let hello = Message::from(of(shared, Some(plain(connection.remote_address()))));
    send.set_priority(CONTROL_PRIORITY)
        .map_err(|_| End::Broken(Code::Protocol, "the control stream was closed"))?;
    send.write_chunk(codec::encode(&hello).into()).await?;
    Ok(())
}
