//! The program: tokio and quinn around the sans-IO node.

pub mod cli;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod clock;
pub mod config;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod crypt;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod driver;
pub mod error;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod identity;
pub mod ingest;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod known;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: a damaged ledger is kept aside under the time of that"
)]
pub mod ledger;
pub mod media;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod net;
pub mod output;
#[allow(
    clippy::disallowed_methods,
    reason = "a driver: time and randomness enter the program here"
)]
pub mod report;
pub mod tui;
