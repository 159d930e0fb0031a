//! A UDP socket that wakes its endpoint for what comes in only.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quic::IP_UDP_HEADERS;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use super::Departures;

/// When the system takes no more packets, it is asked again after so long. Its buffer (see `BUFFER_BYTES`) holds many
/// times of what leaves meanwhile, so the link does not fall idle.
const RETRY: Duration = Duration::from_millis(1);

/// Makes the socket one for quinn, whose packets `departures` counts. It must not block.
pub(in crate::net) fn wrap(socket: UdpSocket, departures: Departures) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    Ok(Arc::new(Readable::new(socket, departures)?))
}

#[derive(Debug)]
struct Readable {
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    departures: Departures,
    /// The system took no more packets when last asked.
    full: AtomicBool,
}

impl Readable {
    #[expect(
        deprecated,
        reason = "it asks for what a standard socket keeps: to be the same descriptor for as long as it lives"
    )]
    fn new(socket: UdpSocket, departures: Departures) -> io::Result<Self> {
        Ok(Readable {
            departures,
            state: UdpSocketState::new((&socket).into())?,
            io: AsyncFd::with_interest(socket, Interest::READABLE)?,
            full: AtomicBool::new(false),
        })
    }
}

impl AsyncUdpSocket for Readable {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            socket: self,
            retry: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        match &sent {
            Ok(()) => self.departures.add(bytes_on_link(transmit)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.full.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(received) => {
                    // Linux fills all buffers unless there is nothing more, and tells of what comes later. There is no
                    // need to ask again.
                    if cfg!(target_os = "linux") && received < bufs.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(received));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// What a transmission takes with the headers of its packets.
fn bytes_on_link(transmit: &Transmit<'_>) -> u64 {
    let len = transmit.contents.len();
    let packets = transmit.segment_size.map_or(1, |size| len.div_ceil(size.max(1)));
    (len + packets * IP_UDP_HEADERS as usize) as u64
}

/// Waits for the system to take packets again, for one connection.
#[derive(Debug)]
struct Writable {
    socket: Arc<Readable>,
    retry: Option<Pin<Box<Sleep>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.socket.full.load(Ordering::Relaxed) {
            this.retry = None;
            return Poll::Ready(Ok(()));
        }
        let retry = this
            .retry
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(RETRY)));
        ready!(retry.as_mut().poll(cx));
        this.retry = None;
        // If it is still full, the next attempt says so.
        this.socket.full.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
