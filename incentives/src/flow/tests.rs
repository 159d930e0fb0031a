use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

fn peer(n: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

/// Debtor, creditor, bytes.
type Edges = Vec<(usize, usize, u64)>;

fn of(edges: &Edges) -> Vec<(PeerId, PeerId, u64)> {
    edges
        .iter()
        .map(|&(debtor, creditor, bytes)| (peer(debtor), peer(creditor), bytes))
        .collect()
}

/// The maximum flow from creditor to debtor by Edmonds and Karp, on a matrix: nothing in common with what is tested.
fn edmonds_karp(nodes: usize, edges: &Edges, from: usize, target: usize) -> u64 {
    let mut residual = vec![vec![0u64; nodes]; nodes];
    for &(debtor, creditor, bytes) in edges {
        residual[creditor][debtor] += bytes;
    }
    let mut total = 0;
    loop {
        let mut before = vec![usize::MAX; nodes];
        before[from] = from;
        let mut queue = vec![from];
        let mut at = 0;
        while at < queue.len() && before[target] == usize::MAX {
            for next in 0..nodes {
                if before[next] == usize::MAX && residual[queue[at]][next] > 0 {
                    before[next] = queue[at];
                    queue.push(next);
                }
            }
            at += 1;
        }
        if before[target] == usize::MAX {
            return total;
        }
        let mut way = vec![target];
        while way[way.len() - 1] != from {
            way.push(before[way[way.len() - 1]]);
        }
        let hops: Vec<_> = way.windows(2).map(|hop| (hop[1], hop[0])).collect();
        let bytes = hops.iter().map(|&(a, b)| residual[a][b]).min().unwrap();
        for (a, b) in hops {
            residual[a][b] -= bytes;
            residual[b][a] += bytes;
        }
        total += bytes;
    }
}

/// All simple paths of at most five edges.
fn short_paths(nodes: usize, edges: &Edges, from: usize, target: usize) -> Vec<Vec<usize>> {
    let mut open = vec![vec![from]];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        let end = path[path.len() - 1];
        if end == target {
            found.push(path);
        } else if path.len() <= MAX_LENGTH {
            for next in 0..nodes {
                let owes = edges
                    .iter()
                    .any(|&(debtor, creditor, _)| (debtor, creditor) == (next, end));
                if owes && !path.contains(&next) {
                    open.push([&path[..], &[next]].concat());
                }
            }
        }
    }
    found
}

/// The greatest flow over these paths, not in whole bytes: the linear programme, by the simplex method with a full tableau.
fn best_over(paths: &[Vec<usize>], edges: &Edges) -> f64 {
    let (rows, columns) = (edges.len(), paths.len());
    // Columns: one for each path, one for what each edge has left, the right side.
    let mut table = vec![vec![0f64; columns + rows + 1]; rows + 1];
    for (row, &(debtor, creditor, bytes)) in edges.iter().enumerate() {
        for (column, path) in paths.iter().enumerate() {
            if path.windows(2).any(|hop| hop == [creditor, debtor]) {
                table[row][column] = 1.0;
            }
        }
        table[row][columns + row] = 1.0;
        table[row][columns + rows] = bytes as f64;
    }
    table[rows][..columns].fill(-1.0);
    // Bland's rule: the first column that helps, and of equal rows the first.
    let mut basis: Vec<_> = (columns..columns + rows).collect();
    while let Some(column) = (0..columns + rows).find(|&column| table[rows][column] < -1e-9) {
        let ratio = |row: usize| table[row][columns + rows] / table[row][column];
        let row = (0..rows)
            .filter(|&row| table[row][column] > 1e-9)
            .min_by(|&a, &b| ratio(a).total_cmp(&ratio(b)).then(basis[a].cmp(&basis[b])))
            .unwrap();
        let pivot = table[row][column];
        table[row].iter_mut().for_each(|value| *value /= pivot);
        let pivoted = table[row].clone();
        for (other, line) in table.iter_mut().enumerate() {
            let factor = line[column];
            if other != row && factor != 0.0 {
                line.iter_mut()
                    .zip(&pivoted)
                    .for_each(|(value, by)| *value -= factor * by);
            }
        }
        basis[row] = column;
    }
    table[rows][columns + rows]
}

fn random_edges(rng: &mut ChaCha8Rng, nodes: usize, one_in: u32) -> Edges {
    let mut edges = Edges::new();
    for debtor in 0..nodes {
        for creditor in 0..nodes {
            if debtor != creditor && rng.random_range(0..one_in) == 0 {
                edges.push((debtor, creditor, rng.random_range(1..100)));
            }
        }
    }
    edges
}

/// Every path begins and ends where it should, is short, comes to nobody twice, and all of them together take no more than
/// there is.
#[track_caller]
fn check_paths(plan: &Plan, edges: &Edges, from: usize, target: usize) {
    let mut left = of(edges);
    for (path, bytes) in &plan.paths {
        assert!((2..=MAX_SHIFT_PEERS).contains(&path.len()));
        assert_eq!((path[0], path[path.len() - 1]), (peer(from), peer(target)));
        assert_eq!(path.iter().collect::<BTreeSet<_>>().len(), path.len());
        assert!(*bytes > 0);
        for hop in path.windows(2) {
            let edge = left
                .iter_mut()
                .find(|edge| (edge.1, edge.0) == (hop[0], hop[1]))
                .unwrap();
            edge.2 = edge.2.checked_sub(*bytes).expect("no more than there is");
        }
    }
    assert_eq!(plan.total, plan.paths.iter().map(|(_, bytes)| bytes).sum::<u64>());
}

