//! `exec:`: a player that is started here and fed through its standard input.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use super::Alive;
use super::queue::Queue;
use crate::error::plain_io;

/// A player that closed its input, or was given the end of the stream, has this long to play what it has and leave.
/// Longer than what players buffer of a live stream; a player that stays open at the end on purpose (ffplay) is closed.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The player's complaints are read line by line, and a line is cut at this length.
const LINE_MAX: u64 = 1000;

/// Starts the player. What it says on standard error goes to the log: its words would tear the terminal interface.
///
/// # Errors
/// When there is no such program, or it may not be run.
pub(super) fn start(words: &[String], queue: Queue, alive: Alive) -> io::Result<()> {
    let program = words.first().cloned().unwrap_or_default();
    let mut child = Command::new(&program)
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    tokio::spawn(async move {
        run(&program, child, stdin, stderr, queue).await;
        drop(alive);
    });
    Ok(())
}

async fn run(
    program: &str,
    mut child: Child,
    stdin: Option<ChildStdin>,
    stderr: Option<ChildStderr>,
    mut queue: Queue,
) {
    let complaints = tokio::spawn(listen(program.to_owned(), stderr));
    let mut left = tokio::select! {
        status = child.wait() => Some(status),
        () = feed(stdin, &mut queue) => None,
    };
    if left.is_none() {
        left = tokio::time::timeout(LEAVE_MAX, child.wait()).await.ok();
    }
    match left {
        Some(Ok(status)) if !status.success() => {
            // Its standard error ends with it, unless it left a child behind that holds it.
            let last = tokio::time::timeout(Duration::from_millis(200), complaints).await;
            let words = last.ok().and_then(Result::ok).flatten();
            let failure = describe(program, status, words);
            tracing::warn!("{failure}");
            queue.shared().fail(failure);
        }
        Some(Ok(_)) => tracing::info!("the player {program} was closed"),
        Some(Err(error)) => queue
            .shared()
            .fail(format!("the player {program} was lost ({})", plain_io(&error))),
        None => tracing::debug!("the player {program} stays open at the end; closing it"),
    }
}

fn describe(program: &str, status: ExitStatus, last_words: Option<String>) -> String {
    let words = last_words.map(|words| format!(" ({words})")).unwrap_or_default();
    match status.code() {
        Some(code) => format!("the player {program} ended with exit code {code}{words}"),
        None => format!("the player {program} was ended by a signal{words}"),
    }
}

/// Until the stream ends or the player closes its input.
async fn feed(stdin: Option<ChildStdin>, queue: &mut Queue) {
    let Some(mut stdin) = stdin else { return };
    while let Some(delivery) = queue.recv().await {
        if delivery.begins
            && !delivery.item.tables.is_empty()
            && stdin.write_all(&delivery.item.tables).await.is_err()
        {
            return;
        }
        if stdin.write_all(&delivery.item.bytes).await.is_err() {
            return;
        }
        queue.shared().count_written(delivery.item.bytes.len());
    }
}

/// Reads the player's standard error to its end; returns the last thing it said.
async fn listen(program: String, stderr: Option<ChildStderr>) -> Option<String> {
    let mut reader = BufReader::new(stderr?);
    let mut last = None;
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        // Progress displays rewrite their line with carriage returns; the last state of it counts.
        let said = text.rsplit('\r').map(str::trim).find(|part| !part.is_empty());
        if let Some(said) = said {
            let clean: String = said.chars().filter(|c| !c.is_control()).collect();
            tracing::debug!("{program}: {clean}");
            last = Some(clean);
        }
    }
}
