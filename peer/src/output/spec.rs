//! What the user writes after `--out`.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use wire::link::HostPort;

/// One output, as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSpec {
    /// `-`: standard output.
    Pipe,
    /// A file, or a named pipe.
    File(PathBuf),
    /// `http://ADDR:PORT`: any number of players. Host and port as a resolver takes them; port 0 is any free one.
    Http(String),
    /// `udp://GROUP-or-HOST:PORT`: datagrams of seven MPEG-TS packets.
    Udp(UdpSpec),
    /// `exec:COMMAND`: a program that is fed through its standard input.
    Exec(Vec<String>),
}

/// Where datagrams go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSpec {
    /// Host or group.
    pub to: HostPort,
    /// Multicast time to live, 0 to 255: how many routers a datagram may cross. 1 if not given: the local network.
    pub ttl: Option<u8>,
    /// The interface that multicast leaves by.
    pub interface: Option<Interface>,
}

/// A network interface, in the form its protocol wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// For IPv4: one of its addresses.
    Address(Ipv4Addr),
    /// For IPv6: its index.
    Index(u32),
}

/// Why a text names no output: a sentence for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseOutputError(String);

impl FromStr for OutputSpec {
    type Err = ParseOutputError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(ParseOutputError)
    }
}

fn parse(text: &str) -> Result<OutputSpec, String> {
    if text == "-" {
        return Ok(OutputSpec::Pipe);
    }
    if let Some(command) = text.strip_prefix("exec:") {
        let words = shlex::split(command).ok_or("a quote in the command is not closed")?;
        return match words.first() {
            Some(program) if !program.is_empty() => Ok(OutputSpec::Exec(words)),
            _ => Err("write the player's command after exec:, for example exec:'mpv -'".into()),
        };
    }
    match text.split_once("://") {
        Some(("http", rest)) => {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            if rest.contains(['/', '?', '#']) {
                return Err("give address and port only; the stream is offered there as /stream.ts".into());
            }
            // Port 0 is no address that a program could be sent to, and so none that a HostPort could hold.
            let as_if = rest.strip_suffix(":0").map(|host| format!("{host}:1"));
            host_port(as_if.as_deref().unwrap_or(rest))?;
            Ok(OutputSpec::Http(rest.to_owned()))
        }
        Some(("udp", rest)) => udp(rest).map(OutputSpec::Udp),
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => Err(format!(
            "{scheme}:// is no output; use - for a pipe, a file name, http://ADDR:PORT, udp://HOST:PORT or exec:COMMAND"
        )),
        _ if text.is_empty() => Err("the output is empty; use - for standard output".into()),
        _ => Ok(OutputSpec::File(text.into())),
    }
}

fn host_port(text: &str) -> Result<HostPort, String> {
    text.parse()
        .map_err(|why| format!("{text:?} is no address: {why}"))
}

fn udp(rest: &str) -> Result<UdpSpec, String> {
    let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
    // VLC and ffmpeg write the group as udp://@GROUP:PORT.
    let address = address.strip_prefix('@').unwrap_or(address);
    let to = host_port(address.strip_suffix('/').unwrap_or(address))?;
    let mut spec = UdpSpec {
        to,
        ttl: None,
        interface: None,
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("ttl", ttl)) => {
                spec.ttl = Some(
                    ttl.parse()
                        .map_err(|_| format!("ttl={ttl} is not a number from 0 to 255"))?,
                );
            }
            Some(("if", name)) => {
                let address = name.parse().map(Interface::Address);
                let index = name.parse().map(Interface::Index);
                spec.interface = Some(address.ok().or(index.ok()).ok_or_else(|| {
                    format!("if={name} is neither an interface's IPv4 address nor an interface number")
                })?);
            }
            _ => {
                return Err(format!(
                    "{option} is not known; the options are ttl=N and if=ADDRESS"
                ));
            }
        }
    }
    Ok(spec)
}

impl fmt::Display for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputSpec::Pipe => f.write_str("standard output"),
            OutputSpec::File(path) => write!(f, "{}", path.display()),
            OutputSpec::Http(at) => write!(f, "http://{at}"),
            OutputSpec::Udp(spec) => write!(f, "udp://{}", spec.to),
            OutputSpec::Exec(words) => f.write_str(words.first().map_or("exec", String::as_str)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    fn check(text: &str, expected: OutputSpec) {
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }

    fn check_error(text: &str, part: &str) {
        let error = text.parse::<OutputSpec>().expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }

    #[test]
    fn every_form_is_read() {
        check("-", OutputSpec::Pipe);
        check("out.ts", OutputSpec::File("out.ts".into()));
        check("/a dir/b:c.ts", OutputSpec::File("/a dir/b:c.ts".into()));
        check("http://127.0.0.1:8080", OutputSpec::Http("127.0.0.1:8080".into()));
        check("http://localhost:0/", OutputSpec::Http("localhost:0".into()));
        check("http://[::1]:80", OutputSpec::Http("[::1]:80".into()));
        let udp = |to, ttl, interface| OutputSpec::Udp(UdpSpec { to, ttl, interface });
        check("udp://host:5000", udp(at("host:5000"), None, None));
        check(
            "udp://@239.1.2.3:1234?ttl=4&if=10.0.0.1",
            udp(
                at("239.1.2.3:1234"),
                Some(4),
                Some(Interface::Address(Ipv4Addr::new(10, 0, 0, 1))),
            ),
        );
        check(
            "udp://[ff02::1]:9?if=2",
            udp(at("[ff02::1]:9"), None, Some(Interface::Index(2))),
        );
        check(
            "exec:mpv --title='my stream' -",
            OutputSpec::Exec(vec!["mpv".into(), "--title=my stream".into(), "-".into()]),
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        check_error("", "empty");
        check_error("exec:", "command");
        check_error("exec:mpv 'x", "quote");
        check_error("http://127.0.0.1", "HOST:PORT");
        check_error("http://127.0.0.1:99999", "port");
        check_error("http://127.0.0.1:80/live", "/stream.ts");
        check_error("rtmp://a/b", "rtmp:// is no output");
        check_error("udp://239.0.0.1:0", "port");
        check_error("udp://a:1?ttl=300", "ttl");
        check_error("udp://a:1?x", "options");
        check_error("http://:80", "HOST:PORT");
        check_error("bogus://a\nb", "bogus");
    }
}
