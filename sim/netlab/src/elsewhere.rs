//! Systems without network namespaces: everything says so.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};

use crate::{Counters, NodeInfo, Scenario};

const NEEDS_LINUX: &str =
    "an emulated network of real programs needs Linux: its nodes are network namespaces";

/// A running network. There is none on this system.
#[derive(Debug)]
pub struct Lab(Infallible);

impl Lab {
    /// Whether a lab could run here.
    ///
    /// # Errors
    /// Always: it needs Linux.
    pub fn available() -> Result<()> {
        bail!(NEEDS_LINUX)
    }

    /// Starts a network.
    ///
    /// # Errors
    /// Always: it needs Linux.
    pub fn start(_: &Scenario) -> Result<Lab> {
        bail!(NEEDS_LINUX)
    }

    /// The nodes.
    pub fn nodes(&self) -> &[NodeInfo] {
        match self.0 {}
    }

    /// Changes the network.
    ///
    /// # Errors
    /// Never: there is none.
    pub fn command(&self, _: &str) -> Result<()> {
        match self.0 {}
    }

    /// What was counted.
    ///
    /// # Errors
    /// Never: there is none.
    pub fn counters(&self, _: bool) -> Result<Counters> {
        match self.0 {}
    }

    /// Does something at a node.
    ///
    /// # Errors
    /// Never: there is none.
    pub fn within<T>(&self, _: usize, _: impl FnOnce() -> T) -> Result<T> {
        match self.0 {}
    }

    /// Starts a program at a node.
    ///
    /// # Errors
    /// Never: there is none.
    pub fn spawn(&self, _: usize, _: &mut Command) -> Result<Child> {
        match self.0 {}
    }
}

/// Serves a lab's control socket.
///
/// # Errors
/// Never: there is no lab.
pub fn serve(lab: &Arc<Lab>, _: &Path, _: &Arc<AtomicBool>) -> Result<()> {
    match lab.0 {}
}

/// Puts this thread into a node of a running lab.
///
/// # Errors
/// Always: it needs Linux.
pub fn enter(_: &Path) -> Result<()> {
    bail!(NEEDS_LINUX)
}

/// Asks a program to end.
///
/// # Errors
/// Always: it needs Linux.
pub fn interrupt(_: &Child) -> Result<()> {
    bail!(NEEDS_LINUX)
}
