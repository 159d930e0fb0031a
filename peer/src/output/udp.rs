//! `udp://`: MPEG-TS in datagrams of seven packets, to one host or a multicast group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::Alive;
use super::queue::Queue;
use super::spec::{Interface, UdpSpec};
use crate::error::plain_io;

/// Seven MPEG-TS packets: the most that fit an Ethernet frame, and what every receiver expects.
const DATAGRAM: usize = 7 * 188;

/// A part of a datagram waits this long for the rest; then it goes as it is. About two chunks: at live rates the rest
/// is there before, and a stream that pauses does not hold back its last packets.
const PARTIAL_WAIT: Duration = Duration::from_millis(20);

/// Opens a socket and sends to it.
///
/// # Errors
/// When the host has no address, or the socket cannot be set up as asked.
pub(super) async fn start(spec: &UdpSpec, queue: Queue, alive: Alive) -> io::Result<()> {
    let mut found = tokio::net::lookup_host((spec.to.host(), spec.to.port())).await?;
    // The first address is the one the system prefers; datagrams give no answer to try the next one by.
    let to = found.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = socket(spec, to)?;
    tokio::spawn(async move {
        run(&socket, to, queue).await;
        drop(alive);
    });
    Ok(())
}

fn socket(spec: &UdpSpec, to: SocketAddr) -> io::Result<UdpSocket> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    let ttl = u32::from(spec.ttl.unwrap_or(1));
    let any: IpAddr = match to.ip() {
        IpAddr::V4(ip) => {
            match spec.interface {
                Some(Interface::Address(address)) => socket.set_multicast_if_v4(&address)?,
                Some(Interface::Index(_)) => {
                    return Err(invalid("for an IPv4 group, if= takes an interface's address"));
                }
                None => {}
            }
            if ip.is_multicast() {
                socket.set_multicast_ttl_v4(ttl)?;
            } else if spec.ttl.is_some() {
                socket.set_ttl_v4(ttl)?;
            }
            Ipv4Addr::UNSPECIFIED.into()
        }
        IpAddr::V6(ip) => {
            match spec.interface {
                Some(Interface::Index(index)) => socket.set_multicast_if_v6(index)?,
                Some(Interface::Address(_)) => {
                    return Err(invalid("for an IPv6 group, if= takes an interface's number"));
                }
                None => {}
            }
            if ip.is_multicast() {
                socket.set_multicast_hops_v6(ttl)?;
            } else if spec.ttl.is_some() {
                socket.set_unicast_hops_v6(ttl)?;
            }
            Ipv6Addr::UNSPECIFIED.into()
        }
    };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

async fn run(socket: &UdpSocket, to: SocketAddr, mut queue: Queue) {
    let mut waiting = BytesMut::new();
    let mut failed = false;
    loop {
        let next = if waiting.is_empty() {
            Ok(queue.recv().await)
        } else {
            tokio::time::timeout(PARTIAL_WAIT, queue.recv()).await
        };
        let delivery = match next {
            Ok(Some(delivery)) => Some(delivery),
            // The end of the stream, or of patience: what there is goes.
            Ok(None) | Err(_) => {
                send(socket, to, &mut waiting, 1, &queue, &mut failed).await;
                if matches!(next, Ok(None)) {
                    return;
                }
                None
            }
        };
        let Some(delivery) = delivery else { continue };
        if delivery.begins {
            send(socket, to, &mut waiting, 1, &queue, &mut failed).await;
            waiting.extend_from_slice(&delivery.item.tables);
        }
        waiting.extend_from_slice(&delivery.item.bytes);
        send(socket, to, &mut waiting, DATAGRAM, &queue, &mut failed).await;
    }
}

/// Sends datagrams as long as at least `least` bytes are there for one.
async fn send(
    socket: &UdpSocket,
    to: SocketAddr,
    waiting: &mut BytesMut,
    least: usize,
    queue: &Queue,
    failed: &mut bool,
) {
    while waiting.len() >= least {
        let len = waiting.len().min(DATAGRAM);
        match socket.send_to(&waiting[..len], to).await {
            Ok(sent) => queue.shared().count_written(sent),
            // A receiver that is not there yet, or a cable that is out, may come back; datagrams are lost until then.
            Err(error) if !std::mem::replace(failed, true) => {
                tracing::warn!("sending to udp://{to} fails ({}); said once", plain_io(&error));
            }
            Err(_) => {}
        }
        waiting.advance(len);
    }
}
