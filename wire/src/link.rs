//! Links: what people pass on to bring others to a stream.
//!
//! `headwater:STREAMID[?via=HOST:PORT&via=…][&title=…][#KEY]`. The stream id is the key that signs every chunk, so a
//! link certifies itself; whatever else it says is only a help to find the stream. A private stream's content key comes
//! after the `#`, the part that programs do not send to others when they open a link.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{MAX_TITLE, ParseIdError, StreamId, Verifier};

/// The longest link in bytes. A title in a script of three bytes a character, each as `%XX`, takes 720 of them and
/// [`MAX_VIA`] long host names the rest.
pub const MAX_LINK: usize = 4096;

/// Most addresses in a link.
pub const MAX_VIA: usize = 8;

/// The longest name that the DNS has.
const MAX_HOST: usize = 253;

const SCHEME: &str = "headwater:";

/// What stays as it is in a query: the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A stream, and what helps to find and play it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The stream.
    pub stream: StreamId,
    /// Where peers may be found that know its local tracker. At most [`MAX_VIA`] are read from a text.
    pub via: Vec<HostPort>,
    /// A title for people, at most [`MAX_TITLE`] bytes and without control characters when read from a text.
    pub title: Option<String>,
    /// What decrypts a private stream's chunks.
    pub content_key: Option<[u8; 32]>,
}

impl Link {
    /// A link that holds only the stream's id.
    pub fn new(stream: StreamId) -> Self {
        Link {
            stream,
            via: Vec::new(),
            title: None,
            content_key: None,
        }
    }
}

/// Without the content key: logs are no place for it.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("stream", &self.stream)
            .field("via", &self.via)
            .field("title", &self.title)
            .field("private", &self.content_key.is_some())
            .finish()
    }
}

/// A host and a port: `192.0.2.7:4000`, `[2001:db8::7]:4000` or `tv.example.org:4000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    /// A name of the DNS, in lower case.
    Name(String),
}

impl HostPort {
    /// The host as a resolver takes it: an address (IPv6 without brackets) or a name.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// The port, never zero when read from a text.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, if it needs no resolver.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

/// Leaves out an IPv6 scope, which means nothing on another host.
impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        HostPort {
            host: Host::Ip(addr.ip()),
            port: addr.port(),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why a text is not HOST:PORT: a half-sentence that goes after "because".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// No colon.
    #[error("it has no port: write HOST:PORT")]
    NoPort,
    /// Not 1 to 65535 after the colon.
    #[error("after the last colon must stand a port from 1 to 65535")]
    Port,
    /// Nothing before the colon.
    #[error("it has no host: write HOST:PORT")]
    NoHost,
    /// Several colons and no brackets, or brackets around something else.
    #[error("an IPv6 address is written [ADDRESS]:PORT, without a zone")]
    Ipv6,
    /// Digits and dots, but not four bytes.
    #[error("an IPv4 address is four numbers from 0 to 255")]
    Ipv4,
    /// Not a name of the DNS.
    #[error(
        "a host name has only the characters a-z, 0-9, hyphen, underscore and dot (write xn--… for others)"
    )]
    Name,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .and_then(|ip| ip.parse::<Ipv6Addr>().ok())
                .map(|ip| Host::Ip(ip.into()))
                .ok_or(HostPortError::Ipv6)?,
            None if host.contains(':') => return Err(HostPortError::Ipv6),
            None => name_or_ipv4(host)?,
        };
        // `u16` alone would also read "+80".
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits && port != 0 => Ok(HostPort { host, port }),
            _ => Err(HostPortError::Port),
        }
    }
}

