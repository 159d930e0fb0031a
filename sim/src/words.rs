//! Errors as part of a sentence.

use std::fmt::Display;

/// What the system says begins its number like this.
const NUMBER: &str = " (os error ";

/// The text of an error without the operating system's number, for use inside a sentence.
pub fn plain(error: &dyn Display) -> String {
    let mut text = error.to_string();
    while let Some(at) = text.find(NUMBER) {
        let end = text[at..].find(')').map_or(text.len(), |length| at + length + 1);
        text.replace_range(at..end, "");
    }
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        // The first word of an abbreviation stays as it is.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_are_left_out() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
        assert_eq!(
            plain(&format!("A: {error}; b")),
            "A: No such file or directory; b"
        );
        assert_eq!(plain(&"IO"), "IO");
    }
}
