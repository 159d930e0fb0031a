//! The built program as a user meets it: exit codes, sentences, files.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a failure is the message, waiting is real"
)]

mod bad_input;
mod casting;
mod credit;
mod files;
mod overlay;
mod program;
mod trust;
