//! The program: tokio and quinn around the sans-IO node.

pub mod driver;
pub mod media;
pub mod output;
