//! One-way delays between nodes: from a file, a plane, or all the same.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{MatrixKind, NodeSpec, Pick, Scenario};
use crate::shape::Rng;

impl Scenario {
    /// One-way delays in nanoseconds, row by row.
    pub(crate) fn delays(&self, nodes: &[NodeSpec]) -> Result<Vec<u64>> {
        let (n, delay) = (nodes.len(), &self.delay);
        if let Some(given) = &self.given_delays {
            ensure!(
                given.len() == n * n,
                "{} delays were given, but {n} nodes have {}",
                given.len(),
                n * n
            );
            return Ok(given.clone());
        }
        let mut rng = Rng::new(self.seed);
        let (rows, matrix) = match (&delay.file, delay.plane_ms) {
            (Some(file), _) => {
                let (rows, matrix) = load(file)?;
                let unit = delay.unit_ms
                    / match delay.kind {
                        MatrixKind::Rtt => 2.0,
                        MatrixKind::OneWay => 1.0,
                    };
                (rows, matrix.iter().map(|value| value * unit).collect())
            }
            (None, Some(diagonal)) => {
                let rows = nodes.iter().map(|node| node.site + 1).max().unwrap_or(1);
                (rows, plane(rows, diagonal, &mut rng))
            }
            (None, None) => (1, vec![delay.const_ms]),
        };
        let site = |node: usize| nodes[node].site;
        ensure!(
            rows == 1 || (0..n).all(|node| site(node) < rows),
            "there are more nodes or sites than the {rows} rows of the matrix"
        );
        let mut pick: Vec<usize> = (0..rows).collect();
        if delay.pick == Pick::Random {
            for i in (1..rows).rev() {
                pick.swap(i, (rng.draw() % (i as u64 + 1)) as usize);
            }
        }
        let row = |node: usize| pick[site(node) % rows];
        let between = |from: usize, to: usize| matrix[row(from) * rows + row(to)].max(delay.min_ms);
        Ok((0..n * n).map(|k| (between(k / n, k % n) * 1e6) as u64).collect())
    }
}

/// Random points in a square; delay is distance.
fn plane(n: usize, diagonal: f64, rng: &mut Rng) -> Vec<f64> {
    let points: Vec<(f64, f64)> = (0..n).map(|_| (rng.unit(), rng.unit())).collect();
    let side = diagonal / 2f64.sqrt();
    (0..n * n)
        .map(|k| (points[k / n], points[k % n]))
        .map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1) * side)
        .collect()
}

fn load(file: &Path) -> Result<(usize, Vec<f64>)> {
    let named = || file.display().to_string();
    let raw = std::fs::read(file).with_context(named)?;
    let mut matrix: Vec<f64> = if file.extension().is_some_and(|ending| ending == "u16") {
        raw.chunks_exact(2)
            .map(|bytes| f64::from(u16::from_le_bytes([bytes[0], bytes[1]])))
            .collect()
    } else {
        String::from_utf8_lossy(&raw)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(|c: char| c == ',' || c.is_whitespace()))
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                entry
                    .parse()
                    .with_context(|| format!("{}: the entry {entry:?} is no number", file.display()))
            })
            .collect::<Result<_>>()?
    };
    let n = matrix.len().isqrt();
    ensure!(
        n > 0 && n * n == matrix.len(),
        "{}: {} entries are no square matrix",
        file.display(),
        matrix.len()
    );
    // What was not measured (negative or not a number) is given the median of the rest.
    let mut measured: Vec<f64> = matrix.iter().copied().filter(|value| *value > 0.0).collect();
    measured.sort_by(f64::total_cmp);
    let median = measured.get(measured.len() / 2).copied().unwrap_or(0.0);
    for value in &mut matrix {
        if value.is_nan() || *value < 0.0 {
            *value = median;
        }
    }
    Ok((n, matrix))
}
