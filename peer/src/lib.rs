//! The program: tokio and quinn around the sans-IO node.

#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod clock;
#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod driver;
pub mod media;
pub mod output;
pub mod cli;
pub mod config;
#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod crypt;
pub mod error;
#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod identity;
pub mod ingest;
#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod net;
#[allow(clippy::disallowed_methods, reason = "a driver: time and randomness enter the program here")]
pub mod report;
pub mod tui;