#[test]
fn where_no_path_is_too_long_it_is_the_maximum_flow() {
    // With six peers no path has more than five edges.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut flows = 0;
    for _ in 0..1000 {
        let nodes = rng.random_range(2..=6);
        let one_in = rng.random_range(1..4);
        let edges = random_edges(&mut rng, nodes, one_in);
        let plan = plan(&of(&edges), peer(0), peer(1));
        check_paths(&plan, &edges, 0, 1);
        assert_eq!(plan.total, edmonds_karp(nodes, &edges, 0, 1), "{edges:?}");
        flows += u32::from(plan.total > 0);
    }
    assert!(flows > 700, "{flows}");
}

#[test]
fn where_paths_are_too_long_it_never_exceeds_what_is_possible_and_seldom_misses_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (mut met, mut bound, mut planned, mut possible) = (0, 0, 0.0, 0.0);
    for _ in 0..1000 {
        let nodes = rng.random_range(10..=14);
        let one_in = rng.random_range(5..9);
        let edges = random_edges(&mut rng, nodes, one_in);
        let plan = plan(&of(&edges), peer(0), peer(1));
        check_paths(&plan, &edges, 0, 1);
        let best = best_over(&short_paths(nodes, &edges, 0, 1), &edges);
        let unlimited = edmonds_karp(nodes, &edges, 0, 1);
        assert!(plan.total as f64 <= best + 1e-6 && best <= unlimited as f64 + 1e-6);
        met += u32::from((plan.total as f64) > best - 1e-6);
        bound += u32::from(best < unlimited as f64 - 1e-6);
        planned += plan.total as f64;
        possible += best;
    }
    assert!(bound > 40, "the limit matters in {bound} of 1000");
    assert!(met >= 980, "the best in {met} of 1000");
    assert!(planned >= 0.99 * possible, "{planned} of {possible}");
    println!(
        "the limit binds in {bound} of 1000; the best in {met}; {:.4} of what is possible",
        planned / possible
    );
}

#[test]
fn to_several_it_is_the_maximum_flow_to_them_together() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut flows, mut less) = (0, 0);
    for _ in 0..1000 {
        let nodes = rng.random_range(3..=6);
        let one_in = rng.random_range(1..4);
        let edges = random_edges(&mut rng, nodes, one_in);
        let targets: BTreeSet<usize> = (1..nodes).filter(|_| rng.random_range(0..2) == 0).collect();
        let reached = reach(&of(&edges), peer(0), &targets.iter().map(|&n| peer(n)).collect());
        // They owe one more than there are whatever it gets.
        let mut with_end = edges.clone();
        with_end.extend(targets.iter().map(|&n| (nodes, n, 1 << 40)));
        assert_eq!(
            reached,
            edmonds_karp(nodes + 1, &with_end, 0, nodes),
            "{edges:?} {targets:?}"
        );
        let each = targets.iter().map(|&n| plan(&of(&edges), peer(0), peer(n)).total);
        less += u32::from(reached < each.sum());
        flows += u32::from(reached > 0);
    }
    assert!(
        flows > 600 && less > 100,
        "{flows} flows, {less} less than the sum"
    );
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(plan(&[], peer(0), peer(1)), Plan::default());
    assert_eq!(plan(&of(&vec![(1, 0, 5)]), peer(0), peer(0)), Plan::default());
    assert_eq!(plan(&of(&vec![(0, 1, 5)]), peer(0), peer(1)), Plan::default());
    assert_eq!(plan(&of(&vec![(1, 0, 0)]), peer(0), peer(1)), Plan::default());
    // Six edges are one too many.
    let line: Edges = (0..6).map(|n| (n + 1, n, 9)).collect();
    assert_eq!(plan(&of(&line), peer(0), peer(6)), Plan::default());
    assert_eq!(plan(&of(&line), peer(0), peer(5)).total, 9);
}

#[test]
fn sybils_claim_no_more_than_the_edges_to_them_carry() {
    // A peer with ten honest debtors; an attacker whom one of them owes 3 and who owes a hundred of his own identities anything.
    let mut edges: Edges = (1..=10).map(|n| (n, 0, 1000)).collect();
    edges.push((5, 100, 3));
    for n in 101..200 {
        edges.push((100, n, u64::MAX / 4));
        edges.push((n, 100 + (n - 99) % 100, u64::MAX / 4));
        edges.push((n, n + 100, u64::MAX / 4));
    }
    for honest in 1..=10 {
        edges.push((honest % 10 + 1, honest, 50));
        for sybil in [100, 101, 150, 250] {
            let claims = plan(&of(&edges), peer(sybil), peer(honest)).total;
            assert!(claims <= 3, "{sybil} claims {claims}");
        }
    }
}
