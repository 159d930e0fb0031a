use proptest::prelude::*;

use super::*;
use crate::SecretKey;

fn id() -> StreamId {
    SecretKey::from_bytes(&[7; 32]).stream_id()
}

const ID: &str = "5jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa";

#[track_caller]
fn check(text: &str, via: &[&str], title: Option<&str>, content_key: Option<[u8; 32]>) {
    let link: Link = text.parse().unwrap();
    let written: Vec<String> = link.via.iter().map(HostPort::to_string).collect();
    assert_eq!(written, via);
    assert_eq!(
        (link.title.as_deref(), link.content_key, link.stream),
        (title, content_key, id())
    );
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = text.parse::<Link>().unwrap_err().to_string();
    assert_eq!(error, expected);
    assert!(!error.contains('\n') && !error.contains('\u{1b}'));
}

#[test]
fn links_that_are_read() {
    check(&format!("headwater:{ID}"), &[], None, None);
    check(&format!("  HEADWATER:{}?\n", ID.to_uppercase()), &[], None, None);
    check(
        &format!("headwater:{ID}?via=192.0.2.7:4000&via=[2001:db8::7]:1&via=TV.example.org:65535"),
        &["192.0.2.7:4000", "[2001:db8::7]:1", "tv.example.org:65535"],
        None,
        None,
    );
    check(
        &format!("headwater:{ID}?via=%5B%3A%3A1%5D%3A80&title=A%20%26+b"),
        &["[::1]:80"],
        Some("A &+b"),
        None,
    );
    check(
        &format!("headwater:{ID}?title=100%&new=%ff&flag"),
        &[],
        Some("100%"),
        None,
    );
    check(&format!("headwater:{ID}?title="), &[], None, None);
    let zeros = "a".repeat(52);
    check(
        &format!("headwater:{ID}?via=a:1#{zeros}"),
        &["a:1"],
        None,
        Some([0; 32]),
    );
    check(&format!("headwater:{ID}#{zeros}"), &[], None, Some([0; 32]));
}

#[test]
fn each_mistake_has_its_sentence() {
    check_error(
        "rtmp://example.org/\u{1b}[31m",
        r#"the link "rtmp://example.org/\u{1b}[31m" does not start with "headwater:"; copy all of headwater:STREAMID?via=HOST:PORT"#,
    );
    check_error(
        "",
        r#"the link "" does not start with "headwater:"; copy all of headwater:STREAMID?via=HOST:PORT"#,
    );
    check_error(
        "headwater:abc?via=a:1",
        r#"the stream id "abc" in the link is wrong: an id has 52 characters, this one has 3; copy the link again"#,
    );
    check_error(
        &format!("headwater:{}", ID.replacen('5', "1", 1)),
        "the stream id \"1jfgyy7ctrjavpxvkb5rglwf7gkuo5vox27hxescd3vgsfcg2iwa\" in the link is wrong: an id is written \
         in the characters a-z and 2-7; copy the link again",
    );
    let via = |via: &str, why: &str| {
        check_error(
            &format!("headwater:{ID}?via={via}"),
            &format!("via={via:?} in the link is not usable: {why}"),
        );
    };
    via("example.org", "it has no port: write HOST:PORT");
    via(":80", "it has no host: write HOST:PORT");
    via(
        "example.org:0",
        "after the last colon must stand a port from 1 to 65535",
    );
    via(
        "example.org:65536",
        "after the last colon must stand a port from 1 to 65535",
    );
    via(
        "example.org:+80",
        "after the last colon must stand a port from 1 to 65535",
    );
    via(
        "::1:80",
        "an IPv6 address is written [ADDRESS]:PORT, without a zone",
    );
    via(
        "[::1:80",
        "an IPv6 address is written [ADDRESS]:PORT, without a zone",
    );
    via(
        "[1.2.3.4]:80",
        "an IPv6 address is written [ADDRESS]:PORT, without a zone",
    );
    via("300.1.1.1:80", "an IPv4 address is four numbers from 0 to 255");
    via("1.2.3:80", "an IPv4 address is four numbers from 0 to 255");
    let name =
        "a host name has only the characters a-z, 0-9, hyphen, underscore and dot (write xn--… for others)";
    via("exa mple:80", name);
    via("müller.example:80", name);
    via("a..b:80", name);
    via("", "it has no port: write HOST:PORT");
    check_error(
        &format!("headwater:{ID}{}", "?via=a:1".to_owned() + &"&via=a:1".repeat(8)),
        "the link has 9 via= addresses, more than the 8 allowed; leave out some",
    );
    check_error(
        &format!("headwater:{ID}?title=%ff"),
        r#"title="%ff" in the link is not UTF-8 after decoding its % escapes; escape it as UTF-8"#,
    );
    check_error(
        &format!("headwater:{ID}?title=a%1bb"),
        "the title in the link must have at most 240 bytes and no control characters; leave title= out",
    );
    check_error(
        &format!("headwater:{ID}?title={}", "x".repeat(241)),
        "the title in the link must have at most 240 bytes and no control characters; leave title= out",
    );
    check_error(
        &format!("headwater:{ID}?title=a&title=b"),
        "the link has two titles; leave one title= out",
    );
    for key in ["", "abc", &"1".repeat(52)] {
        check_error(
            &format!("headwater:{ID}#{key}"),
            "the content key after # in the link is wrong: it has 52 characters a-z and 2-7; copy the link again",
        );
    }
    check_error(
        &format!("headwater:{ID}?title={}", "x".repeat(5000)),
        "the link has 5069 bytes, more than the 4096 allowed; leave out some via= or shorten its title",
    );
}

#[test]
fn an_id_that_is_no_point_of_the_curve_is_no_link() {
    // y = 2 is no point of the curve.
    let mut bytes = [0; 32];
    bytes[0] = 2;
    let id = StreamId::from_bytes(bytes);
    assert_eq!(
        format!("headwater:{id}").parse::<Link>(),
        Err(LinkError::NotAKey(id.to_string()))
    );
}

#[test]
fn a_content_key_stays_out_of_logs() {
    let mut link = Link::new(id());
    link.content_key = Some([0x5a; 32]);
    let debug = format!("{link:?}");
    assert!(debug.contains("private: true") && !debug.contains("90") && !debug.contains("ljnfu"));
}

pub(crate) fn any_host_port() -> impl Strategy<Value = HostPort> {
    prop_oneof![
        any::<(std::net::IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip, port.max(1)).into()),
        (
            "[a-z][a-z0-9_-]{0,20}(\\.[a-z0-9-]{1,20}){0,3}\\.[a-z]{1,10}\\.?",
            1..=u16::MAX
        )
            .prop_map(|(name, port)| format!("{name}:{port}").parse().unwrap()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        secret in any::<[u8; 32]>(),
        via in prop::collection::vec(any_host_port(), 0..=MAX_VIA),
        title in prop::option::of("[^\\p{Cc}]{1,60}"),
        content_key in any::<Option<[u8; 32]>>(),
    ) {
        let link = Link { stream: SecretKey::from_bytes(&secret).stream_id(), via, title, content_key };
        prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
    }

    #[test]
    fn no_text_is_too_much(text in any::<String>(), id in any::<bool>()) {
        let text = if id { format!("headwater:{ID}{text}") } else { text };
        if let Ok(link) = text.parse::<Link>() {
            prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
        }
    }

    #[test]
    fn no_query_is_too_much(query in "[?&=#%:\\[\\].a-f0-9viatle]{0,80}") {
        if let Ok(link) = format!("headwater:{ID}?{query}").parse::<Link>() {
            prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
        }
    }
}