fn name_or_ipv4(host: &str) -> Result<Host, HostPortError> {
    if host.is_empty() {
        return Err(HostPortError::NoHost);
    }
    // No top-level domain is a number, so such a name was meant to be an address.
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        let ip: Ipv4Addr = host.parse().map_err(|_| HostPortError::Ipv4)?;
        return Ok(Host::Ip(ip.into()));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > MAX_HOST || !name.split('.').all(label) {
        return Err(HostPortError::Name);
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

/// Why a text is not a link: a sentence for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not start with the scheme.
    #[error("the link {} does not start with \"headwater:\"; copy all of headwater:STREAMID?via=HOST:PORT", quoted(.0))]
    Scheme(String),
    /// It exceeds [`MAX_LINK`].
    #[error(
        "the link has {0} bytes, more than the {MAX_LINK} allowed; leave out some via= or shorten its title"
    )]
    Length(usize),
    /// What follows the scheme is not 52 characters of base32.
    #[error("the stream id {} in the link is wrong: {why}; copy the link again", quoted(.id))]
    Id {
        /// The id.
        id: String,
        /// What is wrong.
        why: ParseIdError,
    },
    /// The id is no public key, as about half of all slips of the pen make it.
    #[error("the stream id {} in the link is no valid key; copy the link again", quoted(.0))]
    NotAKey(String),
    /// An address does not parse.
    #[error("via={} in the link is not usable: {why}", quoted(.via))]
    Via {
        /// The address.
        via: String,
        /// What is wrong.
        why: HostPortError,
    },
    /// More than [`MAX_VIA`] addresses.
    #[error("the link has {0} via= addresses, more than the {MAX_VIA} allowed; leave out some")]
    TooManyVia(usize),
    /// Escapes that do not give a text.
    #[error("{name}={} in the link is not UTF-8 after decoding its % escapes; escape it as UTF-8", quoted(.value))]
    Escape {
        /// The parameter.
        name: String,
        /// Its value as it stands in the link.
        value: String,
    },
    /// A title that is too long or has control characters.
    #[error(
        "the title in the link must have at most {MAX_TITLE} bytes and no control characters; leave title= out"
    )]
    Title,
    /// Two titles.
    #[error("the link has two titles; leave one title= out")]
    TitleTwice,
    /// What follows the `#` is no key. Not repeated in the message: it may be all but one character of a secret.
    #[error(
        "the content key after # in the link is wrong: it has 52 characters a-z and 2-7; copy the link again"
    )]
    ContentKey,
}

/// The text in quotes, at most 60 characters of it, nothing in it that would act on a terminal.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.stream)?;
        let mut separator = '?';
        for via in &self.via {
            write!(f, "{separator}via={via}")?;
            separator = '&';
        }
        if let Some(title) = &self.title {
            write!(f, "{separator}title={}", utf8_percent_encode(title, ESCAPED))?;
        }
        if let Some(key) = &self.content_key {
            write!(f, "#{}", BASE32_NOPAD.encode(key).to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl FromStr for Link {
    type Err = LinkError;

    /// Reads a link. Parameters that this version does not know are ignored.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > MAX_LINK {
            return Err(LinkError::Length(text.len()));
        }
        let rest = strip_scheme(text).ok_or_else(|| LinkError::Scheme(text.to_owned()))?;
        let (rest, fragment) = split_at_first(rest, '#');
        let (id, query) = split_at_first(rest, '?');
        let mut link = Link::new(stream_id(id)?);
        if let Some(key) = fragment {
            link.content_key = Some(content_key(key)?);
        }
        for parameter in query.unwrap_or_default().split('&') {
            let (name, value) = split_at_first(parameter, '=');
            link.set(name, value.unwrap_or_default())?;
        }
        if link.via.len() > MAX_VIA {
            return Err(LinkError::TooManyVia(link.via.len()));
        }
        Ok(link)
    }
}

impl Link {
    fn set(&mut self, name: &str, value: &str) -> Result<(), LinkError> {
        if name != "via" && name != "title" {
            return Ok(());
        }
        let text = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| LinkError::Escape {
                name: name.to_owned(),
                value: value.to_owned(),
            })?;
        if name == "via" {
            let via = text.parse().map_err(|why| LinkError::Via {
                via: text.clone().into_owned(),
                why,
            })?;
            self.via.push(via);
        } else if !text.is_empty() {
            if text.len() > MAX_TITLE || text.chars().any(char::is_control) {
                return Err(LinkError::Title);
            }
            if self.title.replace(text.into_owned()).is_some() {
                return Err(LinkError::TitleTwice);
            }
        }
        Ok(())
    }
}

/// Schemes are the same in upper and lower case (RFC 3986 §3.1).
fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

fn split_at_first(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn stream_id(text: &str) -> Result<StreamId, LinkError> {
    let id: StreamId = text.parse().map_err(|why| LinkError::Id {
        id: text.to_owned(),
        why,
    })?;
    Verifier::new(id.as_bytes()).map_err(|_| LinkError::NotAKey(text.to_owned()))?;
    Ok(id)
}

fn content_key(text: &str) -> Result<[u8; 32], LinkError> {
    // A key is written like an id.
    let key: StreamId = text.parse().map_err(|_| LinkError::ContentKey)?;
    Ok(*key.as_bytes())
}

#[cfg(test)]
mod tests;
