//! Interrupts: the first asks for a clean end, the second ends the process at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Which signal asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A person at the keyboard (SIGINT).
    Interrupt,
    /// Whoever supervises the process (SIGTERM); the same command may be started again soon.
    Terminate,
}

/// Shared by everything that has to stop when the user interrupts.
#[derive(Clone, Debug)]
pub struct Interrupt {
    token: CancellationToken,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    signal: Option<Signal>,
    before_exit: Vec<fn()>,
}

impl Interrupt {
    /// Starts to listen for SIGINT and SIGTERM. Must be called within a tokio runtime, once.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn install() -> std::io::Result<Self> {
        let interrupt = Interrupt::manual();
        let handler = interrupt.clone();
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            loop {
                let signal = signals.next().await;
                if handler.is_requested() {
                    handler.exit_now();
                }
                handler.request(signal);
            }
        });
        Ok(interrupt)
    }

    /// One that only [`Interrupt::request`] triggers, for tests and for nodes inside a larger program.
    pub fn manual() -> Self {
        Interrupt {
            token: CancellationToken::new(),
            shared: Arc::default(),
        }
    }

    /// Asks for a clean end, as the first signal does; a terminal in raw mode reports Ctrl-C as a key, which comes here.
    pub fn request(&self, signal: Signal) {
        self.lock().signal.get_or_insert(signal);
        self.token.cancel();
    }

    /// Whether a clean end was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Which signal asked, once one has.
    pub fn signal(&self) -> Option<Signal> {
        self.lock().signal
    }

    /// Returns when a clean end is asked for. Safe to drop and call again.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// A token that is cancelled with this interrupt, to hand to tasks.
    pub fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Registers what must happen even when a second interrupt ends the process at once: restoring the terminal.
    pub fn before_exit(&self, action: fn()) {
        self.lock().before_exit.push(action);
    }

    /// Ends the process at once, as the second interrupt does.
    pub fn exit_now(&self) -> ! {
        let actions = std::mem::take(&mut self.lock().before_exit);
        for action in actions {
            action();
        }
        std::process::exit(130)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // The data is a flag and a list: usable whatever a panicking holder did.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the system's own behaviour stays: Ctrl-C ends the process.
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
