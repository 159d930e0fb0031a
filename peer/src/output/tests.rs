use std::time::Duration;

use crc::{CRC_32_MPEG_2, Crc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use wire::{Bitrate, Media, Seq, StreamInfo, Time};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn info(media: Media) -> StreamInfo {
    StreamInfo {
        session: Seq(1),
        revision: 0,
        started_at: Time::ZERO,
        substreams: 16,
        chunk_duration_us: 8000,
        rate: Bitrate::from_kbps(3500),
        media,
        title: "a <b> title".into(),
        private: false,
    }
}

fn packet(pid: u16, unit_start: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0x47,
        u8::from(unit_start) << 6 | (pid >> 8) as u8,
        pid as u8,
        0x10,
    ];
    packet.extend_from_slice(payload);
    packet.resize(188, 0xff);
    packet
}

fn table(id: u8, extension: u16, body: &[u8]) -> Vec<u8> {
    let mut section = vec![id, 0xb0, (body.len() + 9) as u8];
    section.extend_from_slice(&extension.to_be_bytes());
    section.extend_from_slice(&[0xc1, 0, 0]);
    section.extend_from_slice(body);
    let crc = Crc::<u32>::new(&CRC_32_MPEG_2).checksum(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section.insert(0, 0);
    section
}

/// The tables of a programme with one H.264 stream in PID 0x100.
fn tables() -> Vec<u8> {
    let pat = packet(0, true, &table(0, 1, &[0, 1, 0xe1, 0x50]));
    let pmt = packet(
        0x150,
        true,
        &table(2, 1, &[0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0]),
    );
    [pat, pmt].concat()
}

/// Chunk `number` of a stream with a frame in each chunk, and a key frame in each tenth: seven packets.
fn chunk(number: usize) -> (Bytes, bool) {
    let mut bytes = Vec::new();
    for part in 0..7 {
        let mut payload = if part == 2 {
            vec![0, 0, 1, 0xe0]
        } else {
            Vec::new()
        };
        payload.extend_from_slice(format!("chunk {number} part {part}").as_bytes());
        bytes.extend(packet(0x100, part == 2, &payload));
    }
    (bytes.into(), number.is_multiple_of(10))
}

fn push(outputs: &Outputs, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let (bytes, random_access) = chunk(number);
        outputs.push(bytes, random_access);
    }
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| chunk(number).0).collect()
}

async fn open(specs: &[&str]) -> Outputs {
    let specs: Vec<OutputSpec> = specs.iter().map(|text| text.parse().unwrap()).collect();
    let outputs = Outputs::open(&specs).await.unwrap();
    outputs.describe(&info(Media::MpegTs));
    outputs
}

