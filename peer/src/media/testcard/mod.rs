//! The built-in test stream: MPEG-TS with H.264 video of a test card, made here without any other program.

mod card;
mod cavlc;
mod font;
mod h264;
mod mux;
mod picture;
mod predict;
mod transform;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::ts::PACKET;
use card::Card;
use h264::{Encoder, QP_MAX, QP_MIN};
use mux::Mux;
use picture::Picture;

#[cfg(test)]
mod tests;

/// What the test stream is to be like.
#[derive(Clone, Debug)]
pub struct TestCardConfig {
    /// Bits a second of the whole multiplex, kept exactly by null packets. [`TestCard::BITRATE_MIN`] to
    /// [`TestCard::BITRATE_MAX`].
    pub bitrate: u64,
    /// Frames a second, 1 to 60.
    pub fps: u32,
    /// From key frame to key frame; at least one frame.
    pub gop: Duration,
    /// Packets are handed out in bursts of this length, 1 to 100 ms. Half a default chunk, so that chunks fill evenly.
    pub burst: Duration,
    /// Shown in the picture: letters, digits and a few signs, in capitals. The first 17 characters.
    pub title: String,
}

impl Default for TestCardConfig {
    fn default() -> Self {
        TestCardConfig {
            bitrate: 1_000_000,
            fps: 25,
            // A viewer starts with a key frame: the sooner one comes, the sooner it plays.
            gop: Duration::from_millis(320),
            burst: Duration::from_millis(4),
            title: "HEADWATER".to_owned(),
        }
    }
}

/// Why there can be no such test stream.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TestCardError {
    /// The bit rate is out of range.
    #[error("a test stream has 200 kbit/s to 100 Mbit/s, not {0} bit/s")]
    Bitrate(u64),
    /// The frame rate is out of range.
    #[error("a test stream has 1 to 60 frames a second, not {0}")]
    Fps(u32),
    /// The burst length is out of range.
    #[error("a test stream comes in bursts of 1 to 100 ms, not {0:?}")]
    Burst(Duration),
}

/// Packets and when they are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Due this long after the stream's start.
    pub at: Duration,
    /// Whole packets; at least one.
    pub bytes: Bytes,
}

/// The test stream, without end: an iterator over [`Burst`]s in order of time. The same configuration gives the same
/// bytes.
#[derive(Debug)]
pub struct TestCard {
    config: TestCardConfig,
    card: Card,
    picture: Picture,
    encoder: Encoder,
    mux: Mux,
    /// Frames drawn.
    frames: u64,
    /// Packets handed out.
    packets: u64,
    /// Bursts handed out, empty ones included.
    bursts: u64,
    /// Packet slot of the latest tables and of the latest clock reference.
    tables_at: Option<u64>,
    pcr_at: Option<u64>,
    /// Whether a PMT has to follow the PAT.
    pmt_due: bool,
    key_qp: u8,
    /// Bytes of the latest key frame.
    key_len: usize,
    delta_qp: u8,
}

/// Ticks of the PCR and of presentation times.
const PCR_HZ: u64 = 27_000_000;
const PTS_HZ: u64 = 90_000;

/// A frame is shown this long after its first bit is due: it must have arrived whole by then, key frames too.
const DECODER_DELAY: Duration = Duration::from_millis(500);
/// Of which a key frame may take this much.
const KEY_FRAME_TIME: Duration = Duration::from_millis(120);
/// With this much waiting to be sent, pictures are repeated until there is room again.
const BACKLOG_TIME: Duration = Duration::from_millis(160);

/// DVB wants the tables every 500 ms and the clock every 40 ms (ETSI TR 101 290).
const TABLES_EVERY: Duration = Duration::from_millis(250);
const PCR_EVERY: Duration = Duration::from_millis(30);

/// Share of the multiplex left to video: headers, tables and clock take about 5 %.
const VIDEO_SHARE_PERCENT: u64 = 92;

impl TestCard {
    /// Lowest bit rate, in bits a second: below it a key frame does not arrive in time even at its coarsest.
    pub const BITRATE_MIN: u64 = 200_000;
    /// Highest bit rate, in bits a second.
    pub const BITRATE_MAX: u64 = 100_000_000;

    /// A test stream at its beginning.
    pub fn new(config: TestCardConfig) -> Result<Self, TestCardError> {
        if !(Self::BITRATE_MIN..=Self::BITRATE_MAX).contains(&config.bitrate) {
            return Err(TestCardError::Bitrate(config.bitrate));
        }
        if !(1..=60).contains(&config.fps) {
            return Err(TestCardError::Fps(config.fps));
        }
        if !(Duration::from_millis(1)..=Duration::from_millis(100)).contains(&config.burst) {
            return Err(TestCardError::Burst(config.burst));
        }
        let card = Card::new(&config.title, config.fps);
        let picture = card.blank();
        Ok(TestCard {
            encoder: Encoder::new(&picture, config.fps),
            config,
            card,
            picture,
            mux: Mux::default(),
            frames: 0,
            packets: 0,
            bursts: 0,
            tables_at: None,
            pcr_at: None,
            pmt_due: false,
            key_qp: QP_MIN,
            key_len: usize::MAX,
            // Coarser than a viewer would notice after a second, when it has adjusted.
            delta_qp: 30,
        })
    }

