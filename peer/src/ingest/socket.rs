//! Datagrams: UDP and RTP, to one of this machine's addresses or to a multicast group.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use wire::Time;

use super::rtp::Receiver;
use super::spec::DatagramSource;
use super::{PieceSender, Unwanted, spawn};
use crate::error::{Failure, plain_io};

/// The largest datagram there is.
const DATAGRAM_MAX: usize = 64 * 1024;

/// Room in the kernel for a burst while this process does not run: 100 ms at 300 Mbit/s. The kernel may give less.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// How often the thread looks whether anybody still wants the input.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// How often it looks while packets wait to be put into order.
const LOOK_OFTEN: Duration = Duration::from_millis(5);

/// Starts to receive plain datagrams.
pub(super) async fn start_udp(from: &DatagramSource, out: PieceSender) -> Result<(), Failure> {
    let socket = open(from).await?;
    let name = format!("udp://{}", from.at);
    spawn(move || {
        let mut told = false;
        let done = receive(&socket, &out, |datagram, now| {
            deliver(&out, &mut told, Bytes::copy_from_slice(datagram), now)?;
            Ok(LOOK_AFTER)
        });
        if let Err(error) = done {
            out.fail(&name, &error);
        }
    })
}

/// Starts to receive MPEG-TS in RTP.
pub(super) async fn start_rtp(from: &DatagramSource, out: PieceSender) -> Result<(), Failure> {
    let socket = open(from).await?;
    let name = format!("rtp://{}", from.at);
    spawn(move || {
        if let Err(error) = receive_rtp(&socket, &out) {
            out.fail(&name, &error);
        }
    })
}

async fn open(from: &DatagramSource) -> Result<UdpSocket, Failure> {
    let refuse = |error: &io::Error| {
        Failure::input(format!(
            "datagrams cannot be received at {} ({}); name a free port on an address of this machine, or a multicast \
             group",
            from.at,
            plain_io(error)
        ))
    };
    let mut found = tokio::net::lookup_host((from.at.host(), from.at.port()))
        .await
        .map_err(|error| refuse(&error))?;
    let at = found
        .next()
        .ok_or_else(|| refuse(&ErrorKind::AddrNotAvailable.into()))?;
    bind(at, from.interface.as_deref()).map_err(|error| refuse(&error))
}

fn bind(at: SocketAddr, interface: Option<&str>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    // A smaller buffer than wished for is no reason not to run.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    if !at.ip().is_multicast() {
        socket.bind(&at.into())?;
        return Ok(socket.into());
    }
    // Other programs on this machine may listen to the group as well.
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(target_os = "solaris"), not(target_os = "illumos")))]
    socket.set_reuse_port(true)?;
    // Bound to the group itself where that is possible: else every other group at this port comes along.
    let everywhere: IpAddr = match at {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let to = if cfg!(unix) {
        at
    } else {
        SocketAddr::new(everywhere, at.port())
    };
    socket.bind(&to.into())?;
    let wrong = |why: &str| io::Error::new(ErrorKind::InvalidInput, why.to_owned());
    match at.ip() {
        IpAddr::V4(group) => {
            let on = match interface {
                None => Ipv4Addr::UNSPECIFIED,
                Some(text) => text
                    .parse()
                    .map_err(|_| wrong("for an IPv4 group, if= takes an interface's address"))?,
            };
            socket.join_multicast_v4(&group, &on)?;
        }
        IpAddr::V6(group) => {
            let on = match interface {
                None => 0,
                Some(text) => text
                    .parse()
                    .map_err(|_| wrong("for an IPv6 group, if= takes an interface's number"))?,
            };
            socket.join_multicast_v6(&group, on)?;
        }
    }
    Ok(socket.into())
}

/// Receives until nobody wants it any more. `act` gets each datagram, or an empty one when none came for a while, and
/// says how long to wait for the next.
fn receive(
    socket: &UdpSocket,
    out: &PieceSender,
    mut act: impl FnMut(&[u8], Time) -> Result<Duration, Unwanted>,
) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM_MAX];
    let mut wait = LOOK_AFTER;
    socket.set_read_timeout(Some(wait))?;
    while !out.is_unwanted() {
        let len = match socket.recv(&mut buffer) {
            Ok(len) => len,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error),
        };
        match act(&buffer[..len], out.clock.now()) {
            Err(Unwanted) => break,
            Ok(next) if next != wait => {
                wait = next;
                socket.set_read_timeout(Some(wait))?;
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Timeouts, and what the answer of a host that we never sent to may leave behind.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
    )
}

fn deliver(out: &PieceSender, told: &mut bool, bytes: Bytes, read_at: Time) -> Result<(), Unwanted> {
    if !bytes.is_empty() && !out.send_or_drop(bytes, read_at)? && !std::mem::replace(told, true) {
        tracing::warn!("datagrams come faster than this machine handles them: some are dropped");
    }
    Ok(())
}

fn receive_rtp(socket: &UdpSocket, out: &PieceSender) -> io::Result<()> {
    let mut receiver = Receiver::default();
    let mut ready = Vec::new();
    let (mut refused, mut told_loss, mut told_drop) = (BTreeSet::new(), false, false);
    receive(socket, out, |datagram, now| {
        if !datagram.is_empty()
            && let Err(why) = receiver.push(now, datagram, &mut ready)
            // A stranger can make up 128 payload types: told once each, and no more than that.
            && refused.insert(why)
        {
            tracing::warn!("{why}");
        }
        receiver.handle_deadline(now, &mut ready);
        if receiver.lost() > 0 && !std::mem::replace(&mut told_loss, true) {
            tracing::warn!("RTP packets are lost on the way here; the picture may suffer");
        }
        for (arrived, payload) in ready.drain(..) {
            deliver(out, &mut told_drop, payload, arrived)?;
        }
        Ok(if receiver.next_deadline().is_some() {
            LOOK_OFTEN
        } else {
            LOOK_AFTER
        })
    })
}