/// Waits until `done` gives something.
async fn until<T>(mut done: impl FnMut() -> Option<T>) -> T {
    timeout(PATIENCE, async {
        loop {
            if let Some(value) = done() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it happens in time")
}

/// Asks like a simple player and reads the answer's head; what follows is the body as it is.
async fn get(outputs: &Outputs, path: &str) -> (String, TcpStream) {
    let addr = outputs.http_addrs().next().unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

async fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(PATIENCE, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

#[tokio::test]
async fn a_file_holds_the_stream_from_the_first_random_access_chunk_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ts");
    let outputs = open(&[path.to_str().unwrap()]).await;
    push(&outputs, 5..25);
    // Somebody tails it: it is there before the end.
    until(|| (std::fs::read(&path).unwrap() == expected(10..25)).then_some(())).await;
    push(&outputs, 25..300);
    let status = outputs.finish(PATIENCE).await;
    assert_eq!(std::fs::read(&path).unwrap(), expected(10..300));
    assert_eq!((status[0].bytes, status[0].skipped), (290 * 7 * 188, 0));
    assert!(status[0].closed && status[0].failure.is_none());
}

#[tokio::test]
async fn a_recording_that_is_ended_has_its_last_frame_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ts");
    let outputs = open(&[path.to_str().unwrap()]).await;
    push(&outputs, 0..12);
    assert!(outputs.recordings_ended(), "none is being ended");
    outputs.end_recordings();
    assert!(!outputs.recordings_ended());
    push(&outputs, 12..14);
    assert!(outputs.recordings_ended());
    outputs.finish(PATIENCE).await;
    let mut whole = expected(0..12);
    // Each chunk's first two packets belong to the frame that began in the chunk before.
    whole.extend_from_slice(&chunk(12).0[..2 * 188]);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}

#[tokio::test]
async fn two_players_at_once_each_begin_with_the_tables_and_a_key_frame() {
    let outputs = open(&["http://127.0.0.1:0"]).await;
    outputs.push(tables().into(), false);
    push(&outputs, 0..8);
    let (head, mut early) = get(&outputs, "/stream.ts").await;
    assert!(
        head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200"),
        "{head}"
    );
    assert!(head.contains("video/mp2t"), "{head}");
    // One random-access point so far, so nobody knows when the next will come: it starts with this one.
    let first = [tables(), expected(0..8)].concat();
    assert_eq!(read(&mut early, first.len()).await, first);

    push(&outputs, 8..35);
    let (_, late) = get(&outputs, "/stream.ts").await;
    until(|| (outputs.status()[0].players == 2).then_some(())).await;
    push(&outputs, 35..55);
    let status = outputs.finish(PATIENCE).await;
    assert_eq!(read_to_end(early).await, expected(8..55));
    // The points came in quick succession, so the late one was made to wait for the next.
    assert_eq!(read_to_end(late).await, [tables(), expected(40..55)].concat());
    assert_eq!(
        status[0].url.as_deref().map(|url| url.ends_with("/stream.ts")),
        Some(true)
    );
}

#[tokio::test]
async fn a_player_that_comes_before_the_stream_waits_for_it() {
    let outputs = Outputs::open(&["http://127.0.0.1:0".parse().unwrap()])
        .await
        .unwrap();
    let addr = outputs.http_addrs().next().unwrap();
    let mut player = TcpStream::connect(addr).await.unwrap();
    player
        .write_all(b"GET /stream.ts HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    outputs.describe(&info(Media::Opaque));
    outputs.describe(&info(Media::MpegTs));
    push(&outputs, 3..6);
    until(|| (outputs.status()[0].players == 1).then_some(())).await;
    push(&outputs, 6..23);
    outputs.finish(PATIENCE).await;
    let answer = read_to_end(player).await;
    assert!(answer.ends_with(&expected(10..23)));
}

#[tokio::test]
async fn the_pages_around_the_stream() {
    let outputs = open(&["http://127.0.0.1:0"]).await;
    push(&outputs, 0..1);
    let (head, body) = get(&outputs, "/").await;
    let page = String::from_utf8(read_to_end(body).await).unwrap();
    assert!(head.contains("text/html"), "{head}");
    assert!(
        page.contains("a &lt;b&gt; title") && page.contains("/stream.ts"),
        "{page}"
    );
    assert!(get(&outputs, "/other").await.0.contains("404"));
    let (head, _) = get(&outputs, "/stream.mkv").await;
    assert!(
        head.contains("307") && head.contains("location: /stream.ts"),
        "{head}"
    );

    let matroska = open(&["http://127.0.0.1:0"]).await;
    matroska.describe(&info(Media::Matroska));
    matroska.push(Bytes::from_static(b"cluster"), true);
    let (head, _) = get(&matroska, "/stream.mkv").await;
    assert!(head.contains("video/x-matroska"), "{head}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_player_that_does_not_read_disturbs_nobody_and_goes_on_at_a_key_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (good, slow, go) = (
        dir.path().join("good"),
        dir.path().join("slow"),
        dir.path().join("go"),
    );
    // It reads nothing until it is told to.
    let player = format!(
        "exec:sh -c 'while [ ! -e {} ]; do sleep 0.05; done; exec cat > {}'",
        go.display(),
        slow.display()
    );
    let outputs = open(&[good.to_str().unwrap(), &player]).await;
    // More than its queue and the pipe hold; the recording's thread gets time to follow.
    let mut next = 0;
    while next < 1500 {
        push(&outputs, next..next + 100);
        next += 100;
        until(|| (outputs.status()[0].bytes == next as u64 * 7 * 188).then_some(())).await;
    }
    let skipped = outputs.status()[1].skipped;
    assert!(skipped > 300, "{skipped}");
    std::fs::write(&go, b"").unwrap();
    let before = outputs.status()[1].bytes;
    until(|| (outputs.status()[1].bytes > before + 600 * 7 * 188).then_some(())).await;
    push(&outputs, 1505..1520);
    outputs.finish(PATIENCE).await;
    assert_eq!(std::fs::read(&good).unwrap().len(), (1500 + 15) * 7 * 188);
    let got = std::fs::read(&slow).unwrap();
    let until_full = (0..1500)
        .find(|&n| !got.starts_with(&expected(0..n + 1)))
        .unwrap();
    assert!(until_full > 1000, "{until_full}");
    assert_eq!(&got[until_full * 7 * 188..], expected(1510..1520));
}

#[cfg(unix)]
#[tokio::test]
async fn a_player_is_fed_tables_first_and_its_end_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let got = dir.path().join("got");
    let outputs = open(&[&format!("exec:sh -c 'cat > {}'", got.display())]).await;
    outputs.push(tables().into(), false);
    push(&outputs, 0..25);
    let status = outputs.finish(PATIENCE).await;
    // `finish` waits for the player to leave.
    assert_eq!(std::fs::read(&got).unwrap(), [tables(), expected(0..25)].concat());
    assert_eq!(status[0].failure, None);

    let mut outputs = open(&["exec:head -c 1000"]).await;
    push(&outputs, 0..25);
    timeout(PATIENCE, outputs.all_closed()).await.unwrap();
    let status = outputs.finish(PATIENCE).await;
    assert!(status[0].closed && status[0].failure.is_none(), "{status:?}");

    let mut outputs = open(&["exec:sh -c 'echo no such codec >&2; exit 3'"]).await;
    timeout(PATIENCE, outputs.all_closed()).await.unwrap();
    let failure = outputs.finish(PATIENCE).await[0].failure.clone().unwrap();
    assert!(
        failure.contains("the player sh ended") && failure.contains("no such codec"),
        "{failure}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_reader_that_goes_is_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let mut outputs = open(&[fifo.to_str().unwrap()]).await;
    let reader = {
        let fifo = fifo.clone();
        tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut first = vec![0; 2000];
            std::fs::File::open(fifo).unwrap().read_exact(&mut first).unwrap();
            first
        })
    };
    push(&outputs, 0..100);
    assert_eq!(reader.await.unwrap(), expected(0..2)[..2000]);
    push(&outputs, 100..110);
    timeout(PATIENCE, outputs.all_closed()).await.unwrap();
    let status = outputs.finish(PATIENCE).await;
    assert!(status[0].closed && status[0].failure.is_none(), "{status:?}");
}

#[tokio::test]
async fn datagrams_hold_seven_packets() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let outputs = open(&[&format!("udp://{}", receiver.local_addr().unwrap())]).await;
    outputs.push(tables().into(), false);
    push(&outputs, 9..30);
    let (mut got, mut lens) = (Vec::new(), Vec::new());
    let whole = [tables(), expected(10..30)].concat();
    while got.len() < whole.len() {
        let mut datagram = [0; 2000];
        let len = timeout(PATIENCE, receiver.recv(&mut datagram))
            .await
            .unwrap()
            .unwrap();
        got.extend_from_slice(&datagram[..len]);
        lens.push(len);
    }
    assert_eq!(got, whole);
    // Only the last one, which waited for more in vain, is smaller.
    assert_eq!(lens.pop(), Some(2 * 188));
    assert!(lens.iter().all(|&len| len == 7 * 188), "{lens:?}");
    outputs.finish(PATIENCE).await;
}

#[tokio::test]
async fn boxes_with_a_hole_are_left_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    for (media, whole) in [
        (Media::FragmentedMp4, &b"abef"[..]),
        (Media::MpegTs, &b"abcdef"[..]),
    ] {
        let outputs = open(&[path.to_str().unwrap()]).await;
        outputs.describe(&info(media));
        for (bytes, random_access, gap) in [("ab", true, false), ("cd", false, true), ("ef", true, false)] {
            if gap {
                outputs.gap();
            }
            outputs.push(bytes.into(), random_access);
        }
        outputs.finish(PATIENCE).await;
        assert_eq!(std::fs::read(&path).unwrap(), whole, "{media:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_said() {
    async fn check(specs: &[&str], part: &str) {
        let specs: Vec<OutputSpec> = specs.iter().map(|text| text.parse().unwrap()).collect();
        let error = Outputs::open(&specs).await.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    check(
        &[&format!("http://{}", taken.local_addr().unwrap())],
        "cannot offer the stream",
    )
    .await;
    check(&["/no/such/dir/out.ts"], "/no/such/dir/out.ts").await;
    check(
        &["exec:no-such-player-anywhere -"],
        "cannot start the player no-such-player-anywhere",
    )
    .await;
    check(&["udp://239.0.0.1:5000?if=3"], "interface's address").await;
    check(&["-", "-"], "twice").await;
}
