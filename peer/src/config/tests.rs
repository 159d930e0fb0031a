use clap::{Args, CommandFactory, FromArgMatches, Parser};

use super::*;

#[derive(Debug, Args)]
struct Shared {
    #[arg(long, default_value_t = 1)]
    depth: u32,
    #[arg(long)]
    join: Vec<String>,
    #[arg(long)]
    headless: bool,
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Parser)]
enum Program {
    Dig {
        #[command(flatten)]
        shared: Shared,
        #[arg(long)]
        title: Option<String>,
    },
    Fill {
        #[arg(long)]
        title: Option<String>,
    },
}

fn load(content: &str) -> Result<Config, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(&path, content).unwrap();
    Config::load(
        &path,
        &Program::command(),
        &Shared::augment_args(clap::Command::new("shared")),
    )
}

/// What `dig` is run with, given a file and a command line.
fn dig(content: &str, line: &[&str]) -> Result<(Shared, Option<String>), Failure> {
    let config = load(content)?;
    let mut line: Vec<OsString> = ["program", "dig"].iter().chain(line).map(Into::into).collect();
    let given = Program::command().try_get_matches_from(&line).unwrap();
    let command = Program::command();
    let extra = config.arguments(
        command.find_subcommand("dig").unwrap(),
        given.subcommand().unwrap().1,
    )?;
    line.splice(2..2, extra);
    let matches = Program::command().try_get_matches_from(&line).unwrap();
    match Program::from_arg_matches(&matches).unwrap() {
        Program::Dig { shared, title } => Ok((shared, title)),
        Program::Fill { title } => panic!("not asked for: {title:?}"),
    }
}

#[test]
fn tables_win_over_the_top_and_flags_over_both() {
    let file = "depth = 2\njoin = [\"a\", \"b\"]\nheadless = true\n[dig]\ndepth = 3\ntitle = \"t\"\n";
    let (shared, title) = dig(file, &[]).unwrap();
    assert_eq!((shared.depth, title.as_deref()), (3, Some("t")));
    assert_eq!(shared.join, ["a", "b"]);
    assert!(shared.headless);
    assert_eq!(shared.config, None);

    let (shared, title) = dig(file, &["--depth", "4", "--join=c", "--title", "u"]).unwrap();
    assert_eq!((shared.depth, title.as_deref()), (4, Some("u")));
    assert_eq!(shared.join, ["c"]);
}

#[test]
fn values_that_look_like_flags_are_values() {
    let (_, title) = dig("[dig]\ntitle = \"--headless\"", &[]).unwrap();
    assert_eq!(title.as_deref(), Some("--headless"));
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("dept = 2", &["\"dept\"", "my.toml", "did you mean \"depth\""][..]),
        ("title = \"only for subcommands\"", &["\"title\""]),
        ("[fill]\ndepth = 1", &["[fill] \"depth\""]),
        ("[digg]\ntitle = \"x\"", &["\"digg\"", "did you mean \"dig\""]),
        ("config = \"other.toml\"", &["\"config\""]),
        ("depth = 2\ndepth = 3", &["line 2", "not TOML"]),
        ("depth = ", &["line 1"]),
        ("headless = 1", &["\"headless\"", "true or false"]),
        ("depth = [1]", &["\"depth\"", "one text or number"]),
        ("join = [[1]]", &["\"join\""]),
    ];
    for (file, parts) in cases {
        let failure = match dig(file, &[]) {
            Err(failure) => failure,
            Ok(parsed) => panic!("{file:?} gave {parsed:?}"),
        };
        assert_eq!(failure.exit_code(), 2);
        for part in parts {
            assert!(failure.to_string().contains(part), "{file:?}: {failure}");
        }
        assert!(!failure.to_string().contains('\n'), "{failure}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("my.toml");
    let failure = Config::load(&missing, &Program::command(), &clap::Command::new("shared")).unwrap_err();
    assert!(
        failure.to_string().contains(missing.to_str().unwrap()),
        "{failure}"
    );
}
