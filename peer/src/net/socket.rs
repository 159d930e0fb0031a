//! UDP sockets for QUIC.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Asked of the system for each direction: 80 ms at 400 Mbit/s. Linux gives at most `net.core.rmem_max`.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Binds `addr`. An unspecified IPv6 address takes IPv4 as well if `dual_stack` and the system allows it.
pub(super) fn bind(addr: SocketAddr, dual_stack: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        let both = dual_stack && addr.ip().is_unspecified();
        if let Err(error) = socket.set_only_v6(!both) {
            tracing::debug!(%addr, %error, "the system decides whether IPv4 comes in here");
        }
    }
    // Smaller buffers work, too; they lose packets sooner when the machine is busy.
    for result in [
        socket.set_recv_buffer_size(BUFFER_BYTES),
        socket.set_send_buffer_size(BUFFER_BYTES),
    ] {
        if let Err(error) = result {
            tracing::debug!(%addr, %error, "socket buffer size");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
