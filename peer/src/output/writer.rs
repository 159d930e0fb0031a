//! Pipe and file: the stream as it went in, byte for byte, from the first random-access chunk on.
//!
//! Both can block for as long as they like: a reader that does not read, a disk that is busy with other things. So a file
//! has a thread of its own. A pipe is a task, which writes what the system takes at once and leaves what it does not to a
//! thread: a player that keeps up costs no switch between threads for each chunk.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::Alive;
use super::queue::Queue;
use crate::error::plain_io;

/// Somebody who tails the file sees what was played this long ago, at most.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// At rates below 20 Mbit/s time makes it flush, above it size.
const FILE_BUFFER: usize = 256 * 1024;

/// Writes to standard output, each chunk as it comes.
pub(super) fn start_pipe(queue: Queue, alive: Alive) {
    start_each("standard output".into(), queue, alive, standard_output);
}

/// Creates the file and writes to it; what is no regular file is written chunk by chunk.
///
/// # Errors
/// When the file cannot be created. A named pipe is opened when there is a reader; that can fail only later.
pub(super) fn start_file(path: &Path, queue: Queue, alive: Alive) -> io::Result<()> {
    let name = path.display().to_string();
    if is_fifo(path) {
        let path = path.to_owned();
        start_each(name, queue, alive, move || File::options().write(true).open(path));
        return Ok(());
    }
    let file = File::create(path)?;
    let runtime = Handle::current();
    if file.metadata()?.is_file() {
        spawn(queue, alive, name, move |queue| {
            write_buffered(file, queue, &runtime)
        });
    } else {
        start_each(name, queue, alive, move || Ok(file));
    }
    Ok(())
}

/// Writes each chunk as it comes to what `open` gives, which may block until there is a reader.
fn start_each(
    name: String,
    mut queue: Queue,
    alive: Alive,
    open: impl FnOnce() -> io::Result<File> + Send + 'static,
) {
    // Nobody waits for this task but through `alive`: it may be blocked for ever.
    tokio::spawn(async move {
        let result = async {
            let file = blocking(open).await?;
            write_each(Arc::new(file), &mut queue).await
        };
        ended(result.await, &name, queue, alive);
    });
}

/// Runs what may block beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn spawn(
    mut queue: Queue,
    alive: Alive,
    name: String,
    write: impl FnOnce(&mut Queue) -> io::Result<()> + Send + 'static,
) {
    std::thread::spawn(move || {
        let result = write(&mut queue);
        ended(result, &name, queue, alive);
    });
}

/// Says how it ended, to the log and to those who wait.
fn ended(result: io::Result<()>, name: &str, queue: Queue, alive: Alive) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            tracing::info!("the reader of {name} has gone");
        }
        Err(error) => {
            let why = plain_io(&error);
            let failure = format!("writing to {name} failed ({why}); what was written before is whole");
            tracing::error!("{failure}");
            queue.shared().fail(failure);
        }
    }
    // In this order: who waits for the end finds the state final.
    drop(queue);
    drop(alive);
}

async fn write_each(pipe: Arc<File>, queue: &mut Queue) -> io::Result<()> {
    let at_once = at_once(&pipe);
    while let Some(delivery) = queue.recv().await {
        let mut rest = delivery.item.bytes.clone();
        while !rest.is_empty() && at_once > 0 && is_writable(&pipe)? {
            let written = (&*pipe).write(&rest[..rest.len().min(at_once)])?;
            rest.advance(written);
        }
        if !rest.is_empty() {
            let pipe = Arc::clone(&pipe);
            blocking(move || (&*pipe).write_all(&rest)).await?;
        }
        queue.shared().count_written(delivery.item.bytes.len());
    }
    Ok(())
}

/// What is written to a pipe at once without blocking when it says it is writable: POSIX's `PIPE_BUF` is at least 512, and
/// a page where pipes are.
#[cfg(unix)]
const PIPE_TAKES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// Bytes that this takes at once when it says it is writable: none, unless it is a pipe or takes all.
#[cfg(unix)]
fn at_once(file: &File) -> usize {
    use std::os::unix::fs::FileTypeExt as _;
    let null = std::fs::metadata("/dev/null");
    match (file.metadata(), null) {
        (Ok(meta), _) if meta.file_type().is_fifo() => PIPE_TAKES,
        (Ok(meta), Ok(null)) if is_same(&meta, &null) => usize::MAX,
        _ => 0,
    }
}

#[cfg(unix)]
fn is_same(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether it takes some bytes now, or an error.
#[cfg(unix)]
fn is_writable(file: &File) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(file, PollFlags::OUT)];
    Ok(poll(&mut polled, Some(&Timespec::default()))? > 0)
}

#[cfg(not(unix))]
fn at_once(_file: &File) -> usize {
    0
}

#[cfg(not(unix))]
fn is_writable(_file: &File) -> io::Result<bool> {
    Ok(false)
}

fn write_buffered(file: File, queue: &mut Queue, runtime: &Handle) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(FILE_BUFFER, file);
    let mut flush_at: Option<Instant> = None;
    loop {
        let delivery = match (queue.try_recv(), flush_at) {
            (Some(delivery), _) => Some(delivery),
            (None, None) => queue.blocking_recv(),
            (None, Some(at)) => match runtime.block_on(async { timeout_at(at, queue.recv()).await }) {
                Ok(delivery) => delivery,
                Err(_elapsed) => {
                    file.flush()?;
                    flush_at = None;
                    continue;
                }
            },
        };
        let Some(delivery) = delivery else {
            return file.flush();
        };
        file.write_all(&delivery.item.bytes)?;
        queue.shared().count_written(delivery.item.bytes.len());
        let now = Instant::now();
        match flush_at {
            None => flush_at = Some(now + FLUSH_EVERY),
            // A queue that is never empty must not put it off for ever.
            Some(at) if at <= now => {
                file.flush()?;
                flush_at = None;
            }
            Some(_) => {}
        }
    }
}

/// Standard output without the buffer that looks for line ends.
#[cfg(unix)]
fn standard_output() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Standard output without the buffer that looks for line ends.
#[cfg(windows)]
fn standard_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    io::stdout().as_handle().try_clone_to_owned().map(File::from)
}

#[cfg(unix)]
fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_fifo(_path: &Path) -> bool {
    false
}
