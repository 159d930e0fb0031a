//! UDP sockets for QUIC.
//!
//! On Unix they are not quinn's own for tokio, because those are registered for being writable, too: then every packet
//! that leaves the machine wakes the program up, and nobody waits for it. Measured in `docs/results/cpu.md`.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

#[cfg(unix)]
mod readable;

#[cfg(unix)]
pub(super) use readable::wrap;

/// Makes the socket one for quinn. What leaves is not counted.
#[cfg(not(unix))]
pub(super) fn wrap(socket: UdpSocket, _: Departures) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
    quinn::Runtime::wrap_udp_socket(&quinn::TokioRuntime, socket)
}

/// Counts what leaves through all sockets of a node, in bytes of IP packets. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures(Arc<AtomicU64>);

impl Departures {
    /// What has left since the last call.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    #[cfg(unix)]
    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

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
