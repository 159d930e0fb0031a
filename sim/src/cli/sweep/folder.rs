//! Where a sweep keeps its runs, so that an interrupted one goes on where it was.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use headwater_sim::plain;
use headwater_sim::sweep::{Job, Point};
use serde_json::Value;

use super::Failure;

/// The file that says which program made the results beside it.
const PROGRAM: &str = "program";

/// Longest name of a result file without its ending: file systems take 255 bytes.
const MAX_NAME: usize = 150;

/// A folder with result files.
pub(super) struct Folder {
    path: PathBuf,
    /// Whether what lies there was made by this very program: another may come to other results.
    ours: bool,
}

impl Folder {
    /// The folder, which is made if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            let (path, why) = (path.display(), plain(error));
            Failure::Input(format!(
                "cannot use {path} ({why}); choose another folder with --keep"
            ))
        };
        fs::create_dir_all(path).map_err(|e| cannot(&e))?;
        let program = std::env::current_exe()
            .and_then(fs::read)
            .map(|program| blake3::hash(&program).to_string())
            .map_err(|e| cannot(&e))?;
        let marker = path.join(PROGRAM);
        let ours = fs::read_to_string(&marker).is_ok_and(|earlier| earlier.trim() == program);
        if !ours {
            fs::write(&marker, format!("{program}\n")).map_err(|e| cannot(&e))?;
        }
        Ok(Folder {
            path: path.to_owned(),
            ours,
        })
    }

    /// The result of this run, if it was made before by this program from the same scenario.
    pub(super) fn find(&self, scenario: &str, point: &Point, job: &Job) -> Option<Value> {
        let text = self
            .ours
            .then(|| fs::read(self.file(scenario, point, job)).ok())??;
        let result: Value = serde_json::from_slice(&text).ok()?;
        (result.get("params") == Some(&job.params())).then_some(result)
    }

    /// Writes a result down, whole or not at all.
    pub(super) fn keep(
        &self,
        scenario: &str,
        point: &Point,
        job: &Job,
        result: &Value,
    ) -> Result<(), Failure> {
        let file = self.file(scenario, point, job);
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::Run(format!("cannot write {} ({})", file.display(), plain(error)))
        };
        let mut new = tempfile::NamedTempFile::new_in(&self.path).map_err(|e| cannot(&e))?;
        let text = serde_json::to_string_pretty(result).map_err(|e| cannot(&e))?;
        new.write_all(text.as_bytes()).map_err(|e| cannot(&e))?;
        new.persist(&file).map_err(|e| cannot(&e))?;
        Ok(())
    }

    /// Its file: settings and seed in the name, as far as they fit and files may be called so.
    fn file(&self, scenario: &str, point: &Point, job: &Job) -> PathBuf {
        let said = format!("{scenario} {point}");
        let mut name: String = said
            .chars()
            .map(|letter| match letter {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '=' | '_' | '-' => letter,
                _ => '-',
            })
            .collect();
        if name.len() > MAX_NAME {
            name.truncate(MAX_NAME);
            name.push_str(&blake3::hash(said.as_bytes()).to_hex()[..8]);
        }
        self.path.join(format!("{name}-{}.json", job.seed))
    }
}
