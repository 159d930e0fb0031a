//! The per-peer table, and how it went moment by moment, as comma-separated values. No field needs quoting: all are numbers and fixed words.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};

use crate::{Moment, Outcome, PeerRow};

const HEADER: &str = "peer,role,upload_bps,distance_ms,joined_s,left_s,startup_ms,answered_ms,supplied_ms,flowing_ms,complete_ms,key_frame_ms,refused,continuity,arrival_ms,lag_ms,\
    lag_ms_max,hops,chunks_due,chunks_played,chunks_late,bytes_in,bytes_duplicate,bytes_out,control_in,control_out,\
    uplink_drops,uplink_busy,slots,slots_used,neighbours,repairs_requested";

/// Writes `SCENARIO-SEED-peers.csv` and `SCENARIO-SEED-timeline.csv` into a directory, which is made if it is not there.
///
/// # Errors
/// When the directory or file cannot be written.
pub fn write_csv(outcome: &Outcome, directory: &Path) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}-{}-peers.csv", outcome.scenario, outcome.seed));
    let mut file = BufWriter::new(File::create(&path)?);
    writeln!(file, "{HEADER}")?;
    for row in &outcome.rows {
        write_row(&mut file, row)?;
    }
    file.flush()?;
    let timeline = directory.join(format!("{}-{}-timeline.csv", outcome.scenario, outcome.seed));
    let mut file = BufWriter::new(File::create(&timeline)?);
    writeln!(file, "at_s,watching,chunks_due,chunks_in_time")?;
    for moment in &outcome.timeline {
        let Moment {
            at_s,
            watching,
            due,
            in_time,
        } = moment;
        writeln!(file, "{at_s:.2},{watching},{due},{in_time}")?;
    }
    file.flush()?;
    Ok([path, timeline])
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

fn write_row(out: &mut impl Write, row: &PeerRow) -> Result<()> {
    let (due, played, late) = row.chunks;
    let (media_in, duplicate, media_out) = row.media;
    let (slots, used, neighbours, repairs) = row.node;
    write!(
        out,
        "{},{},{},{:.2},{:.3}",
        row.number, row.role, row.upload_bps, row.distance_ms, row.joined_s
    )?;
    for field in [
        number(row.left_s, 3),
        number(row.startup_ms, 1),
        number(row.start.map(|start| start.answered_ms), 1),
        number(row.start.map(|start| start.supplied_ms), 1),
        number(row.start.map(|start| start.flowing_ms), 1),
        number(row.start.map(|start| start.complete_ms), 1),
        number(row.start.map(|start| start.key_frame_ms), 1),
        number(row.start.map(|start| f64::from(start.refused)), 0),
        number(row.continuity, 6),
        number(row.arrival_ms, 2),
        number(row.lag_ms.map(|lag| lag.0), 2),
        number(row.lag_ms.map(|lag| lag.1), 2),
        number(row.hops, 3),
    ] {
        write!(out, ",{field}")?;
    }
    writeln!(
        out,
        ",{due},{played},{late},{media_in},{duplicate},{media_out},{},{},{},{:.4},{slots},{used},{neighbours},{repairs}",
        row.control.0, row.control.1, row.uplink_drops, row.uplink_busy
    )
}
