use super::*;
use crate::scenario::Scenario;

fn figures(more: &[&str]) -> Vec<(String, String)> {
    let mut set = vec!["peers.count=20", "measure.start_s=3", "measure.length_s=3"];
    set.extend(more);
    let set: Vec<String> = set.into_iter().map(ToOwned::to_owned).collect();
    let scenario = Scenario::load("paper-fig5", &set).unwrap();
    let outcome = crate::run(&scenario).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = write_figures(&outcome, folder.path()).unwrap();
    let named = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.iter().map(named).collect()
}

#[test]
fn each_figure_says_what_it_shows() {
    let figures = figures(&[
        "donors.count=4",
        "joins.0.over_s=2",
        "donors.over_s=2",
        "faults=[{kind='crash',at_s=4,share=0.2}]",
        "baselines=['tree']",
    ]);
    let names: Vec<&str> = figures
        .iter()
        .map(|(name, _)| name.trim_start_matches("paper-fig5-1-"))
        .collect();
    assert_eq!(
        names,
        ["lag", "distance", "continuity", "depth", "upload", "overlay"]
    );
    for ((name, svg), words) in figures.iter().zip([
        ["playout lag, tree", "lower bound of the mean", "share of chunks"],
        [
            "playout lag of consumers",
            "arrival lag of donors",
            "one way from the peercaster, ms",
        ],
        [
            "a fault of the scenario",
            "viewers that play",
            "time at which chunks were made, s",
        ],
        ["from the 10th to the 90th percentile", "most", "substream"],
        [
            "peercaster 5.00x (1)",
            "donor 2.00x (4)",
            "share of the time that the uplink was busy, %",
        ],
        ["donors", "peercaster", "one-way delay along x, ms"],
    ]) {
        for word in words {
            assert!(svg.contains(word), "{name} lacks {word:?}");
        }
    }
}

#[test]
fn measured_delays_have_no_plane_to_draw_an_overlay_in() {
    let matrix = ["space={kind='matrix',file='planetlab490'}"];
    let figures = figures(&matrix);
    assert_eq!(figures.len(), 5);
    assert!(figures.iter().all(|(name, _)| !name.ends_with("overlay")));
}
