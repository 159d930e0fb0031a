//! What the programs say of themselves: the lines of `--stats`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

/// A line, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Line {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) t_ms: f64,
    /// Whose they are.
    pub(crate) peer: String,
    /// A number in a sample, which is what is used of it.
    arrival_ms: serde_json::Value,
    pub(crate) chunks_played: u64,
    pub(crate) chunks_missed: u64,
    pub(crate) chunks_late: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_duplicate: u64,
    pub(crate) bytes_control: u64,
    pub(crate) is_tracker: bool,
    pub(crate) tracker: Option<TrackerOf>,
    pub(crate) coord: Place,
    pub(crate) join_ms: JoinMs,
    pub(crate) cpu_s: f64,
    pub(crate) rss_bytes: u64,
    /// Only until it is parsed: each line names dozens.
    neighbours: Vec<Neighbour>,
}

/// What a program thinks of a neighbour.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Neighbour {
    peer: String,
    standing: f64,
}

/// The local tracker that a program is registered with.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct TrackerOf {
    pub(crate) peer: String,
}

/// Where a program believes to be in the delay space.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) x_ms: f64,
    pub(crate) y_ms: f64,
    pub(crate) height_ms: f64,
}

/// When each step of joining was done.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JoinMs {
    pub(crate) coord: Option<f64>,
    pub(crate) doat: Option<f64>,
    pub(crate) tracker: Option<f64>,
    pub(crate) first_chunk: Option<f64>,
}

/// The end of a file of statistics that holds a whole line: 64 neighbours take 200 bytes each.
const LINE_MAX: i64 = 64 << 10;

impl Line {
    /// The latest line of a program that may still be writing, without reading what came before.
    pub(crate) fn latest(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        // A file that is shorter is read from its beginning.
        let _ = file.seek(SeekFrom::End(-LINE_MAX));
        let mut end = Vec::new();
        file.read_to_end(&mut end).ok()?;
        let text = String::from_utf8_lossy(&end);
        // The last line may be half written, and the first one is cut.
        text.lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
    }
}

/// Counters between two instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) played: u64,
    pub(crate) missed: u64,
    pub(crate) late: u64,
    pub(crate) media_in: u64,
    pub(crate) media_out: u64,
    pub(crate) duplicate: u64,
    pub(crate) control: u64,
}

/// All that one program wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    samples: Vec<Line>,
    summary: Option<Line>,
    charged: BTreeMap<String, f64>,
}

/// A standing below this is more than broken promises come to, which a program that was killed has broken: somebody was charged
/// with a forgery or the like.
const CHARGED: f64 = 0.5;

impl Statistics {
    /// What there is so far; nothing if the program has written nothing yet.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Self {
        // The last line may be half written.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let mut statistics = Statistics::default();
        for mut line in lines {
            for neighbour in std::mem::take(&mut line.neighbours) {
                if neighbour.standing < CHARGED {
                    let least = statistics.charged.entry(neighbour.peer).or_insert(1.0);
                    *least = least.min(neighbour.standing);
                }
            }
            match line.kind.as_str() {
                "sample" => statistics.samples.push(line),
                "summary" => statistics.summary = Some(line),
                _ => {}
            }
        }
        statistics
    }

    /// The latest line.
    pub(crate) fn last(&self) -> Option<&Line> {
        self.summary.as_ref().or(self.samples.last())
    }

    /// Neighbours that were charged with what honest programs do not do, and their least standing.
    pub(crate) fn charged(&self) -> &BTreeMap<String, f64> {
        &self.charged
    }

    /// The sample of an instant in Unix milliseconds, to half a second; the last one of a program that had ended by then.
    pub(crate) fn at(&self, unix_ms: f64) -> Option<&Line> {
        let before = |line: &&Line| line.t_ms <= unix_ms + HALF_SAMPLE_MS;
        self.samples.iter().take_while(before).last()
    }

    /// The arrival lags of the samples in a window, in Unix milliseconds.
    pub(crate) fn arrivals_ms(&self, from_ms: f64, to_ms: f64) -> impl Iterator<Item = f64> {
        self.samples
            .iter()
            .filter(move |line| (from_ms..to_ms).contains(&line.t_ms))
            .filter_map(|line| line.arrival_ms.as_f64())
    }

    /// What was counted between two instants in Unix milliseconds, to the second.
    pub(crate) fn between(&self, from_ms: f64, to_ms: f64) -> Counted {
        let none = Line::default();
        // A program that began later had counted nothing, and one that ended earlier counts no more.
        let (first, last) = (self.at(from_ms).unwrap_or(&none), self.at(to_ms).unwrap_or(&none));
        Counted {
            played: last.chunks_played.saturating_sub(first.chunks_played),
            missed: last.chunks_missed.saturating_sub(first.chunks_missed),
            late: last.chunks_late.saturating_sub(first.chunks_late),
            media_in: last.bytes_in.saturating_sub(first.bytes_in),
            media_out: last.bytes_out.saturating_sub(first.bytes_out),
            duplicate: last.bytes_duplicate.saturating_sub(first.bytes_duplicate),
            control: last.bytes_control.saturating_sub(first.bytes_control),
        }
    }
}

