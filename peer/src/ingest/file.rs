//! Standard input, files, named pipes and the built-in test stream.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::Path;

use super::pace::{Schedule, Stop, find_clock, follow, play, read_some};
use super::{PieceSender, READ_MAX, ReadOptions, spawn};
use crate::error::{Failure, plain_io};
use crate::media::testcard::TestCard;

/// Starts to read standard input.
pub(super) fn start_stdin(options: ReadOptions, out: PieceSender) -> Result<(), Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::input(
            "standard input is a terminal; pipe an encoder into headwater cast, or name a file",
        ));
    }
    let name = "standard input".to_owned();
    match redirected_file() {
        Some(file) => start_regular(file, name, options, out),
        None => spawn(move || read_pipe(stdin.lock(), &name, options, &out)),
    }
}

/// Standard input as a file, if that is what was redirected to it.
#[cfg(unix)]
fn redirected_file() -> Option<File> {
    use std::os::fd::AsFd;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(not(unix))]
fn redirected_file() -> Option<File> {
    None
}

/// Starts to read a file or named pipe.
pub(super) fn start_file(path: &Path, options: ReadOptions, out: PieceSender) -> Result<(), Failure> {
    let refuse = |reason: &str| {
        Failure::input(format!(
            "the input {} cannot be read ({reason}); check its path",
            path.display()
        ))
    };
    let kind = std::fs::metadata(path).map_err(|error| refuse(&plain_io(&error)))?;
    if kind.is_dir() {
        return Err(refuse("it is a folder"));
    }
    let name = path.display().to_string();
    if kind.is_file() {
        let file = File::open(path).map_err(|error| refuse(&plain_io(&error)))?;
        return start_regular(file, name, options, out);
    }
    // Opening a named pipe waits for its writer: in the thread.
    let path = path.to_owned();
    spawn(move || match File::open(&path) {
        Ok(pipe) => read_pipe(pipe, &name, options, &out),
        Err(error) => out.fail(&name, &error),
    })
}

/// Starts to make the built-in test stream.
pub(super) fn start_test_card(card: TestCard, out: PieceSender) -> Result<(), Failure> {
    spawn(move || {
        let mut schedule = Schedule::start();
        for burst in card {
            schedule.wait_for(burst.at);
            if out.send_bytes(burst.bytes).is_err() {
                break;
            }
        }
    })
}

/// A pipe comes at the pace of whoever writes to it, unless the user gives one.
fn read_pipe(mut pipe: impl Read, name: &str, options: ReadOptions, out: &PieceSender) {
    let done = match options.rate {
        Some(_) => play(&mut pipe, &[], options, &mut Schedule::start(), out),
        None => follow(&mut pipe, out),
    };
    if let Err(Stop::Failed(error)) = done {
        out.fail(name, &error);
    }
}

/// A regular file has no pace but its own clock's or the one given.
fn start_regular(
    mut file: File,
    name: String,
    options: ReadOptions,
    out: PieceSender,
) -> Result<(), Failure> {
    let mut head = vec![0; READ_MAX];
    let refuse = |error: io::Error| {
        Failure::input(format!(
            "{name} cannot be read ({}); name another input",
            plain_io(&error)
        ))
    };
    let len = read_some(&mut file, &mut head).map_err(refuse)?;
    head.truncate(len);
    if options.rate.is_none() && !head.is_empty() && !find_clock(&mut file, &mut head).map_err(refuse)? {
        return Err(Failure::input(format!(
            "{name} has no clock as MPEG-TS has one, so nothing says how fast it plays; give --rate, such as --rate 4mbit"
        )));
    }
    spawn(move || {
        let mut schedule = Schedule::start();
        let mut done = play(&mut file, &head, options, &mut schedule, &out);
        while options.repeat && done.is_ok() && !head.is_empty() {
            schedule.repeat();
            done = match file.rewind() {
                Ok(()) => play(&mut file, &[], options, &mut schedule, &out),
                Err(error) => Err(Stop::Failed(error)),
            };
        }
        if let Err(Stop::Failed(error)) = done {
            out.fail(&name, &error);
        }
    })
}
