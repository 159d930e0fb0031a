//! Results side by side.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// A table of every figure that at least two results have, each but the first with the difference from the first; what only one has is
/// named below it. Figures that are the same in all are left out.
pub fn compare(results: &[(String, Value)]) -> String {
    let all: Vec<Vec<(String, f64)>> = results.iter().map(|(_, result)| figures(result)).collect();
    let by_key: Vec<BTreeMap<&str, f64>> = all
        .iter()
        .map(|these| these.iter().map(|(key, value)| (key.as_str(), *value)).collect())
        .collect();
    let mut out = String::new();
    // The names stand above the table: as heads of columns they would be cut where they differ least.
    for (at, (name, _)) in results.iter().enumerate() {
        let _ = writeln!(out, "{}: {name}", column(at));
    }
    let keys = shared(&all, &by_key);
    let widest = keys.iter().map(|key| key.len()).max().unwrap_or(0);
    let _ = write!(out, "\n{:<widest$}", "");
    for at in 0..results.len() {
        let _ = write!(out, "{:>14}", column(at));
        if at > 0 {
            let _ = write!(out, "{:>10}", "change");
        }
    }
    out.push('\n');
    let mut same = 0;
    for key in keys {
        let row: Vec<Option<f64>> = by_key.iter().map(|these| these.get(key).copied()).collect();
        if row.iter().all(|value| *value == row[0]) {
            same += 1;
            continue;
        }
        let _ = write!(out, "{key:<widest$}");
        for (at, value) in row.iter().enumerate() {
            let _ = write!(out, "{:>14}", value.map_or_else(|| "-".to_owned(), figure));
            if at > 0 {
                let change = row[0].zip(*value).map(|(first, value)| change(first, value));
                let _ = write!(out, "{:>10}", change.unwrap_or_else(|| "-".to_owned()));
            }
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{same} figures are the same");
    for (at, (name, _)) in results.iter().enumerate() {
        let others = || all.iter().enumerate().filter(move |(n, _)| *n != at);
        let mut only: Vec<&str> = all[at]
            .iter()
            .filter(|(key, _)| others().all(|(n, _)| !by_key[n].contains_key(key.as_str())))
            .map(|(key, _)| lacking(key, others().flat_map(|(_, those)| those)))
            .collect();
        only.dedup();
        if !only.is_empty() {
            let _ = writeln!(out, "only in {name}: {}", only.join(", "));
        }
    }
    out
}

/// How a result is called in the table: by a letter, or by its number where there are more than letters.
fn column(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at) if at < 26 => char::from(b'a' + at).to_string(),
        _ => (at + 1).to_string(),
    }
}

/// The figures that at least two results have, in the order of the first that has them.
fn shared<'a>(all: &'a [Vec<(String, f64)>], by_key: &[BTreeMap<&str, f64>]) -> Vec<&'a str> {
    let has = |at: usize, key: &str| by_key[at].contains_key(key);
    let mut keys = Vec::new();
    for (at, these) in all.iter().enumerate() {
        let new = these.iter().filter(|(key, _)| !(0..at).any(|n| has(n, key)));
        let of_several = new.filter(|(key, _)| (at + 1..all.len()).any(|n| has(n, key)));
        keys.extend(of_several.map(|(key, _)| key.as_str()));
    }
    keys
}

/// As much of a key as says what the other result lacks: a whole branch has one name.
fn lacking<'a, 'b>(key: &'a str, those: impl Iterator<Item = &'b (String, f64)> + Clone) -> &'a str {
    let ends = key.match_indices('.').map(|(at, _)| at);
    let branch = ends
        .map(|end| &key[..=end])
        .find(|branch| !those.clone().any(|(other, _)| other.starts_with(branch)));
    branch.map_or(key, |branch| &branch[..branch.len() - 1])
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e12 {
        format!("{value}")
    } else if value.abs() < 1.0 {
        format!("{value:.5}")
    } else {
        format!("{value:.2}")
    }
}

fn change(a: f64, b: f64) -> String {
    if a == 0.0 {
        "new".to_owned()
    } else {
        format!("{:+.1} %", 100.0 * (b - a) / a.abs())
    }
}

/// Left out of figures: the consumers' second copy, and lists of occurrences, in which the same place in two results says nothing.
const LEFT_OUT: [&str; 5] = ["consumers", "by_distance", "misses", "below", "trackers_at"];

