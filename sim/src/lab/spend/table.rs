//! The result as a table of text.

use std::fmt::Write;

use super::outcome::SpendOutcome;
use crate::lab::discovery::machine;

/// What a run showed.
pub fn table(outcome: &SpendOutcome) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_table(&mut text, outcome);
    text
}

fn write_table(out: &mut String, outcome: &SpendOutcome) -> std::fmt::Result {
    let spend = &outcome.spend;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    writeln!(
        out,
        "{}, seed {}: {} real programs, {} packets in the third stream, {:.1} s\n",
        outcome.scenario, outcome.seed, outcome.peers, outcome.events, outcome.wall_s
    )?;
    writeln!(
        out,
        "the donor earned {:.2} MB in the first stream; strangers owed the viewers {:.2} MB after the second",
        mb(spend.earned_bytes),
        mb(spend.between_bytes)
    )?;
    match spend.first_spent_s {
        Some(first) => writeln!(
            out,
            "first spent at a stranger {first:.1} s after it came to the third"
        )?,
        None => writeln!(out, "nothing was spent in the third")?,
    }
    writeln!(
        out,
        "\n{:<28}{:>11}{:>11}{:>11}",
        "MB", "shifted", "taken", "spent"
    )?;
    for at in &spend.at {
        writeln!(
            out,
            "{:<28}{:>11.3}{:>11.3}{:>11.3}",
            format!("  {}", at.stranger),
            at.shifted_bytes as f64 / 1e6,
            mb(at.taken_bytes),
            mb(at.spent_bytes)
        )?;
    }
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.4}"));
    writeln!(
        out,
        "\ncontinuity in the third: the donor's {}, of who is owed nothing {}",
        share(spend.donor_continuity),
        share(spend.idler_continuity)
    )?;
    for (nth, found) in (1..).zip(&spend.agreement) {
        writeln!(
            out,
            "after stream {nth}: {} accounts, {} within a receipt, {:.1} kB apart at most; {} with the same state, {} of them with the same shifts",
            found.pairs,
            found.within_receipt,
            found.apart_bytes_max as f64 / 1e3,
            found.same_state,
            found.same_shifts
        )?;
    }
    if !spend.lost_is_back {
        writeln!(out, "the lost ledger and the donor's do not agree")?;
    }
    writeln!(out)?;
    machine(out, outcome.lost, outcome.uplink_drops, &outcome.lab)
}
