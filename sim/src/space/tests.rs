use std::io::Write;

use rand::SeedableRng;

use super::*;

fn space(space: &Space, peers: usize) -> DelaySpace {
    let mut space = DelaySpace::new(space, ChaCha8Rng::seed_from_u64(5)).unwrap();
    (0..peers).for_each(|_| space.add());
    space
}

fn rectangle(source: SourcePlace) -> Space {
    Space::Rectangle {
        width_ms: 224.0,
        height_ms: 168.0,
        source,
        access_ms: 0.0,
    }
}

#[test]
fn the_rectangles_corners_are_140_ms_from_its_centre() {
    let space = space(&rectangle(SourcePlace::Centre), 2000);
    let delays: Vec<f64> = space.shortest_from_source_ms(1..=2000);
    let greatest = delays.iter().fold(0.0, |a: f64, b| a.max(*b));
    assert!((130.0..=140.0).contains(&greatest), "{greatest}");
    // The mean distance to the centre of this rectangle, integrated.
    let mean = delays.iter().sum::<f64>() / 2000.0;
    assert!((mean - 75.3).abs() < 2.0, "{mean}");
}

#[test]
fn delays_are_symmetric_and_never_zero() {
    let clusters = Space::Clusters {
        width_ms: 100.0,
        height_ms: 100.0,
        clusters: 3,
        spread_ms: 0.0,
        source: SourcePlace::Random,
        access_ms: 0.0,
    };
    for space in [space(&clusters, 40), space(&rectangle(SourcePlace::Random), 40)] {
        for a in 0..=40 {
            for b in 0..=40 {
                assert_eq!(space.one_way_ns(a, b), space.one_way_ns(b, a));
                assert!(space.one_way_ns(a, b) >= LEAST_NS);
            }
        }
    }
}

#[test]
fn clusters_are_clustered() {
    let clusters = Space::Clusters {
        width_ms: 1000.0,
        height_ms: 1000.0,
        clusters: 4,
        spread_ms: 1.0,
        source: SourcePlace::Centre,
        access_ms: 0.0,
    };
    let space = space(&clusters, 400);
    let near = (2..=400).filter(|b| space.one_way_ns(1, *b) < 8 * MS).count();
    assert!((60..=140).contains(&near), "a quarter is near: {near}");
}

#[test]
fn planetlab_gives_each_peer_a_node_of_its_own() {
    let matrix = Space::Matrix {
        file: "planetlab490".to_owned(),
        source: SourcePlace::Centre,
        access_ms: 0.0,
    };
    let mut space = space(&matrix, 244);
    let mut nodes: Vec<u32> = space.places.iter().map(|p| p.node).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, (0..245).collect::<Vec<_>>());
    // A relayed way is never longer than the direct one, and somewhere shorter.
    let shortest = space.shortest_from_source_ms(1..=244);
    let direct: Vec<f64> = (1..=244)
        .map(|p| space.one_way_ns(0, p) as f64 / MS as f64)
        .collect();
    assert!(shortest.iter().zip(&direct).all(|(s, d)| s <= d));
    assert!(shortest.iter().zip(&direct).any(|(s, d)| *s < d - 5.0));
    space.add_instead_of(7);
    assert_eq!(space.places[245], space.places[7]);
}

#[test]
fn access_lines_count_at_both_ends() {
    let matrix = |access_ms| Space::Matrix {
        file: "planetlab490".to_owned(),
        source: SourcePlace::Centre,
        access_ms,
    };
    let (bare, homes) = (space(&matrix(0.0), 30), space(&matrix(20.0), 30));
    let added: u64 = (1..30)
        .map(|p| homes.one_way_ns(p, p + 1) - bare.one_way_ns(p, p + 1))
        .sum();
    let mean_ms = added as f64 / 29.0 / MS as f64;
    assert!((12.0..28.0).contains(&mean_ms), "two halves of 20 ms: {mean_ms}");
}

#[test]
fn broken_matrix_files_are_refused() {
    let check = |entries: &[u16], expected: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for entry in entries {
            file.write_all(&entry.to_le_bytes()).unwrap();
        }
        let space = Space::Matrix {
            file: file.path().to_string_lossy().into_owned(),
            source: SourcePlace::Centre,
            access_ms: 0.0,
        };
        let error = DelaySpace::new(&space, ChaCha8Rng::seed_from_u64(1)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[], "no square");
    check(&[0, 1, 1], "no square");
    check(&[0, 65_535, 1, 0], "row 0 column 1 is missing");
}
