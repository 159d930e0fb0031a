//! Inputs and drivers that several tests share.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use wire::Time;

use super::testcard::{TestCard, TestCardConfig};
use super::ts::PACKET;
use super::{Notice, Segment, Segmenter, SegmenterConfig};

const CARD_SECONDS: usize = 4;

/// So many seconds of the test stream at 1 Mbit/s with a key frame every 200 ms, up to four.
pub(super) fn card(seconds: usize) -> Vec<u8> {
    static CARD: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let config = TestCardConfig {
            gop: Duration::from_millis(200),
            ..TestCardConfig::default()
        };
        let card = TestCard::new(config).unwrap();
        let all = card.take_while(|burst| burst.at < Duration::from_secs(CARD_SECONDS as u64));
        all.flat_map(|burst| burst.bytes).collect()
    });
    CARD[..(seconds * 125_000).next_multiple_of(PACKET)].to_vec()
}

/// What a segmenter makes of an input that is read in pieces of `piece` bytes, one every `every`.
pub(super) struct Run {
    pub(super) segmenter: Segmenter,
    pub(super) segments: Vec<Segment>,
    pub(super) notices: Vec<Notice>,
}

impl Run {
    pub(super) fn new(input: &[u8], piece: usize, every: Duration) -> Run {
        let mut segmenter = Segmenter::new(SegmenterConfig::default());
        let mut segments = Vec::new();
        let mut now = Time::from_millis(1000);
        for data in input.chunks(piece) {
            while let Some(due) = segmenter.next_deadline().filter(|&due| due <= now) {
                segmenter.handle_deadline(due, &mut segments);
                assert!(
                    segmenter.next_deadline() != Some(due),
                    "the deadline at {due} must pass"
                );
            }
            segmenter.push(now, data, &mut segments);
            now += every;
        }
        segmenter.finish(now, &mut segments);
        let notices = segmenter.drain_notices();
        Run {
            segmenter,
            segments,
            notices,
        }
    }

    /// About the test stream's own pace.
    pub(super) fn live(input: &[u8]) -> Run {
        Run::new(input, 500, Duration::from_millis(4))
    }

    pub(super) fn output(&self) -> Vec<u8> {
        self.segments
            .iter()
            .flat_map(|segment| segment.payload.clone())
            .collect()
    }

    /// Offsets of the segments that a player can start with.
    pub(super) fn joins(&self) -> Vec<usize> {
        let mut at = 0;
        let mut joins = Vec::new();
        for segment in &self.segments {
            if segment.random_access {
                joins.push(at);
            }
            at += segment.payload.len();
        }
        joins
    }
}

/// The stream's packets, to be tampered with.
pub(super) fn packets_mut(stream: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    stream.chunks_exact_mut(PACKET)
}

pub(super) fn pid_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// Runs ffmpeg quietly on `input`, with arguments in which `@` stands for `input` and `%` for a file to write. Gives
/// what it wrote to that file and to standard error, or `None`, having said so, where there is no ffmpeg.
pub(super) fn ffmpeg(input: &[u8], arguments: &str) -> Option<(Vec<u8>, String)> {
    let directory = tempfile::tempdir().unwrap();
    let paths: [PathBuf; 2] = ["in", "out"].map(|name| directory.path().join(name));
    std::fs::write(&paths[0], input).unwrap();
    let command = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-nostdin", "-y"])
        .args(arguments.split_ascii_whitespace().map(|argument| match argument {
            "@" => paths[0].as_os_str(),
            "%" => paths[1].as_os_str(),
            other => other.as_ref(),
        }))
        .stdin(Stdio::null())
        .output();
    match command {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Some((std::fs::read(&paths[1]).unwrap_or_default(), said))
        }
        Err(error) => {
            println!("skipped: this needs ffmpeg, and running it failed: {error}");
            None
        }
    }
}
