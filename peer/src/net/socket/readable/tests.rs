use std::future::poll_fn;
use std::time::Duration;

use quinn::udp::BATCH_SIZE;
use tokio::time::{Instant, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The number of datagrams that came, in one batch.
async fn receive(socket: &Arc<dyn AsyncUdpSocket>) -> usize {
    let mut memory = vec![0; 2048 * BATCH_SIZE];
    let mut bufs: Vec<_> = memory.chunks_mut(2048).map(IoSliceMut::new).collect();
    let mut meta = vec![RecvMeta::default(); BATCH_SIZE];
    let receive = poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta));
    let messages = timeout(PATIENCE, receive).await.unwrap().unwrap();
    let datagrams = |meta: &RecvMeta| meta.len.div_ceil(meta.stride.max(1));
    meta[..messages].iter().map(datagrams).sum()
}

#[tokio::test]
async fn every_datagram_comes_in_whether_it_was_waited_for_or_not() {
    let receiver = bound();
    let addr = receiver.local_addr().unwrap();
    let receiver = wrap(receiver, Departures::default()).unwrap();
    let sender = bound();
    for burst in [1, 1, BATCH_SIZE, BATCH_SIZE + 1, 3 * BATCH_SIZE, 1, 2] {
        for _ in 0..burst {
            sender.send_to(b"datagram", addr).unwrap();
        }
        let mut received = 0;
        while received < burst {
            received += receive(&receiver).await;
        }
        assert_eq!(received, burst);
    }
    // One that comes while somebody waits.
    let waiting = tokio::spawn(async move { receive(&receiver).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    sender.send_to(b"datagram", addr).unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_system_is_asked_again() {
    let socket = Arc::new(Readable::new(bound(), Departures::default()).unwrap());
    let mut poller = Arc::clone(&socket).create_io_poller();
    assert!(poll_fn(|cx| Poll::Ready(poller.as_mut().poll_writable(cx).is_ready())).await);
    for _ in 0..2 {
        let began = Instant::now();
        socket.full.store(true, Ordering::Relaxed);
        assert!(poll_fn(|cx| Poll::Ready(poller.as_mut().poll_writable(cx).is_pending())).await);
        let waited = poll_fn(|cx| poller.as_mut().poll_writable(cx));
        timeout(PATIENCE, waited).await.unwrap().unwrap();
        assert!(began.elapsed() >= RETRY);
    }
}

#[tokio::test]
async fn all_that_leaves_is_counted_with_its_headers() {
    let receiver = bound();
    let departures = Departures::default();
    let socket = Readable::new(bound(), departures.clone()).unwrap();
    let contents = [7; 2500];
    let send = |contents, segment_size| {
        let transmit = Transmit {
            destination: receiver.local_addr().unwrap(),
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        socket.try_send(&transmit)
    };
    send(&contents[..100], None).unwrap();
    assert_eq!(departures.take(), 128);
    assert_eq!(departures.take(), 0);
    // Three packets in one call, where the system can do that.
    if socket.max_transmit_segments() >= 3 {
        send(&contents, Some(1000)).unwrap();
        assert_eq!(departures.take(), 2500 + 3 * 28);
    }
}
