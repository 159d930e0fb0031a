//! Configuration, keys, statistics, completions.

use std::path::Path;

use crate::program::{run, run_with};

const LOCAL: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn cast(home: &Path, extra: &[&str]) -> crate::program::Outcome {
    let args = [&["cast"], &LOCAL[..], extra].concat();
    run_with(home, &args, &[7; 20_000])
}

#[test]
fn a_configuration_is_read_and_flags_win() {
    let home = tempfile::tempdir().unwrap();
    let file = "listen = \"127.0.0.1:0\"\n[cast]\ntitle = \"from the file\"\n";
    std::fs::write(home.path().join("my.toml"), file).unwrap();
    let outcome = cast(home.path(), &["--config", "my.toml"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("title=from%20the%20file"), "{outcome:?}");
    let outcome = cast(home.path(), &["--config", "my.toml", "--title", "mine"]);
    assert!(outcome.stdout.contains("title=mine"), "{outcome:?}");
}

#[test]
fn a_wrong_configuration_is_named() {
    let home = tempfile::tempdir().unwrap();
    let check = |content: &str, parts: &[&str]| {
        std::fs::write(home.path().join("my.toml"), content).unwrap();
        run(home.path(), &["cast", "--config", "my.toml"]).refused(parts);
    };
    check("uplod = \"20mbit\"", &["\"uplod\"", "my.toml", "\"upload\""]);
    check("[cast]\ntitel = \"x\"", &["[cast]", "\"titel\"", "\"title\""]);
    check("[cats]\ntitle = \"x\"", &["\"cats\"", "\"cast\""]);
    check("upload = \"fast\"", &["fast", "my.toml"]);
    check("upload = ", &["my.toml", "line 1"]);
    run(home.path(), &["cast", "--config", "other.toml"]).refused(&["other.toml"]);
}

#[cfg(unix)]
#[test]
fn keys_are_made_private_and_stay() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let first = cast(home.path(), &["--identity", "me.key", "--stream-key", "my.key"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    for key in ["me.key", "my.key"] {
        let mode = std::fs::metadata(home.path().join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let id = |link: &str| link.split('?').next().unwrap().to_owned();
    let second = cast(home.path(), &["--identity", "me.key", "--stream-key", "my.key"]);
    assert_eq!(
        id(&first.stdout),
        id(&second.stdout),
        "the same key, the same stream"
    );

    std::fs::set_permissions(home.path().join("me.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    cast(home.path(), &["--identity", "me.key"]).refused(&["me.key", "chmod 600"]);
    std::fs::write(home.path().join("my.key"), "nonsense").unwrap();
    cast(home.path(), &["--stream-key", "my.key"]).refused(&["my.key", "--stream-key"]);
}

#[test]
fn a_state_folder_keeps_the_stream() {
    let home = tempfile::tempdir().unwrap();
    let first = cast(home.path(), &["--state", "state"]);
    let second = cast(home.path(), &["--state", "state"]);
    let id = |link: &str| link.split('?').next().unwrap().to_owned();
    assert_eq!(id(&first.stdout), id(&second.stdout));
    assert!(home.path().join("state/stream.key").exists());
    std::fs::write(home.path().join("file"), b"").unwrap();
    cast(home.path(), &["--state", "file/state"]).refused(&["file/state", "--state"]);
}

#[test]
fn statistics_have_samples_and_a_summary() {
    let home = tempfile::tempdir().unwrap();
    // 20 kB at 100 kbit/s: 1.6 s.
    let outcome = cast(home.path(), &["--stats", "stats.jsonl", "--rate", "100kbit"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let text = std::fs::read_to_string(home.path().join("stats.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() >= 2, "{text}");
    let (last, samples) = lines.split_last().unwrap();
    assert_eq!(last["type"], "summary");
    assert!(
        samples
            .iter()
            .all(|line| line["type"] == "sample" && line["role"] == "cast"),
        "{text}"
    );
    assert!(
        outcome.stdout.contains(last["stream"].as_str().unwrap()),
        "{outcome:?}"
    );
    let nowhere = home.path().join("no-folder/stats");
    let nowhere = nowhere.to_str().unwrap();
    cast(home.path(), &["--stats", nowhere]).refused(&[nowhere, "--stats"]);
}

#[test]
fn every_command_has_a_worked_example() {
    let home = tempfile::tempdir().unwrap();
    let top = run(home.path(), &["--help"]);
    assert_eq!((top.code, top.stderr.as_str()), (Some(0), ""));
    let commands: Vec<&str> = top
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(
        commands.contains(&"cast") && commands.contains(&"donate"),
        "{commands:?}"
    );
    for command in commands {
        let help = run(home.path(), &[command, "--help"]);
        assert_eq!(help.code, Some(0));
        let example = help
            .stdout
            .split("Example")
            .nth(1)
            .unwrap_or_else(|| panic!("{command}: {help:?}"));
        assert!(
            example.contains(&format!("headwater {command}")),
            "{command}: {example}"
        );
    }
}

#[test]
fn completions_are_printed() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = run(home.path(), &["completions", shell]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.contains("stream-key"), "{shell}");
    }
}