    /// Frames from one key frame to the next.
    fn gop_frames(&self) -> u64 {
        let frames = self.config.gop.as_micros() as u64 * u64::from(self.config.fps) / 1_000_000;
        frames.max(1)
    }

    /// What the multiplex carries in this time.
    fn bytes_in(&self, time: Duration) -> usize {
        (u128::from(self.config.bitrate) * time.as_micros() / 8_000_000) as usize
    }

    /// When a packet slot begins, in ticks a second.
    fn slot_start(&self, slot: u64, hz: u64) -> u64 {
        let bits = u128::from(slot) * PACKET as u128 * 8;
        (bits * u128::from(hz) / u128::from(self.config.bitrate)) as u64
    }

    fn slots_in(&self, time: Duration) -> u64 {
        (self.bytes_in(time) / PACKET) as u64
    }

    /// Draws, encodes and queues the next frame.
    fn frame(&mut self) {
        let number = self.frames;
        self.frames += 1;
        let gop = self.gop_frames();
        let key = number.is_multiple_of(gop);
        let waiting = self.mux.backlog();
        self.card.draw(number, &mut self.picture);
        let unit = if key {
            let id = (number / gop % 2) as u32;
            self.key_frame(id, self.bytes_in(KEY_FRAME_TIME))
        } else if waiting > self.bytes_in(BACKLOG_TIME) {
            self.encoder.delta_frame(None, self.delta_qp)
        } else {
            let unit = self.encoder.delta_frame(Some(&self.picture), self.delta_qp);
            self.steer(waiting + unit.len());
            unit
        };
        let shown_at = u128::from(number) * u128::from(PTS_HZ) / u128::from(self.config.fps)
            + u128::from(PTS_HZ) * DECODER_DELAY.as_millis() / 1000;
        self.mux.push(unit, shown_at as u64, key);
    }

    /// As fine as fits into `budget` bytes, found by trying; later ones begin where the one before ended, or one step
    /// finer if that one left room for it: a step is worth about an eighth.
    fn key_frame(&mut self, id: u32, budget: usize) -> Vec<u8> {
        if self.key_len < budget * 4 / 5 {
            self.key_qp = (self.key_qp - 1).max(QP_MIN);
        }
        loop {
            let unit = self.encoder.key_frame(&self.picture, self.key_qp, id);
            self.key_len = unit.len();
            if unit.len() <= budget || self.key_qp == QP_MAX {
                return unit;
            }
            self.key_qp += 1;
        }
    }

    /// Adjusts the quantiser of frames between key frames to what waits after one of them.
    fn steer(&mut self, waiting: usize) {
        let frame = self.config.bitrate * VIDEO_SHARE_PERCENT / 100 / 8 / u64::from(self.config.fps);
        // Some of a frame's share is left over for key frames; two frames' worth waiting is too much.
        if waiting as u64 > 2 * frame {
            self.delta_qp = (self.delta_qp + 2).min(QP_MAX);
        } else if (waiting as u64) < frame * 3 / 4 {
            self.delta_qp = (self.delta_qp - 1).max(QP_MIN);
        }
    }

    /// Fills the next packet slot.
    fn packet(&mut self, out: &mut Vec<u8>) {
        let slot = self.packets;
        self.packets += 1;
        while self.slot_start(slot, PCR_HZ) >= self.frames * PCR_HZ / u64::from(self.config.fps) {
            self.frame();
        }
        let since = |at: Option<u64>| at.map_or(u64::MAX, |at| slot - at);
        if self.pmt_due {
            self.pmt_due = false;
            return self.mux.pmt(out);
        }
        // Right before a key frame as well, for players that start there.
        let key_frame = self.mux.at_key_frame() && since(self.tables_at) > 2;
        if key_frame || since(self.tables_at) >= self.slots_in(TABLES_EVERY) {
            self.tables_at = Some(slot);
            self.pmt_due = true;
            return self.mux.pat(out);
        }
        let pcr_due = self.mux.at_key_frame() || since(self.pcr_at) >= self.slots_in(PCR_EVERY);
        let pcr = pcr_due.then(|| self.slot_start(slot, PCR_HZ));
        if self.mux.video(pcr, out) {
            self.pcr_at = if pcr_due { Some(slot) } else { self.pcr_at };
        } else {
            mux::null(out);
        }
    }
}

impl Iterator for TestCard {
    type Item = Burst;

    /// Never `None`.
    fn next(&mut self) -> Option<Burst> {
        let mut bytes = Vec::new();
        while bytes.is_empty() {
            self.bursts += 1;
            let end = self.config.burst.as_micros() as u64 * self.bursts;
            while self.slot_start(self.packets, 1_000_000) < end {
                self.packet(&mut bytes);
            }
        }
        let at = self.config.burst.as_micros() as u64 * (self.bursts - 1);
        Some(Burst {
            at: Duration::from_micros(at),
            bytes: bytes.into(),
        })
    }
}
