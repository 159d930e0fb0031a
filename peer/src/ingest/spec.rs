//! What the user writes as INPUT.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use wire::link::HostPort;

/// An input, not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSpec {
    /// `-`: standard input.
    Stdin,
    /// A file, or a named pipe.
    File(PathBuf),
    /// `udp://GROUP-or-HOST:PORT`: datagrams whose payload is the media.
    Udp(DatagramSource),
    /// `rtp://GROUP-or-HOST:PORT`: MPEG-TS in RTP (RFC 2250).
    Rtp(DatagramSource),
}

/// Where datagrams come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramSource {
    /// One of this machine's addresses, or a multicast group.
    pub at: HostPort,
    /// The interface on which to join the group: one of its IPv4 addresses, or its number for IPv6.
    pub interface: Option<String>,
}

/// Why a text is no input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InputError(String);

impl FromStr for InputSpec {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        match text.split_once("://") {
            _ if text == "-" => Ok(InputSpec::Stdin),
            _ if text.is_empty() => Err(InputError(
                "the input is empty; write - for standard input".to_owned(),
            )),
            Some(("udp", rest)) => datagrams(rest).map(InputSpec::Udp),
            Some(("rtp", rest)) => datagrams(rest).map(InputSpec::Rtp),
            Some((scheme @ ("srt" | "http" | "https"), _)) => Err(InputError(format!(
                "{scheme}:// inputs are not supported yet; pipe ffmpeg -i {scheme}://… -c copy -f mpegts - into \
                 headwater cast"
            ))),
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(InputError(format!(
                    "{scheme}:// is no input; use - for standard input, a file, udp://HOST:PORT or rtp://HOST:PORT"
                )))
            }
            _ => Ok(InputSpec::File(text.into())),
        }
    }
}

fn datagrams(rest: &str) -> Result<DatagramSource, InputError> {
    let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
    // VLC and ffmpeg write what is received as udp://@GROUP:PORT, and every address of the machine as udp://@:PORT.
    let address = address.strip_prefix('@').unwrap_or(address);
    let address = address.strip_suffix('/').unwrap_or(address);
    let everywhere = format!("0.0.0.0{address}");
    let address = if address.starts_with(':') {
        &everywhere
    } else {
        address
    };
    let at = address
        .parse()
        .map_err(|why| InputError(format!("{address} is not usable: {why}")))?;
    let mut interface = None;
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("if", name)) if !name.is_empty() => interface = Some(name.to_owned()),
            _ => {
                return Err(InputError(format!(
                    "{option} is not known; the option is if=ADDRESS"
                )));
            }
        }
    }
    Ok(DatagramSource { at, interface })
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputSpec::Stdin => f.write_str("standard input"),
            InputSpec::File(path) => write!(f, "{}", path.display()),
            InputSpec::Udp(source) => write!(f, "udp://{}", source.at),
            InputSpec::Rtp(source) => write!(f, "rtp://{}", source.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_told_apart() {
        let parse = |text: &str| text.parse::<InputSpec>();
        assert_eq!(parse("-"), Ok(InputSpec::Stdin));
        assert_eq!(parse("film.ts"), Ok(InputSpec::File("film.ts".into())));
        assert_eq!(parse("./a b://c"), Ok(InputSpec::File("./a b://c".into())));
        for (text, at, interface) in [
            ("udp://239.1.2.3:5000", "239.1.2.3:5000", None),
            (
                "udp://@239.1.2.3:5000?if=10.0.0.1",
                "239.1.2.3:5000",
                Some("10.0.0.1"),
            ),
            ("udp://@:5000/", "0.0.0.0:5000", None),
            ("udp://[ff15::1]:5000?if=2", "[ff15::1]:5000", Some("2")),
        ] {
            let source = DatagramSource {
                at: at.parse().unwrap(),
                interface: interface.map(str::to_owned),
            };
            assert_eq!(parse(text), Ok(InputSpec::Udp(source.clone())), "{text}");
            let rtp = text.replacen("udp", "rtp", 1);
            assert_eq!(parse(&rtp), Ok(InputSpec::Rtp(source)), "{rtp}");
        }
    }

    #[test]
    fn what_is_no_input_is_explained() {
        for (text, part) in [
            ("", "standard input"),
            ("srt://host:1", "not supported yet"),
            ("https://host/live.m3u8", "not supported yet"),
            ("gopher://x", "no input"),
            ("udp://host", "port"),
            ("udp://host:0", "port"),
            ("udp://1.2.3.4:5?ttl=3", "not known"),
            ("rtp://::1:5", "IPv6"),
        ] {
            let error = text.parse::<InputSpec>().unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }
}
