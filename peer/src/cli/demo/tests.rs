use std::path::Path;
use std::time::Duration;

use wire::Bitrate;

use super::*;
use crate::media::testcard::TestCardConfig;

const RATE: Bitrate = Bitrate::from_kbps(1000);

/// The first `seconds` of the test card.
fn card(seconds: u64) -> Vec<u8> {
    let config = TestCardConfig {
        bitrate: RATE.as_bps(),
        ..TestCardConfig::default()
    };
    let end = Duration::from_secs(seconds);
    TestCard::new(config)
        .unwrap()
        .take_while(|burst| burst.at < end)
        .flat_map(|burst| burst.bytes)
        .collect()
}

fn plan(input: &Path, viewers: usize, donors: usize) -> Plan {
    Plan {
        viewers,
        donors,
        rate: RATE,
        paced_by: None,
        input: Some(InputSpec::File(input.to_owned())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_put_out_what_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.ts");
    let sent = card(6);
    std::fs::write(&input, &sent).unwrap();
    let paths = [dir.path().join("1.ts"), dir.path().join("2.ts")];
    let mut outputs = Vec::new();
    for path in &paths {
        outputs.push(Outputs::open(&[OutputSpec::File(path.clone())]).await.unwrap());
    }
    let plan = plan(&input, 3, 1);
    let stats = dir.path().join("stats.jsonl");
    let target: StatsTarget = stats.to_str().unwrap().parse().unwrap();
    let mut swarm = Swarm::start(&plan, Statistics::open(Some(&target), None).await.unwrap())
        .await
        .unwrap();
    swarm
        .populate(&plan, outputs, None, &Interrupt::manual())
        .await
        .unwrap();
    // The file ends, and with it the stream for everybody.
    let over = tokio::time::timeout(Duration::from_secs(30), swarm.over())
        .await
        .unwrap();
    assert_eq!(over, Over::Done);
    let (report, closed) = swarm.close(Duration::from_secs(20)).await;
    closed.unwrap();
    // How much comes in time is the machine's affair here: other tests run beside this one.
    report.verdict(0.2).unwrap();
    assert_eq!(report.rows.len(), 3 + 1 + 1);

    for (path, row) in paths.iter().zip(&report.rows) {
        let got = std::fs::read(path).unwrap();
        let start = sent
            .windows(188 * 8)
            .position(|window| got.starts_with(window))
            .expect("it began in the input");
        // Up to a gap, if there was one, it is what was sent; without one, all of it.
        let same = got.iter().zip(&sent[start..]).take_while(|(a, b)| a == b).count();
        if row.missed == 0 {
            assert_eq!(same, got.len(), "{} from byte {start} on", path.display());
            // It joined at the beginning: all but the first seconds is there.
            assert!(got.len() > sent.len() / 2, "{} of {}", got.len(), sent.len());
        }
    }
    let lines = std::fs::read_to_string(stats).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summaries = |role: &str| {
        lines
            .iter()
            .filter(|l| l["type"] == "summary" && l["role"] == role)
            .count()
    };
    assert_eq!(
        (summaries("watch"), summaries("donate"), summaries("cast")),
        (3, 1, 1)
    );
    assert!(lines.iter().filter(|line| line["type"] == "sample").count() >= 5 * 3);
}

#[test]
fn uplinks_are_those_of_the_scenarios() {
    let plan = |viewers| Plan {
        viewers,
        donors: 0,
        rate: Bitrate::from_kbps(1000),
        paced_by: None,
        input: None,
    };
    let sum = |plan: &Plan| {
        plan.viewer_uplinks()
            .iter()
            .map(|rate| rate.as_bps() as f64)
            .sum::<f64>()
            / 1e6
    };
    for viewers in [6, 20, 100] {
        let plan = plan(viewers);
        assert_eq!(plan.viewer_uplinks().len(), viewers);
        // Source and viewers together have 1.5 times what the viewers need.
        let index = (sum(&plan) + 3.0) / viewers as f64;
        assert!((1.49..1.6).contains(&index), "{viewers}: {index}");
    }
    // A source that could serve all alone: still everybody gives something.
    assert!(
        plan(1)
            .viewer_uplinks()
            .iter()
            .all(|rate| rate.as_bps() >= 200_000)
    );
}

#[test]
fn a_files_rate_is_found_by_its_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (ts, text) = (dir.path().join("a.ts"), dir.path().join("a.txt"));
    std::fs::write(&ts, card(3)).unwrap();
    std::fs::write(&text, "no clock in here").unwrap();
    let found = rate_of(&ts).unwrap().unwrap().as_bps();
    assert!((950_000..1_050_000).contains(&found), "{found}");
    assert_eq!(rate_of(&text).unwrap(), None);
    assert!(matches!(
        rate_of(&dir.path().join("none")),
        Err(Failure::Input(_))
    ));
}

#[test]
fn a_badly_served_viewer_is_a_failure() {
    use super::table::{Kind, Report, Row};
    let row = |startup, continuity| Row {
        kind: Kind::Viewer,
        number: 4,
        uplink: RATE,
        startup,
        lag: None,
        continuity,
        missed: 1,
        late: 0,
        bytes_in: 1_000_000,
        bytes_out: 0,
    };
    let verdict = |row| Report { rows: vec![row] }.verdict(0.99);
    let started = Some(Duration::from_millis(200));
    assert_eq!(verdict(row(started, 0.9951)), Ok(()));
    let failed = verdict(row(started, 0.98)).unwrap_err().to_string();
    assert!(
        failed.contains("viewer 4") && failed.contains("98.00 %"),
        "{failed}"
    );
    assert!(
        verdict(row(None, 1.0))
            .unwrap_err()
            .to_string()
            .contains("never started")
    );
    let printed = table::table(&Report {
        rows: vec![row(started, 0.99999)],
    });
    for part in ["viewer 4", " 200 ", "99.999"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(
        printed.lines().all(|line| line.chars().count() <= 80),
        "{printed}"
    );
}
