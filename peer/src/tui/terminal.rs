//! The terminal: a thread that draws and reads keys.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::event::{self, Event};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::keys::{self, Action, View};
use super::{State, render};
use crate::cli::Interrupt;

/// Five pictures a second at most: drawing costs CPU on every viewer's machine and the eye reads no faster.
const FRAME: Duration = Duration::from_millis(200);

/// A terminal that takes nothing (stopped with Ctrl-S) is left behind after this time.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Keys waiting for the program; people do not type faster, and more are dropped.
const ACTIONS_MAX: usize = 32;

/// Set by a panic anywhere: the screen has been given back for its message and is not to be drawn on any more.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// The interface on the screen. Dropping it gives the screen back.
#[derive(Debug)]
pub struct Interface {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    actions: mpsc::Receiver<Action>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    version: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Half an update is as good to show as none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interface {
    /// Takes over the terminal. It is given back when this value goes, when any thread panics, and when a second
    /// interrupt ends the process at once. Meanwhile the log is shown in its pane only.
    ///
    /// # Errors
    /// When standard output is no terminal that can be drawn on.
    pub fn start(state: State, interrupt: &Interrupt) -> io::Result<Interface> {
        let terminal = ratatui::try_init()?;
        note_panics();
        interrupt.before_exit(ratatui::restore);
        state.log.to_stderr(false);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            version: AtomicU64::new(1),
            stop: AtomicBool::new(false),
        });
        let (sender, actions) = mpsc::channel(ACTIONS_MAX);
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("interface".into())
            .spawn(move || {
                let result = run(terminal, &of_thread, &sender);
                if !PANICKED.load(Ordering::Relaxed) {
                    ratatui::restore();
                }
                of_thread.lock().log.to_stderr(true);
                if let Err(error) = result {
                    tracing::warn!("the terminal cannot be drawn on any more: {error}");
                }
            })?;
        Ok(Interface {
            shared,
            thread: Some(thread),
            actions,
        })
    }

    /// Changes what is shown; it appears within a fifth of a second. Never waits for the terminal.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.version.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The next thing that the user wants; [`Action::Quit`] when the terminal has gone. Safe to drop and call again.
    pub async fn action(&mut self) -> Action {
        self.actions.recv().await.unwrap_or(Action::Quit)
    }

    /// Gives the screen back.
    pub async fn close(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join());
            if tokio::time::timeout(CLOSE_MAX, joined).await.is_err() {
                tracing::debug!("the terminal takes nothing; leaving it");
            }
        }
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It looks at `stop` five times a second. A panic in it was reported by the panic's own message.
            let _ = thread.join();
        }
    }
}

/// Remembers that there was a panic. The hook that ratatui installs gives the screen back.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICKED.store(true, Ordering::Relaxed);
            before(info);
        }));
    });
}

fn run(mut terminal: DefaultTerminal, shared: &Shared, actions: &mpsc::Sender<Action>) -> io::Result<()> {
    let mut view = View::default();
    let mut drawn = 0;
    let mut dirty = true;
    let mut next_frame = Instant::now();
    loop {
        if shared.stop.load(Ordering::Relaxed) || PANICKED.load(Ordering::Relaxed) {
            return Ok(());
        }
        let version = shared.version.load(Ordering::Relaxed);
        dirty |= version != drawn;
        if dirty && Instant::now() >= next_frame {
            // The lock is held while the picture is made, not while the terminal takes it.
            terminal.draw(|frame| render(&shared.lock(), &view, frame))?;
            (drawn, dirty) = (version, false);
            next_frame = Instant::now() + FRAME;
        }
        let wait = if dirty {
            next_frame.saturating_duration_since(Instant::now())
        } else {
            FRAME
        };
        let mut waiting = event::poll(wait)?;
        while waiting {
            match event::read()? {
                Event::Key(key) => {
                    let action = keys::handle(key, &mut view, &shared.lock());
                    if let Some(action) = action
                        && actions.try_send(action).is_err()
                    {
                        tracing::debug!("a key was dropped: the program is busy");
                    }
                    dirty = true;
                }
                Event::Resize(..) => dirty = true,
                _ => {}
            }
            waiting = event::poll(Duration::ZERO)?;
        }
    }
}
