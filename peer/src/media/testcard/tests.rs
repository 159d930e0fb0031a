use std::time::Duration;

use super::card::{Card, HEIGHT, WIDTH};
use super::h264::Encoder;
use super::{Burst, TestCard, TestCardConfig, TestCardError};
use crate::media::testing::{card, ffmpeg};
use crate::media::ts::{PACKET, PID_NULL, Packet};

fn bursts(config: TestCardConfig, seconds: u64) -> Vec<Burst> {
    let card = TestCard::new(config).unwrap();
    card.take_while(|burst| burst.at < Duration::from_secs(seconds))
        .collect()
}

fn stream(config: TestCardConfig, seconds: u64) -> Vec<u8> {
    bursts(config, seconds)
        .into_iter()
        .flat_map(|burst| burst.bytes)
        .collect()
}

#[test]
fn the_rate_is_constant() {
    let mut sent = 0;
    for burst in bursts(TestCardConfig::default(), 2) {
        let due = burst.at.as_secs_f64() * 1e6 / 8.0;
        assert!(
            (sent as f64 - due).abs() <= PACKET as f64,
            "{sent} bytes before {:?}",
            burst.at
        );
        assert_eq!(burst.bytes.len() % PACKET, 0);
        sent += burst.bytes.len();
    }
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let config = TestCardConfig {
        bitrate: 600_000,
        fps: 30,
        ..TestCardConfig::default()
    };
    assert_eq!(stream(config.clone(), 2), stream(config, 2));
}

#[test]
fn what_cannot_be_is_refused() {
    let config = TestCardConfig::default();
    let refused = |config| TestCard::new(config).err();
    assert_eq!(
        refused(TestCardConfig {
            bitrate: 1,
            ..config.clone()
        }),
        Some(TestCardError::Bitrate(1))
    );
    assert_eq!(
        refused(TestCardConfig {
            fps: 0,
            ..config.clone()
        }),
        Some(TestCardError::Fps(0))
    );
    let burst = Duration::ZERO;
    assert_eq!(
        refused(TestCardConfig { burst, ..config }),
        Some(TestCardError::Burst(burst))
    );
}

/// The clock and every frame's presentation time, as a receiver with a buffer of the usual kind sees them.
#[test]
fn every_frame_arrives_before_it_is_shown() {
    for bitrate in [TestCard::BITRATE_MIN, 1_000_000, 8_000_000] {
        let input = stream(
            TestCardConfig {
                bitrate,
                ..TestCardConfig::default()
            },
            4,
        );
        let (mut pts, mut frames, mut clock_at, mut longest) = (None::<f64>, 0, 0.0_f64, 0.0_f64);
        for (i, data) in input.chunks(PACKET).enumerate() {
            let packet = Packet::at(data).unwrap();
            let now = (i * PACKET * 8) as f64 / bitrate as f64;
            if let Some(pcr) = packet.pcr() {
                let error = pcr as f64 / 27e6 - now;
                assert!(error.abs() < 1e-6, "the clock is {error} s off");
                longest = longest.max(now - clock_at);
                clock_at = now;
            }
            if packet.pid() != 0x100 || packet.payload().is_empty() {
                continue;
            }
            if let Some(pes) = packet.pes_start() {
                frames += 1;
                let [a, b, c, d, e] = *pes[9..14].first_chunk::<5>().unwrap();
                let ticks = u64::from(a >> 1 & 7) << 30
                    | u64::from(b) << 22
                    | u64::from(c >> 1) << 15
                    | u64::from(d) << 7
                    | u64::from(e >> 1);
                pts = Some(ticks as f64 / 9e4);
            }
            assert!(
                pts.is_some_and(|pts| now < pts),
                "{bitrate} bit/s: at {now} s, shown at {pts:?}"
            );
        }
        assert!(frames >= 4 * 25 - 10, "{bitrate} bit/s: {frames} frames");
        // At the lowest rates, a packet alone takes 7 ms.
        assert!(
            longest < 0.045,
            "{bitrate} bit/s: {longest} s without a clock reference"
        );
    }
}

#[test]
fn a_high_rate_is_filled_up() {
    let input = stream(
        TestCardConfig {
            bitrate: 8_000_000,
            ..TestCardConfig::default()
        },
        1,
    );
    let nulls = input
        .chunks(PACKET)
        .filter(|data| Packet::at(data).unwrap().pid() == PID_NULL)
        .count();
    assert!(nulls * 2 > input.len() / PACKET, "{nulls} null packets");
}

#[test]
fn what_is_shown_is_close_to_what_was_drawn() {
    let card = Card::new("TEST", 25);
    let mut picture = card.blank();
    let mut encoder = Encoder::new(&picture, 25);
    for frame in 0..10 {
        card.draw(frame, &mut picture);
        if frame == 0 {
            encoder.key_frame(&picture, 26, 0);
        } else {
            encoder.delta_frame(Some(&picture), 26);
        }
        for (drawn, shown) in [(&picture.y, &encoder.shown().y), (&picture.u, &encoder.shown().u)] {
            let psnr = psnr(drawn.samples(), shown.samples());
            assert!(psnr > 36.0, "frame {frame}: {psnr} dB");
        }
    }
    let shown = encoder.shown().clone();
    encoder.delta_frame(None, 26);
    assert_eq!(*encoder.shown(), shown, "a repeated picture is the same picture");
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
        .sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares as f64).log10()
}

/// A decoder must show, bit for bit, what the encoder thinks it shows: any slip in a code table, the transform or a
/// prediction comes out here. Coarse and fine, since they use different tables.
#[test]
fn a_decoder_shows_what_the_encoder_thinks_it_shows() {
    for qp in [18, 23, 28, 34, 41, 51] {
        let card = Card::new("QUICK BROWN FOX", 25);
        let mut picture = card.blank();
        let mut encoder = Encoder::new(&picture, 25);
        let (mut video, mut shown) = (Vec::new(), Vec::new());
        for frame in 0..8 {
            card.draw(frame * 997, &mut picture);
            video.extend(match frame {
                0 | 5 => encoder.key_frame(&picture, qp, u32::from(frame == 5)),
                3 => encoder.delta_frame(None, qp),
                _ => encoder.delta_frame(Some(&picture), qp),
            });
            let now = encoder.shown();
            for (plane, size) in [(&now.y, 1), (&now.u, 2), (&now.v, 2)] {
                shown.extend_from_slice(&plane.samples()[..WIDTH / size * (HEIGHT / size)]);
            }
        }
        let arguments = "-f h264 -i @ -fps_mode passthrough -pix_fmt yuv420p -f rawvideo %";
        let Some((decoded, said)) = ffmpeg(&video, arguments) else {
            return;
        };
        assert_eq!(said, "", "quantiser {qp}");
        assert_eq!(decoded.len(), shown.len(), "quantiser {qp}");
        let wrong = decoded.iter().zip(&shown).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "quantiser {qp}");
    }
}

#[test]
fn a_player_has_nothing_to_complain_about() {
    let Some((_, said)) = ffmpeg(&card(4), "-f mpegts -i @ -f null -") else {
        return;
    };
    assert_eq!(said, "");
}
