use std::time::Duration;

use coords::Coord;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use swarm::{LinkStats, NodeStats, PlayoutWish, Preference, StreamStats, SubstreamStats, TrustStats};
use wire::message::Role;
use wire::{Bitrate, Media, PeerId, Seq, StreamId, StreamInfo, SubstreamSet, Time};

use super::*;
use crate::cli::LogPane;
use crate::output::OutputStatus;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n.wrapping_mul(37); 32])
}

fn stream() -> StreamId {
    StreamId::from_bytes([9; 32])
}

/// A node `second` seconds into a stream of 16 substreams with 12 neighbours.
fn stats(second: u64, title: &str) -> NodeStats {
    let link = |n: u8| LinkStats {
        peer: peer(n),
        addr: format!("192.168.100.{n}:{}", 40_000 + u16::from(n))
            .parse()
            .unwrap(),
        rtt_ms: 10.0 * f64::from(n),
        bytes_in: second * 30_000 * u64::from(n % 4),
        bytes_out: second * 20_000,
        role: if n == 1 { Role::Peercaster } else { Role::Consumer },
        standing: 1.0,
        trust: Some(1_000_000 * i64::from(n)),
        supplies: if n < 5 {
            SubstreamSet(0xf << (4 * (n - 1)))
        } else {
            SubstreamSet::EMPTY
        },
        supplied: SubstreamSet(5),
    };
    let substream = |n: u8| SubstreamStats {
        parent: (n != 7).then(|| peer(1 + n / 4)),
        children: u16::from(n % 3),
        lag_ms: (n != 8).then_some(60.0 + 60.0 * f64::from(n)),
        hops: 2,
    };
    NodeStats {
        coord: Coord::default(),
        neighbours: (1..=12).map(link).collect(),
        streams: vec![StreamStats {
            stream: Some(stream()),
            info: Some(StreamInfo {
                session: Seq(1),
                revision: 0,
                started_at: Time::ZERO,
                substreams: 16,
                chunk_duration_us: 8000,
                rate: Bitrate::from_kbps(3500),
                media: Media::MpegTs,
                title: title.into(),
                private: false,
            }),
            target_lag_ms: Some(150.0),
            lag_ms: Some(118.0 + (second % 20) as f64),
            arrival_ms: Some(61.0),
            clock_error_ms: Some(0.4),
            buffer_ms: 140,
            chunks_played: 125 * second,
            chunks_missed: second / 10,
            bytes_in: second * 437_500,
            bytes_out: second * 500_000,
            slots: 14,
            slots_used: 9,
            substreams: (0..16).map(substream).collect(),
            ..StreamStats::default()
        }],
        trust: Some(TrustStats {
            owed_to_me: 78_000_000,
            owed_by_me: 5_000_000,
            spendable: 70_000_000,
            shifts: 1,
            ..TrustStats::default()
        }),
        ..NodeStats::default()
    }
}

fn state(title: &str) -> State {
    let link = format!("headwater:{}?via=127.0.0.1:4000&title={title}", stream());
    let mut state = State::new(stream(), peer(200), link, LogPane::default());
    for (name, ms) in [
        ("connect", 12),
        ("coordinate", 24),
        ("ring", 25),
        ("tracker", 31),
        ("first chunk", 64),
        ("playing", 182),
    ] {
        state.step_done(name, Duration::from_millis(ms));
    }
    state.phase = Phase::Playing;
    state.outputs.push(OutputStatus {
        name: "http://127.0.0.1:4123".into(),
        url: Some("http://127.0.0.1:4123/stream.ts".into()),
        players: 2,
        bytes: 1_234_567,
        skipped: 0,
        closed: false,
        failure: None,
    });
    for second in 0..200 {
        state.update(Duration::from_secs(second), &stats(second, title));
    }
    state
}

