//! Runs the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than any run here takes on a busy machine: a program that is not done by then hangs.
const HANGS: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stderr: mpsc::Receiver<String>,
}

/// A command with its own state folder below `home` and nothing inherited that would change what it does.
pub(crate) fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    command
        .args(args)
        .env_clear()
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (text, received) = mpsc::channel();
        // Read all the time, so that the program never waits for us.
        std::thread::spawn(move || {
            let mut all = String::new();
            let _ = stderr.read_to_string(&mut all);
            let _ = text.send(all);
        });
        Program {
            child,
            stderr: received,
        }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    /// Sends a signal as a user would.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end; `stdout` is what the caller has not read.
    pub(crate) fn end(mut self) -> Outcome {
        let stdout = self.child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                let _ = stdout.read_to_string(&mut text);
            }
            text
        });
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < HANGS, "the program hangs");
            std::thread::sleep(Duration::from_millis(10));
        };
        Outcome {
            code: status.code(),
            stdout: reader.join().unwrap(),
            stderr: self.stderr.recv_timeout(HANGS).unwrap(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs with `input` on standard input, to the end.
pub(crate) fn run_with(home: &Path, args: &[&str], input: &[u8]) -> Outcome {
    let mut program = Program::start(command(home, args).stdin(Stdio::piped()));
    let mut stdin = program.stdin();
    let input = input.to_vec();
    // A program that refuses its flags reads nothing.
    std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    program.end()
}

/// Runs without input, to the end.
pub(crate) fn run(home: &Path, args: &[&str]) -> Outcome {
    Program::start(&mut command(home, args)).end()
}

/// One line of standard output.
pub(crate) fn line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

impl Outcome {
    /// The one sentence on standard error.
    pub(crate) fn sentence(&self) -> &str {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "not one sentence: {self:?}");
        for ugly in ["panicked", "RUST_BACKTRACE", "Err(", "Some(", "{ ", "os error"] {
            assert!(!lines[0].contains(ugly), "{ugly:?} in {self:?}");
        }
        lines[0]
            .strip_prefix("headwater: ")
            .unwrap_or_else(|| panic!("no name: {self:?}"))
    }

    /// Bad input: exit code 2 and one sentence that has all of `parts`.
    pub(crate) fn refused(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        let sentence = self.sentence();
        for part in parts {
            assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
        }
    }
}
