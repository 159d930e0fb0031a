//! How a command ends when it does not end well.

use std::process::ExitCode;

/// Why a command failed. Each text is one sentence: what was wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The user's input is at fault: a flag, a link, a configuration file, the media input. Exit code 2.
    #[error("{0}")]
    Input(String),
    /// Something went wrong while running. Exit code 1.
    #[error("{0}")]
    Running(String),
    /// The user interrupted; everything was put away cleanly. Exit code 130, and nothing is printed.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// The user's input is at fault, for the reason given in one sentence without a full stop.
    pub fn input(sentence: impl Into<String>) -> Self {
        Failure::Input(sentence.into())
    }

    /// Something went wrong while running.
    pub fn running(sentence: impl Into<String>) -> Self {
        Failure::Running(sentence.into())
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Running(_) => 1,
            Failure::Input(_) => 2,
            // What shells report for a process ended by SIGINT.
            Failure::Interrupted => 130,
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        ExitCode::from(failure.exit_code())
    }
}

/// The text of an error of the operating system without its number, for use inside a sentence.
pub fn plain_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    lower_first(&text[..end])
}

/// `text` with a small first letter, unless its first word is an abbreviation.
pub fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_read_as_part_of_a_sentence() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(plain_io(&error), "no such file or directory");
        assert_eq!(lower_first("UDP is off"), "UDP is off");
        assert_eq!(lower_first(""), "");
    }
}
