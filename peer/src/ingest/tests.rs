use std::net::UdpSocket;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;

/// More than any of these tests takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

async fn open(input: &str, options: ReadOptions) -> Result<Ingest, Failure> {
    Ingest::open(&input.parse().unwrap(), options, Clock::start()).await
}

fn at(rate: &str) -> ReadOptions {
    ReadOptions {
        rate: Some(rate.parse().unwrap()),
        repeat: false,
    }
}

/// Reads `len` bytes, or to the end.
async fn read(input: &mut Ingest, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut pieces = VecDeque::new();
    let mut latest = Time::ZERO;
    while bytes.len() < len && timeout(LONG, input.recv(&mut pieces)).await.unwrap().unwrap() {
        for piece in pieces.drain(..) {
            assert!(piece.read_at >= latest, "times go backwards");
            latest = piece.read_at;
            bytes.extend_from_slice(&piece.bytes);
        }
    }
    bytes
}

fn file(content: &[u8]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * n / 7 % 251) as u8).collect()
}

#[tokio::test]
async fn a_file_is_read_at_the_pace_given() {
    let content = noise(50_000);
    let (_dir, path) = file(&content);
    let started = Instant::now();
    let mut input = open(&path, at("2mbit")).await.unwrap();
    assert_eq!(read(&mut input, usize::MAX).await, content);
    // 400 kbit at 2 Mbit/s; the last piece is due when it begins.
    assert!(
        started.elapsed() > Duration::from_millis(180),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn what_only_looks_like_a_transport_stream_has_no_clock() {
    let mut content = noise(50_000);
    content.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    let (_dir, path) = file(&content);
    let failure = open(&path, ReadOptions::default()).await.unwrap_err();
    assert!(failure.to_string().contains("--rate"), "{failure}");
    let started = Instant::now();
    let mut input = open(&path, at("2mbit")).await.unwrap();
    assert_eq!(read(&mut input, usize::MAX).await, content);
    let took = started.elapsed();
    assert!(took > Duration::from_millis(180), "{took:?}");
}

#[tokio::test]
async fn a_file_starts_again_at_its_end() {
    let content = noise(3000);
    let (_dir, path) = file(&content);
    let options = ReadOptions {
        repeat: true,
        ..at("10mbit")
    };
    let mut input = open(&path, options).await.unwrap();
    let found = read(&mut input, 7500).await;
    assert_eq!(
        found[..7500],
        [&content[..], &content[..], &content[..1500]].concat()
    );
}

#[tokio::test]
async fn an_empty_file_ends_at_once() {
    let (_dir, path) = file(b"");
    let options = ReadOptions {
        rate: None,
        repeat: true,
    };
    let mut input = open(&path, options).await.unwrap();
    assert!(input.is_empty(LONG).await);
    assert_eq!(read(&mut input, 1).await, b"");
}

#[tokio::test]
async fn a_look_at_the_input_takes_nothing() {
    let content = noise(3000);
    let (_dir, path) = file(&content);
    let mut input = open(&path, at("10mbit")).await.unwrap();
    for _ in 0..2 {
        assert!(!input.is_empty(LONG).await);
    }
    assert_eq!(read(&mut input, usize::MAX).await, content);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let (dir, path) = file(&noise(10_000));
    let missing = format!("{path}.missing");
    for (input, part) in [
        (path.as_str(), "--rate"),
        (dir.path().to_str().unwrap(), "a folder"),
        (missing.as_str(), "no such file"),
        ("udp://203.0.113.1:5000", "203.0.113.1:5000"),
        ("udp://239.1.2.3:5000?if=eth0", "interface's address"),
    ] {
        let failure = open(input, ReadOptions::default()).await.unwrap_err();
        assert_eq!(failure.exit_code(), 2, "{failure}");
        assert!(failure.to_string().contains(part), "{input}: {failure}");
    }
}

/// A free port, and a socket to send to it from.
fn port() -> (u16, UdpSocket) {
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    (
        probe.local_addr().unwrap().port(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    )
}

#[tokio::test]
async fn datagrams_come_in_order() {
    let (port, sender) = port();
    let mut input = open(&format!("udp://127.0.0.1:{port}"), ReadOptions::default())
        .await
        .unwrap();
    let content = noise(20 * 1316);
    for datagram in content.chunks(1316) {
        sender.send_to(datagram, ("127.0.0.1", port)).unwrap();
    }
    assert_eq!(read(&mut input, content.len()).await, content);

    let taken = open(&format!("udp://127.0.0.1:{port}"), ReadOptions::default())
        .await
        .unwrap_err();
    assert!(taken.to_string().contains("in use"), "{taken}");
    // The thread sees that nobody wants the input any more, and the port is free again.
    drop(input);
    let again = async {
        while open(&format!("udp://127.0.0.1:{port}"), ReadOptions::default())
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn rtp_is_put_into_order_and_strangers_are_ignored() {
    let (port, sender) = port();
    let mut input = open(&format!("rtp://127.0.0.1:{port}"), ReadOptions::default())
        .await
        .unwrap();
    let packet = |number: u16| {
        let mut bytes = vec![0x80, 33];
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 1, 2, 3, 4]);
        bytes.extend(std::iter::repeat_n([&[0x47][..], &[number as u8; 187]].concat(), 7).flatten());
        bytes
    };
    for number in [100, 102, 101, 103, 103, 105] {
        sender.send_to(&packet(number), ("127.0.0.1", port)).unwrap();
        sender.send_to(b"garbage", ("127.0.0.1", port)).unwrap();
    }
    // 104 never comes; 105 is given out when patience ends.
    let found = read(&mut input, 5 * 1316).await;
    let numbers: Vec<u8> = found.chunks(1316).map(|payload| payload[1]).collect();
    assert_eq!(numbers, [100, 101, 102, 103, 105]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_multicast_group_is_joined() {
    let (port, sender) = port();
    let group = format!("udp://239.255.77.7:{port}?if=127.0.0.1");
    // Two programs on one machine may listen to the same group.
    let mut first = open(&group, ReadOptions::default()).await.unwrap();
    let mut second = open(&group, ReadOptions::default()).await.unwrap();
    let sender = socket2::Socket::from(sender);
    sender
        .set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST)
        .unwrap();
    let sender: UdpSocket = sender.into();
    sender.send_to(b"to the group", ("239.255.77.7", port)).unwrap();
    assert_eq!(read(&mut first, 12).await, b"to the group");
    assert_eq!(read(&mut second, 12).await, b"to the group");
}