fn draw(state: &State, view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render(state, view, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height)
        .map(|y| {
            (0..width)
                .map(|x| buffer[(x, y)].symbol())
                .collect::<String>()
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn check_shows(screen: &[String], parts: &[&str]) {
    for part in parts {
        assert!(
            screen.iter().any(|line| line.contains(part)),
            "{part:?} is not on\n{}",
            screen.join("\n")
        );
    }
}

#[test]
fn a_terminal_of_80x24_shows_what_matters() {
    let screen = draw(&state("Test card"), &View::default(), 80, 24);
    check_shows(
        &screen,
        &[
            "headwater · Test card",
            "● playing 03:19",
            "headwater:beeqs",
            "mpv http://127.0.0.1:4123/stream.ts",
            "lag 137 ms",
            "arrival 61 ms",
            "target 150 ms",
            "substreams 15/16",
            "continuity 99.9",
            "buffer",
            "3.50 Mbit/s",
            "19 missed",
            "neighbours 12",
            "192.168.100.1:40001",
            "source",
            "4-7",
            "q quit",
            "prefer balanced",
        ],
    );
    // No neighbour's line is broken by the frame.
    assert!(
        screen.iter().filter(|line| line.contains("192.168.100.")).count() >= 5,
        "{}",
        screen.join("\n")
    );
}

#[test]
fn a_large_terminal_shows_the_start_up_and_the_log_too() {
    let mut state = state("Test card");
    state.notify(state.elapsed, "target lag 150 ms".into());
    let screen = draw(&state, &View::default(), 160, 50);
    check_shows(
        &screen,
        &[
            "✔ connect",
            "0.012 s",
            "✔ playing",
            "0.182 s",
            " log ",
            "192.168.100.12:40012",
            "target lag 150 ms",
            "9 of 14 in use",
        ],
    );
}

#[test]
fn a_shortage_is_named_for_as_long_as_it_lasts() {
    let mut state = state("Test card");
    state.stats.no_room = 3;
    let screen = draw(&state, &View::default(), 160, 50);
    assert!(
        !screen.iter().any(|line| line.contains("too little for all")),
        "{screen:?}"
    );
    state.shortage = true;
    let screen = draw(&state, &View::default(), 160, 50);
    check_shows(&screen, &["too little for all: 3 of 16"]);
}

#[test]
fn steps_appear_as_they_happen() {
    let mut state = State::new(stream(), peer(200), "headwater:x".into(), LogPane::default());
    state.step_done("tracker", Duration::from_millis(40));
    // On a lower screen those that are done make room for those to come.
    let screen = draw(&state, &View::default(), 80, 30);
    check_shows(
        &screen,
        &[
            "◌ joining 00:00",
            "✔ connect",
            "✔ tracker",
            "0.040 s",
            "○ first chunk",
            "○ playing",
        ],
    );
    check_shows(&screen, &["measuring", "none yet"]);
    assert!(
        !screen.iter().any(|line| line.contains("ring ")),
        "the way did not lead over the ring"
    );
    state.step_done("tracker", Duration::from_millis(90));
    check_shows(&draw(&state, &View::default(), 80, 24), &["0.040 s"]);

    state.phase = Phase::Waiting("the peercaster has gone; waiting for its return".into());
    check_shows(
        &draw(&state, &View::default(), 80, 24),
        &["◌ waiting", "waiting for its return"],
    );
}

#[test]
fn every_pane_and_the_help() {
    let mut state = state("t");
    state.outputs[0].skipped = 17;
    let show = |tab| {
        draw(
            &state,
            &View {
                tab,
                ..View::default()
            },
            100,
            30,
        )
    };
    check_shows(&show(Tab::Substreams), &["nobody", "source", "supplied"]);
    check_shows(
        &show(Tab::Outputs),
        &["2 players", "1.2 MB", "17 chunks left out"],
    );
    let help = draw(
        &state,
        &View {
            help: true,
            ..View::default()
        },
        80,
        24,
    );
    check_shows(&help, &["target lag automatic", "prefer live, balanced, smooth"]);
}

#[test]
fn any_size_and_any_text_can_be_drawn() {
    let hostile = format!(
        "\x1b]0;owned\x07\u{202e}{}\n漢字👩‍👩‍👧{}",
        "ä".repeat(300),
        "\u{300}".repeat(300)
    );
    let mut state = state(&hostile);
    state.phase = Phase::Waiting(hostile.clone());
    state.notify(state.elapsed, hostile.clone());
    state.outputs[0].failure = Some(hostile.clone());
    state.outputs[0].name.clone_from(&hostile);
    state.outputs[0].url = None;
    let empty = State::new(stream(), peer(1), hostile, LogPane::default());
    for state in [&state, &empty] {
        for tab in Tab::ALL {
            for (width, height) in [
                (1, 1),
                (2, 40),
                (20, 5),
                (49, 14),
                (50, 14),
                (51, 15),
                (60, 19),
                (80, 24),
                (79, 35),
                (121, 20),
                (250, 90),
            ] {
                let view = View {
                    tab,
                    help: width % 2 == 0,
                    scroll: usize::from(height),
                };
                let screen = draw(state, &view, width, height);
                assert!(
                    screen
                        .iter()
                        .all(|line| !line.contains(['\x1b', '\x07', '\u{202e}'])),
                    "{width}x{height}"
                );
            }
        }
    }
    check_shows(&draw(&state, &View::default(), 20, 5), &["waiting", "owned"]);
}

#[test]
fn a_lost_second_is_seen() {
    let mut state = State::new(stream(), peer(1), String::new(), LogPane::default());
    let mut now = stats(0, "");
    for second in 0..30u64 {
        now = stats(second, "");
        // Half of one second is lost.
        now.streams[0].chunks_missed = if second >= 20 { 60 } else { 0 };
        state.update(Duration::from_secs(second), &now);
    }
    assert_eq!(now.streams[0].chunks_missed, 60);
    let low: Vec<_> = state
        .history
        .last(30)
        .filter(|point| point.continuity.is_some_and(|c| c < 1.0))
        .collect();
    assert_eq!(low.len(), 1);
    assert_eq!(low[0].continuity, Some(125.0 / 185.0));
}

#[test]
fn rates_come_from_the_counters() {
    let state = state("t");
    // 437.5 kB a second.
    assert!((state.in_bps - 3_500_000.0).abs() < 1.0, "{}", state.in_bps);
    let by_addr = |end: &str| {
        state
            .neighbours
            .iter()
            .find(|n| n.addr.to_string().ends_with(end))
            .unwrap()
    };
    assert!((by_addr(".2:40002").in_bps - 480_000.0).abs() < 1.0);
    assert!((by_addr(".2:40002").out_bps - 160_000.0).abs() < 1.0);
}

#[test]
fn keys_change_the_view_and_the_wish() {
    let mut state = state("t");
    let mut view = View::default();
    let mut press = |state: &State, code| {
        let action = keys::handle(KeyEvent::new(code, KeyModifiers::NONE), &mut view, state);
        (action, view)
    };
    assert_eq!(press(&state, KeyCode::Tab).1.tab, Tab::Substreams);
    assert_eq!(press(&state, KeyCode::BackTab).1.tab, Tab::Neighbours);
    assert_eq!(press(&state, KeyCode::Char('l')).1.tab, Tab::Log);
    assert_eq!(press(&state, KeyCode::Char('l')).1.tab, Tab::Neighbours);
    for _ in 0..100 {
        press(&state, KeyCode::Down);
    }
    assert_eq!(press(&state, KeyCode::Down).1.scroll, 11);
    assert!(press(&state, KeyCode::Char('?')).1.help);
    assert_eq!(press(&state, KeyCode::Esc).0, None, "it closes the help first");
    assert_eq!(press(&state, KeyCode::Char('q')).0, Some(Action::Quit));
    assert_eq!(press(&state, KeyCode::Char('z')).0, None);

    // From an adaptive target the first step starts where playout aims now, at 150 ms.
    let target = |ms| {
        Some(Action::Wish(PlayoutWish {
            target_lag: Some(Duration::from_millis(ms)),
            ..state.wish
        }))
    };
    assert_eq!(press(&state, KeyCode::Char('+')).0, target(175));
    assert_eq!(press(&state, KeyCode::Char('-')).0, target(125));
    state.wish.target_lag = Some(Duration::from_millis(30));
    let least = PlayoutWish {
        target_lag: Some(Duration::from_millis(25)),
        ..state.wish
    };
    assert_eq!(press(&state, KeyCode::Char('-')).0, Some(Action::Wish(least)));
    let smooth = PlayoutWish {
        prefer: Preference::Smooth,
        ..state.wish
    };
    assert_eq!(press(&state, KeyCode::Char('p')).0, Some(Action::Wish(smooth)));
    let auto = PlayoutWish {
        target_lag: None,
        ..state.wish
    };
    assert_eq!(press(&state, KeyCode::Char('a')).0, Some(Action::Wish(auto)));
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(keys::handle(ctrl_c, &mut view, &state), Some(Action::Interrupt));
}
