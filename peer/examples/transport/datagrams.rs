//! Chunks in QUIC datagrams, cut and put together by hand, for comparison with streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::Connection;

use crate::run::age_ms;

/// Datagram number, chunk number, piece and pieces.
const HEADER: usize = 4 + 4 + 2 + 2;

/// Datagrams kept for those who ask: two seconds at 500 a second.
const KEPT: usize = 1024;

/// A datagram counts as missing when so many later ones came, as in QUIC.
const REORDER: u32 = 3;

/// Between two requests for the same datagram, and how many there are.
const ASK_AGAIN: Duration = Duration::from_millis(90);
const ASK_TIMES: u32 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Sender {
    connection: Connection,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u32,
    datagrams: VecDeque<(u32, Bytes)>,
}

impl Sender {
    /// Sends, and sends again what the other side asks for.
    pub(crate) fn start(connection: Connection) -> Self {
        let sender = Sender {
            connection,
            kept: Arc::default(),
        };
        let resender = sender.clone();
        tokio::spawn(async move {
            while let Ok(request) = resender.connection.read_datagram().await {
                for number in request.chunks_exact(4) {
                    let number = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
                    let kept = resender.kept.lock().expect("no panic inside");
                    let first = kept.datagrams.front().map_or(0, |(number, _)| *number);
                    let datagram = number
                        .checked_sub(first)
                        .and_then(|at| kept.datagrams.get(at as usize));
                    if let Some((_, datagram)) = datagram {
                        let _ = resender.connection.send_datagram(datagram.clone());
                    }
                }
            }
        });
        sender
    }

    pub(crate) fn send(&self, chunk_number: u32, chunk: &Bytes) -> anyhow::Result<()> {
        let room = self.connection.max_datagram_size().unwrap_or(1200) - HEADER;
        let pieces = chunk.len().div_ceil(room);
        let mut kept = self.kept.lock().expect("no panic inside");
        for (piece, bytes) in chunk.chunks(room).enumerate() {
            let mut datagram = BytesMut::with_capacity(HEADER + bytes.len());
            datagram.put_u32(kept.next);
            datagram.put_u32(chunk_number);
            datagram.put_u16(piece as u16);
            datagram.put_u16(pieces as u16);
            datagram.put_slice(bytes);
            let datagram = datagram.freeze();
            let number = kept.next;
            kept.datagrams.push_back((number, datagram.clone()));
            if kept.datagrams.len() > KEPT {
                kept.datagrams.pop_front();
            }
            kept.next += 1;
            self.connection.send_datagram(datagram)?;
        }
        Ok(())
    }
}

struct Missing {
    asked: u32,
    at: Instant,
}

pub(crate) async fn receive(connection: Connection, base: Instant, ask: bool) -> Vec<f64> {
    let mut delivery_ms = Vec::new();
    let mut chunks: BTreeMap<u32, (usize, BTreeMap<u16, Bytes>)> = BTreeMap::new();
    let mut next = 0u32;
    let mut missing: BTreeMap<u32, Missing> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            datagram = connection.read_datagram() => {
                let Ok(mut datagram) = datagram else { return delivery_ms };
                let header = datagram.split_to(HEADER);
                let number = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
                let chunk = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                let piece = u16::from_be_bytes([header[8], header[9]]);
                let pieces = usize::from(u16::from_be_bytes([header[10], header[11]]));
                missing.remove(&number);
                for lost in next..number {
                    missing.insert(lost, Missing { asked: 0, at: Instant::now() });
                }
                next = next.max(number + 1);
                let (held, parts) = chunks.entry(chunk).or_default();
                if parts.insert(piece, datagram).is_none() {
                    *held += 1;
                }
                if *held == pieces && let Some((_, parts)) = chunks.remove(&chunk) {
                    delivery_ms.extend(parts.get(&0).and_then(|first| age_ms(base, first)));
                }
            }
            _ = tick.tick() => {}
        }
        if !ask {
            continue;
        }
        let now = Instant::now();
        let mut request = BytesMut::new();
        for (number, lost) in &mut missing {
            let due =
                (lost.asked == 0 && number + REORDER < next) || (lost.asked > 0 && lost.at + ASK_AGAIN < now);
            if due && lost.asked < ASK_TIMES && request.len() < 1000 {
                lost.asked += 1;
                lost.at = now;
                request.put_u32(*number);
            }
        }
        if !request.is_empty() {
            let _ = connection.send_datagram(request.freeze());
        }
    }
}
