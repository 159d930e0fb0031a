//! What the user wrote: which settings vary, and which seeds.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::MAX_RUNS;

/// A setting and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Dotted path of the key.
    pub key: String,
    /// Its values, as TOML.
    pub values: Vec<String>,
}

impl FromStr for Axis {
    type Err = String;

    /// `KEY=VALUE,VALUE…`; commas within brackets, braces and quotes belong to a value.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it as KEY=VALUE,VALUE…, such as stream.chunk_ms=6,8,12".to_owned();
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let values = split(values);
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        let different: BTreeSet<&String> = values.iter().collect();
        if different.len() < values.len() {
            return Err("a value stands there twice".to_owned());
        }
        Ok(Axis {
            key: key.trim().to_owned(),
            values,
        })
    }
}

/// Splits at commas that are not within something.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut quote) = (0u32, None);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Seeds, each once, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(BTreeSet<u64>);

impl Seeds {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Seeds {
    type Err = String;

    /// Numbers and ranges such as `1-5,9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write seeds as numbers and ranges, such as 1-5 or 1,2,7".to_owned();
        let mut seeds = BTreeSet::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(format!("{part} ends before it begins"));
            }
            if last - first >= MAX_RUNS as u64 {
                return Err(format!("{part} are more than {MAX_RUNS} seeds"));
            }
            seeds.extend(first..=last);
        }
        Ok(Seeds(seeds))
    }
}
