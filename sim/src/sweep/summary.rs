//! From the results of a sweep to one line for each of its points.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Point;
use crate::report::figures;

/// A figure over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median; of an even number of runs the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of these values; `None` if there are none.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread {
            median: f64::midpoint(low, high),
            least,
            most,
        })
    }
}

/// What came out at one point, of one protocol or of one case of a scenario of the overlay.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The point's settings.
    #[serde(flatten)]
    pub point: Point,
    /// `headwater` or a baseline; `doat 0` and so on, or `coords`.
    pub of: String,
    /// How many runs.
    pub runs: usize,
    /// Every figure by its dotted path below the part that `of` names, and those of the whole run.
    pub figures: BTreeMap<String, Spread>,
}

/// A sweep's results.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Point by point.
    pub points: Vec<Row>,
}

/// Every single run's figures of one part, for tables of everything.
pub(crate) fn parts(result: &Value) -> Vec<(String, BTreeMap<String, f64>)> {
    let all = figures(result);
    let mut parts: Vec<(String, String)> = Vec::new();
    // Ours first, then what it is compared with.
    let named = result.get("results").and_then(Value::as_object);
    let mut names: Vec<&String> = named.into_iter().flat_map(serde_json::Map::keys).collect();
    names.sort_by_key(|name| *name != "headwater");
    parts.extend(
        names
            .into_iter()
            .map(|name| (name.clone(), format!("results.{name}."))),
    );
    let cases = result.get("doat").and_then(Value::as_array).map_or(0, Vec::len);
    parts.extend((0..cases).map(|case| (format!("doat {case}"), format!("doat.{case}."))));
    if result.get("coords").is_some() {
        parts.push(("coords".to_owned(), "coords.".to_owned()));
    }
    let of_run = |path: &str| {
        !["results.", "doat.", "coords.", "control."]
            .iter()
            .any(|part| path.starts_with(part))
    };
    parts
        .into_iter()
        .map(|(name, prefix)| {
            let own = all.iter().filter_map(|(path, value)| {
                let path = path
                    .strip_prefix(&prefix)
                    .or_else(|| of_run(path).then_some(path))?;
                Some((path.to_owned(), *value))
            });
            (name, own.collect())
        })
        .collect()
}

/// Sums up runs: the number of the point, the seed, and the result of each.
pub fn summarise(scenario: &str, points: &[Point], runs: &[(usize, u64, Value)]) -> Summary {
    let mut seeds: Vec<u64> = runs.iter().map(|(_, seed, _)| *seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let mut rows = Vec::new();
    for (number, point) in points.iter().enumerate() {
        // In the order in which the parts of a result stand.
        let mut found: Vec<(String, usize, BTreeMap<String, Vec<f64>>)> = Vec::new();
        for (_, _, result) in runs.iter().filter(|(of, _, _)| *of == number) {
            for (name, figures) in parts(result) {
                let at = found.iter().position(|(known, _, _)| *known == name);
                let at = at.unwrap_or_else(|| {
                    found.push((name, 0, BTreeMap::new()));
                    found.len() - 1
                });
                let (_, runs, gathered) = &mut found[at];
                *runs += 1;
                for (path, value) in figures {
                    gathered.entry(path).or_default().push(value);
                }
            }
        }
        rows.extend(found.into_iter().map(|(of, runs, gathered)| {
            Row {
                point: point.clone(),
                of,
                runs,
                figures: gathered
                    .into_iter()
                    .filter_map(|(path, values)| Some((path, Spread::of(values)?)))
                    .collect(),
            }
        }));
    }
    Summary {
        scenario: scenario.to_owned(),
        seeds,
        points: rows,
    }
}
