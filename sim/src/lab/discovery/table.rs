//! The result as a table of text.

use std::fmt::Write;

use super::outcome::{LifeShare, Steps, StreamsFacts, StreamsOutcome};
use crate::lab::CoreWait;
use crate::report::{head, line, notes};

/// What a run showed.
pub fn table(outcome: &StreamsOutcome) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_table(&mut text, outcome);
    text
}

fn write_table(out: &mut String, outcome: &StreamsOutcome) -> std::fmt::Result {
    let found = &outcome.discovery;
    writeln!(
        out,
        "{}, seed {}: {} real programs, {} packets in {:.1} s; median round trip {:.1} ms\n",
        outcome.scenario, outcome.seed, outcome.peers, outcome.events, outcome.wall_s, found.median_rtt_ms
    )?;
    steps(out, "late viewers", &found.join_ms.late)?;
    writeln!(out)?;
    steps(out, "viewers", &found.join_ms.all)?;
    if found.restarts.nodes > 0 {
        writeln!(out)?;
        head(
            out,
            &format!("{} viewers and donors started again", found.restarts.nodes),
        )?;
        line(out, "  tracker's answer, ms", &found.restarts.tracker_ms)?;
        unanswered(out, found.restarts.unanswered)?;
    }
    let nearest = &found.late_nearest;
    writeln!(
        out,
        "\nlate viewers with the nearest tracker: {} of {} at first, {} of {} when the race had been run anew; {} had a choice",
        nearest.at_first.nearest,
        nearest.at_first.of,
        nearest.again.nearest,
        nearest.again.of,
        nearest.with_choice
    )?;
    for miss in &nearest.misses {
        let own = match (&miss.tracker, miss.rtt_ms) {
            (Some(tracker), Some(rtt_ms)) => format!("{tracker} at {rtt_ms:.1} ms"),
            _ => "none".to_owned(),
        };
        writeln!(
            out,
            "  {} after {:.0} s: {own}, nearest {} at {:.1} ms",
            miss.viewer, miss.after_s, miss.nearest, miss.nearest_ms
        )?;
    }
    writeln!(
        out,
        "coordinates of {} nodes: median relative error {:.4}\n",
        found.coords.nodes, found.coords.median_rel_error
    )?;
    let lives = &found.continuity;
    writeln!(
        out,
        "{:<28}{:>9}{:>10}{:>10}",
        "continuity of viewers", "lives", "least", "mean"
    )?;
    life(out, "  before the kills", &lives.before_kills)?;
    life(out, "  whole lives", &lives.whole)?;
    life(out, "  started again", &lives.restarted)?;
    if let Some(stayed) = &lives.stayed {
        life(out, "  stayed when others ended", stayed)?;
    }
    for low in &lives.below {
        writeln!(
            out,
            "  {}, life {}, stream {}: {:.4}, from {:.1} to {:.1} s",
            low.viewer, low.life, low.stream, low.continuity, low.from_s, low.to_s
        )?;
    }
    let mut last: Option<&[usize]> = None;
    write!(out, "\ntrackers of each stream:")?;
    for at in &found.trackers_at {
        // Only what changes.
        if last != Some(&at.trackers) {
            write!(out, " {:?} from {} s", at.trackers, at.at_s)?;
            last = Some(&at.trackers);
        }
    }
    writeln!(out)?;
    machine(out, outcome.lost, outcome.uplink_drops, &outcome.lab)
}

/// What became of packets, and what the machine did to the figures.
pub(in crate::lab) fn machine(
    out: &mut String,
    lost: u64,
    uplink_drops: u64,
    lab: &StreamsFacts,
) -> std::fmt::Result {
    writeln!(
        out,
        "packets lost {lost}, dropped at a full uplink {uplink_drops}; {} bytes wrong",
        lab.wrong_bytes
    )?;
    let wait = |wait: CoreWait| {
        format!(
            "{:.1} % of the time ({:.1} % at most)",
            100.0 * wait.mean,
            100.0 * wait.max
        )
    };
    let later = lab
        .core_wait_later
        .map(|later| format!(", during the kills {}", wait(later)));
    writeln!(
        out,
        "a program took {:.2} s of CPU a minute, and {:.0} MB at most; programs waited for a core {}{}, packets late {:.2} %",
        lab.cpu_s_per_minute,
        lab.rss_bytes_max as f64 / 1e6,
        wait(lab.core_wait),
        later.unwrap_or_default(),
        100.0 * lab.late_packets
    )?;
    notes(out, &lab.warnings, &lab.problems)
}

fn steps(out: &mut String, who: &str, steps: &Steps) -> std::fmt::Result {
    head(out, &format!("{} {who}", steps.viewers))?;
    line(out, "  coordinate, ms", &steps.coord)?;
    line(out, "  found in the ring, ms", &steps.doat)?;
    line(out, "  tracker's answer, ms", &steps.tracker)?;
    line(out, "  first chunk, ms", &steps.first_chunk)?;
    writeln!(
        out,
        "  the answer's p95 is {:.2} median round trips",
        steps.tracker_x
    )?;
    unanswered(out, steps.unanswered)
}

fn unanswered(out: &mut String, unanswered: usize) -> std::fmt::Result {
    match unanswered {
        0 => Ok(()),
        n => writeln!(out, "  {n} never had an answer"),
    }
}

fn life(out: &mut String, what: &str, share: &LifeShare) -> std::fmt::Result {
    match share.lives {
        0 => Ok(()),
        lives => writeln!(out, "{what:<28}{lives:>9}{:>10.4}{:>10.4}", share.min, share.mean),
    }
}
