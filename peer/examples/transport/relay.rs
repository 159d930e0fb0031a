//! A path between two UDP sockets: delay, loss, a rate and a queue. In threads of its own, because tokio's timers are
//! whole milliseconds.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// IPv4 and UDP headers: what a capped uplink counts beside the payload.
const HEADERS: u64 = 28;

/// One direction and the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Share of packets lost, in both directions.
    pub(crate) loss: f64,
    /// Bits a second on the way there; the way back is never narrow.
    pub(crate) rate: Option<u64>,
    /// What the bottleneck holds at most.
    pub(crate) queue: Duration,
}

/// Bytes of IP packets that entered the path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) there: AtomicU64,
    pub(crate) back: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// A path to `target`; whoever sends to the relay's address is the other end.
    pub(crate) fn start(path: Path, target: SocketAddr, seed: u64) -> std::io::Result<Relay> {
        let near = UdpSocket::bind("127.0.0.1:0")?;
        let far = UdpSocket::bind("127.0.0.1:0")?;
        let addr = near.local_addr()?;
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let source = Arc::new(Mutex::new(None));
        let mut threads = Vec::new();
        for there in [true, false] {
            let (from, to) = if there { (&near, &far) } else { (&far, &near) };
            let (packets, queue) = mpsc::channel();
            let receiver = Receiver {
                socket: from.try_clone()?,
                path,
                there,
                source: Arc::clone(&source),
                counters: Arc::clone(&counters),
                stop: Arc::clone(&stop),
                rng: ChaCha8Rng::seed_from_u64(seed * 2 + u64::from(there)),
            };
            threads.push(std::thread::spawn(move || receiver.run(&packets)));
            let socket = to.try_clone()?;
            let source = Arc::clone(&source);
            threads.push(std::thread::spawn(move || {
                for (at, packet) in queue {
                    let at: Instant = at;
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                    let to = if there {
                        Some(target)
                    } else {
                        *source.lock().expect("no panic inside")
                    };
                    if let Some(to) = to {
                        let packet: Vec<u8> = packet;
                        let _ = socket.send_to(&packet, to);
                    }
                }
            }));
        }
        Ok(Relay {
            addr,
            counters,
            stop,
            threads,
        })
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

struct Receiver {
    socket: UdpSocket,
    path: Path,
    there: bool,
    source: Arc<Mutex<Option<SocketAddr>>>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    rng: ChaCha8Rng,
}

impl Receiver {
    fn run(mut self, packets: &mpsc::Sender<(Instant, Vec<u8>)>) {
        let mut buffer = vec![0; 65_536];
        let mut free_at = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let now = Instant::now();
            let bytes = len as u64 + HEADERS;
            let counter = if self.there {
                *self.source.lock().expect("no panic inside") = Some(from);
                &self.counters.there
            } else {
                &self.counters.back
            };
            counter.fetch_add(bytes, Ordering::Relaxed);
            if self.rng.random_bool(self.path.loss) {
                continue;
            }
            let mut leaves = now;
            if let Some(rate) = self.path.rate.filter(|_| self.there) {
                if free_at > now + self.path.queue {
                    continue;
                }
                free_at = free_at.max(now) + Duration::from_nanos(bytes * 8_000_000_000 / rate);
                leaves = free_at;
            }
            if packets
                .send((leaves + self.path.delay, buffer[..len].to_vec()))
                .is_err()
            {
                return;
            }
        }
    }
}
