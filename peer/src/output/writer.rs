//! Pipe and file: the stream as it went in, byte for byte, from the first random-access chunk on.
//!
//! Each has a thread of its own rather than a task, because both can block for as long as they like: a reader that
//! does not read, a disk that is busy with other things.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

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
    spawn(queue, alive, "standard output".into(), |queue| {
        write_each(standard_output()?, queue)
    });
}

/// Creates the file and writes to it; a named pipe is written chunk by chunk.
///
/// # Errors
/// When the file cannot be created. A named pipe is opened when there is a reader; that can fail only later.
pub(super) fn start_file(path: &Path, queue: Queue, alive: Alive) -> io::Result<()> {
    let name = path.display().to_string();
    if is_fifo(path) {
        let path = path.to_owned();
        spawn(queue, alive, name, move |queue| {
            write_each(File::options().write(true).open(path)?, queue)
        });
        return Ok(());
    }
    let file = File::create(path)?;
    let runtime = Handle::current();
    if file.metadata()?.is_file() {
        spawn(queue, alive, name, move |queue| {
            write_buffered(file, queue, &runtime)
        });
    } else {
        spawn(queue, alive, name, |queue| write_each(file, queue));
    }
    Ok(())
}

fn spawn(
    mut queue: Queue,
    alive: Alive,
    name: String,
    write: impl FnOnce(&mut Queue) -> io::Result<()> + Send + 'static,
) {
    std::thread::spawn(move || {
        match write(&mut queue) {
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
    });
}

fn write_each(mut pipe: File, queue: &mut Queue) -> io::Result<()> {
    while let Some(delivery) = queue.blocking_recv() {
        pipe.write_all(&delivery.item.bytes)?;
        queue.shared().count_written(delivery.item.bytes.len());
    }
    Ok(())
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
