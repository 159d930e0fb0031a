//! A running network: namespaces, devices, and the thread that moves packets.

mod emulator;
mod namespace;
mod serve;
mod sys;

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::{Counters, NodeInfo, Scenario};
use emulator::{Emulator, Request, Waker};
use namespace::Namespace;

pub use serve::serve;

/// A running network. Dropping it ends every process in its namespaces; these vanish with the last descriptor, so that
/// nothing is left behind however this process ends.
pub struct Lab {
    nodes: Vec<NodeInfo>,
    spaces: Vec<Namespace>,
    requests: Mutex<Sender<Request>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// Whether a lab could run here.
    ///
    /// # Errors
    /// What is missing, and what to do, in one sentence.
    pub fn available() -> Result<()> {
        ensure!(
            is_root(),
            "an emulated network needs root, for network namespaces and their devices; run it with sudo"
        );
        ensure!(
            Path::new(namespace::TUN).exists(),
            "there is no {}, the kernel's way to make network devices; load it with modprobe tun, or give the \
             container that device",
            namespace::TUN
        );
        // In a thread of its own, which ends in the new namespace.
        std::thread::spawn(sys::unshare_network)
            .join()
            .unwrap_or(Ok(()))
            .context("this system allows no network namespaces (a container without privileges?)")
    }

    /// Makes the namespaces and starts to move packets.
    ///
    /// # Errors
    /// When the scenario makes no sense or a lab is not [available](Lab::available).
    pub fn start(scenario: &Scenario) -> Result<Lab> {
        let engine = Engine::new(scenario)?;
        Self::available()?;
        let nodes: Vec<NodeInfo> = engine
            .nodes
            .iter()
            .map(|node| NodeInfo {
                name: node.name.clone(),
                address: Ipv4Addr::from(node.address),
                public: Ipv4Addr::from(node.external),
            })
            .collect();
        let (spaces, devices) = namespace::make(&engine, scenario.mtu)?;
        let (requests, inbox) = channel();
        let (waker, woken) = Waker::new()?;
        let emulator = Emulator::new(engine, devices, nodes.clone(), scenario, inbox, woken)?;
        let thread = std::thread::Builder::new()
            .name("netlab".to_owned())
            .spawn(move || emulator.run())?;
        Ok(Lab {
            nodes,
            spaces,
            requests: Mutex::new(requests),
            waker,
            thread: Some(thread),
        })
    }

    /// The nodes, in the order of the scenario.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// Changes the network, as `netlab ctl` does.
    ///
    /// # Errors
    /// When the command is none, or names what is not there.
    pub fn command(&self, line: &str) -> Result<()> {
        let (answer, answered) = channel();
        self.ask(Request::Command(line.to_owned(), answer))?;
        answered.recv().context("the emulator has ended")?
    }

    /// What was counted; `reset` begins anew.
    ///
    /// # Errors
    /// When the emulator has ended.
    pub fn counters(&self, reset: bool) -> Result<Counters> {
        let (answer, answered) = channel();
        self.ask(Request::Counters(reset, answer))?;
        answered.recv().context("the emulator has ended")
    }

    fn ask(&self, request: Request) -> Result<()> {
        let requests = self.requests.lock().unwrap_or_else(|held| held.into_inner());
        requests.send(request).ok().context("the emulator has ended")?;
        self.waker.wake();
        Ok(())
    }

    /// Does something at a node, on the calling thread: sockets that it makes belong there, and so does what it starts.
    ///
    /// # Errors
    /// When there is no such node or the thread cannot go there and back.
    pub fn within<T>(&self, node: usize, what: impl FnOnce() -> T) -> Result<T> {
        let space = self.spaces.get(node).context("there is no such node")?;
        space.within(what)
    }

    /// Starts a program at the node with this number. The kernel kills it when the calling thread ends.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, node: usize, command: &mut Command) -> Result<Child> {
        sys::die_with_parent(command);
        let spawned = self.within(node, || command.spawn())?;
        spawned.with_context(|| {
            let program = command.get_program().display();
            format!("cannot start {program} at {}", self.nodes[node].name)
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        namespace::end_processes(&self.spaces);
        // An emulator that has ended already needs no telling.
        let _ = self.ask(Request::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Puts this thread into the namespace at a path; what it starts then runs there.
///
/// # Errors
/// When there is none, or root is missing.
pub fn enter(path: &Path) -> Result<()> {
    Namespace::open(path)?.enter()
}

/// Asks a program to end, as Ctrl-C at its terminal would.
///
/// # Errors
/// When there is no such program any more.
pub fn interrupt(child: &Child) -> Result<()> {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).context("cannot interrupt a program")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