/// Samples come once a second: the nearest is taken.
const HALF_SAMPLE_MS: f64 = 500.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_line_is_found_at_the_end_of_a_long_file() {
        let line = |t: u64| {
            format!(
                "{{\"type\":\"sample\",\"t_ms\":{t},\"is_tracker\":true,\"pad\":\"{}\"}}\n",
                "x".repeat(20_000)
            )
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), (0..9).map(line).collect::<String>()).unwrap();
        let latest = Line::latest(file.path()).unwrap();
        assert_eq!((latest.t_ms, latest.is_tracker), (8.0, true));
    }

    #[test]
    fn counters_are_those_of_the_window() {
        let sample = |t: u64| {
            format!(
                "{{\"type\":\"sample\",\"t_ms\":{},\"arrival_ms\":{},\"lag_ms\":null,\"bytes_in\":{},\"chunks_played\":{},\"join_ms\":{{\"first_chunk\":301.5,\"coord\":null}},\"neighbours\":[{{\"peer\":\"a\",\"standing\":1.0}},{{\"peer\":\"b\",\"standing\":0.{}}}]}}\n",
                10_200 + 1000 * t,
                if t == 0 {
                    "null".to_owned()
                } else {
                    (200 + t).to_string()
                },
                1000 * t,
                10 * t,
                7 - t
            )
        };
        let mut text: String = (0..6).map(sample).collect();
        text += "{\"type\":\"summary\",\"t_ms\":15900,\"arrival_ms\":{\"p50\":3},\"bytes_in\":5500}\n{\"type\":\"sam";
        let statistics = Statistics::parse(&text);
        assert_eq!(statistics.last().map(|line| line.bytes_in), Some(5500));
        let counted = statistics.between(12_000.0, 14_000.0);
        assert_eq!((counted.media_in, counted.played), (2000, 20));
        assert_eq!(statistics.between(0.0, 1e9).media_in, 5000, "from nothing");
        let arrivals: Vec<f64> = statistics.arrivals_ms(10_000.0, 12_500.0).collect();
        assert_eq!(arrivals, [201.0, 202.0]);
        assert_eq!(statistics.charged(), &BTreeMap::from([("b".to_owned(), 0.2)]));
        assert_eq!(statistics.samples[0].join_ms.first_chunk, Some(301.5));
        assert!(Statistics::read(Path::new("/nowhere")).last().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let latest = Line::latest(file.path());
        assert_eq!(
            latest.map(|line| line.bytes_in),
            Some(5500),
            "the next one is not whole"
        );
        assert!(Line::latest(Path::new("/nowhere")).is_none());
    }
}