/// All numbers of a result by their dotted path, without those given (parameters, seed) and what is left out.
pub(crate) fn figures(result: &Value) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for (key, value) in result.as_object().into_iter().flatten() {
        if key != "params" && key != "seed" {
            collect(key, value, &mut found);
        }
    }
    found.retain(|(key, _)| !key.split('.').any(|part| LEFT_OUT.contains(&part)));
    found
}

fn collect(path: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => found.extend(number.as_f64().map(|n| (path.to_owned(), n))),
        Value::Object(map) => {
            for (key, value) in map {
                collect(&format!("{path}.{key}"), value, found);
            }
        }
        // The cases of a scenario of the overlay.
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                collect(&format!("{path}.{at}"), value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_shown_and_equal_figures_counted() {
        let a = json!({"seed": 1, "audit": "x", "wall_s": 2.0, "results": {"headwater": {"lag_ms": {"p50": 200.0, "max": 9.5}}}});
        let b = json!({"seed": 2, "audit": "y", "wall_s": 2.0, "results": {"headwater": {"lag_ms": {"p50": 150.0}}, "star": {"n": 1}}});
        let text = compare(&[("a.json".to_owned(), a), ("b.json".to_owned(), b)]);
        let line = text.lines().find(|l| l.contains("lag_ms.p50")).unwrap();
        assert!(
            line.contains("200") && line.contains("150") && line.contains("-25.0 %"),
            "{text}"
        );
        assert!(text.contains("1 figures are the same"), "{text}");
        assert!(
            text.contains("only in a.json: results.headwater.lag_ms.max"),
            "{text}"
        );
        assert!(
            text.contains("only in b.json: results.star\n"),
            "a branch has one name: {text}"
        );
    }

    #[test]
    fn three_stand_in_one_table_and_differ_from_the_first() {
        let a = json!({"lost": 10, "results": {"p50": 200.0, "p99": 300.0}});
        let b = json!({"lost": 10, "results": {"p50": 150.0, "p99": 300.0}, "packet": {"packets": 7}});
        let c = json!({"lost": 20, "results": {"p50": 220.0, "mean": 1.0}, "packet": {"packets": 8}, "lab": {"n": 1}});
        let text = compare(&[a, b, c].map(|value| (value.to_string(), value)));
        let cells = |key: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(key));
            let line = line.unwrap_or_else(|| panic!("{key} in {text}"));
            line.replace(" %", "%")
                .split_whitespace()
                .skip(1)
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(cells("results.p50"), ["200", "150", "-25.0%", "220", "+10.0%"]);
        assert_eq!(cells("lost"), ["10", "10", "+0.0%", "20", "+100.0%"]);
        assert_eq!(cells("results.p99"), ["300", "300", "+0.0%", "-", "-"]);
        assert_eq!(
            cells("packet.packets"),
            ["-", "7", "-", "8", "-"],
            "the first has none"
        );
        assert!(text.contains("0 figures are the same"), "{text}");
        assert!(
            text.trim_end().ends_with("results.mean, lab") || text.trim_end().ends_with("lab, results.mean"),
            "{text}"
        );
    }

    #[test]
    fn long_names_stay_whole_and_lists_are_compared() {
        let a = json!({"doat": [{"found": 1.0}, {"found": 1.0}]});
        let b = json!({"doat": [{"found": 1.0}, {"found": 0.5}]});
        let (name_a, name_b) = (
            "results/before-the-change-1.json",
            "results/after-the-change-1.json",
        );
        let text = compare(&[(name_a.to_owned(), a), (name_b.to_owned(), b)]);
        assert!(text.contains(name_a) && text.contains(name_b), "{text}");
        let line = text.lines().find(|l| l.starts_with("doat.1.found")).unwrap();
        assert!(line.contains("-50.0 %"), "{text}");
    }

    #[test]
    fn lists_of_occurrences_are_no_figures() {
        let nearest = json!({"again": {"of": 9}, "misses": [{"rtt_ms": 3.0}]});
        let result = json!({"discovery": {"late_nearest": nearest, "trackers_at": [{"at_s": 5}]}});
        let named: Vec<String> = figures(&result).into_iter().map(|(key, _)| key).collect();
        assert_eq!(named, ["discovery.late_nearest.again.of"]);
    }
}
