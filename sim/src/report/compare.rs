//! Two results side by side.

use std::fmt::Write;

use serde_json::Value;

/// A table of every figure that both results have, with the difference; what only one has is named below it.
/// Figures that are the same in both are left out.
pub fn compare(name_a: &str, a: &Value, name_b: &str, b: &Value) -> String {
    let (a, b) = (figures(a), figures(b));
    let mut out = String::new();
    // The names stand above the table: as heads of columns they would be cut where they differ least.
    let _ = writeln!(out, "a: {name_a}\nb: {name_b}\n");
    let widest = a.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let _ = writeln!(out, "{:<widest$}{:>14}{:>14}{:>10}", "", "a", "b", "change");
    let mut same = 0;
    for (key, first) in &a {
        let Some((_, second)) = b.iter().find(|(k, _)| k == key) else {
            continue;
        };
        if first == second {
            same += 1;
            continue;
        }
        let _ = writeln!(
            out,
            "{key:<widest$}{:>14}{:>14}{:>10}",
            figure(*first),
            figure(*second),
            change(*first, *second)
        );
    }
    let _ = writeln!(out, "{same} figures are the same");
    for (name, these, those) in [(name_a, &a, &b), (name_b, &b, &a)] {
        let mut only: Vec<&str> = these
            .iter()
            .filter(|(key, _)| !those.iter().any(|(k, _)| k == key))
            .map(|(key, _)| lacking(key, those))
            .collect();
        only.dedup();
        if !only.is_empty() {
            let _ = writeln!(out, "only in {name}: {}", only.join(", "));
        }
    }
    out
}

/// As much of a key as says what the other result lacks: a whole branch has one name.
fn lacking<'a>(key: &'a str, those: &[(String, f64)]) -> &'a str {
    let ends = key.match_indices('.').map(|(at, _)| at);
    let branch = ends
        .map(|end| &key[..=end])
        .find(|branch| !those.iter().any(|(other, _)| other.starts_with(branch)));
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
const LEFT_OUT: [&str; 4] = ["consumers", "misses", "below", "trackers_at"];

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
        let text = compare("a.json", &a, "b.json", &b);
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
    fn long_names_stay_whole_and_lists_are_compared() {
        let a = json!({"doat": [{"found": 1.0}, {"found": 1.0}]});
        let b = json!({"doat": [{"found": 1.0}, {"found": 0.5}]});
        let (name_a, name_b) = (
            "results/before-the-change-1.json",
            "results/after-the-change-1.json",
        );
        let text = compare(name_a, &a, name_b, &b);
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
