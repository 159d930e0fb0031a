//! `docs/WIRE.md` says what the code does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use ed25519_dalek::{Signature, VerifyingKey};
use headwater_wire::message::*;
use headwater_wire::{
    AEAD_OVERHEAD, CHUNK_HEADER_LEN, MAX_GROUP, MAX_OPENING, MAX_OPENING_MESSAGES, MAX_PAYLOAD,
    MAX_SUBSTREAMS, MAX_TITLE, Message, codec, trust,
};
use rmpv::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

const DOCUMENT: &str = include_str!("../../docs/WIRE.md");

/// The rows of the first table after a heading, without its head.
#[track_caller]
fn table(heading: &str) -> Vec<Vec<String>> {
    let mut lines = DOCUMENT
        .lines()
        .skip_while(|line| line.trim_start_matches('#').trim() != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .skip_while(|line| !line.starts_with('|'));
    let rows: Vec<_> = lines
        .by_ref()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim().trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "docs/WIRE.md has no table under {heading:?}");
    rows
}

/// The kind of a value as the document names it; several names stand for one encoding.
fn kind_fits(documented: &str, value: &Value) -> bool {
    let word = documented.split(' ').next().unwrap();
    match value {
        Value::Boolean(_) => word == "bool",
        Value::Integer(number) if number.as_u64().is_none() => word == "int",
        Value::Integer(_) => ["uint", "int", "set", "time", "seq", "role"].contains(&word),
        Value::F32(_) | Value::F64(_) => word == "float",
        Value::String(_) => ["text", "name"].contains(&word),
        Value::Binary(_) => ["bytes", "coord"].contains(&word),
        Value::Array(_) => ["list", "pair"].contains(&word),
        Value::Map(_) => ["map", "addr"].contains(&word),
        Value::Nil | Value::Ext(..) => false,
    }
}

/// The names of the fields as Rust prints them: those of a value whose pretty form is indented by `indent`.
fn field_names(debug: &str, indent: usize) -> Vec<&str> {
    let fields = debug.lines().filter_map(|line| {
        let rest = line.strip_prefix(&" ".repeat(indent))?;
        let name = rest.split_once(": ")?.0;
        (!name.starts_with([' ', '"']) && name != "of").then_some(name)
    });
    fields.collect()
}

/// Compares a table with the fields' names and values and with which of them may be nil.
fn check(heading: &str, names: &[&str], body: &Value, accepts: impl Fn(&Value) -> bool) {
    let Value::Map(fields) = body else {
        panic!("{heading} is no map")
    };
    let rows = table(heading);
    let documented: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .collect();
    let actual: Vec<_> = names
        .iter()
        .zip(fields)
        .map(|(name, (key, _))| (*name, key.as_str().unwrap()))
        .collect();
    assert_eq!(names.len(), fields.len(), "{heading}: {names:?}");
    assert_eq!(documented, actual, "fields and keys of {heading}");
    for (at, (row, (key, value))) in rows.iter().zip(fields).enumerate() {
        assert!(
            kind_fits(&row[2], value),
            "{heading}.{key} is {value}, not {:?}",
            row[2]
        );
        let mut with_nil = fields.clone();
        with_nil[at].1 = Value::Nil;
        assert_eq!(
            row[2].ends_with(" or nil"),
            accepts(&Value::Map(with_nil)),
            "whether {heading}.{key} is optional"
        );
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

#[test]
fn every_message_is_documented_as_it_is() {
    for message in common::examples() {
        let heading = format!("{} {}", message.code(), common::name(&message));
        let frame = codec::encode(&message);
        let body = rmpv::decode::read_value(&mut &frame[codec::LENGTH_LEN + 1..]).unwrap();
        let debug = format!("{message:#?}");
        check(&heading, &field_names(&debug, 8), &body, |body| {
            codec::decode(&[vec![message.code()], bytes(body)].concat()).is_ok()
        });
    }
}

fn check_structure<T: Serialize + DeserializeOwned + std::fmt::Debug>(heading: &str, example: &T) {
    let encoded = rmp_serde::to_vec_named(example).unwrap();
    let body = rmpv::decode::read_value(&mut &encoded[..]).unwrap();
    let debug = format!("{example:#?}");
    check(heading, &field_names(&debug, 4), &body, |body| {
        rmp_serde::from_slice::<T>(&bytes(body)).is_ok()
    });
}

#[test]
fn every_structure_is_documented_as_it_is() {
    for message in common::examples() {
        match message {
            Message::JoinAnswer(answer) => {
                check_structure("PeerRecord", &answer.peers[0]);
                check_structure("Signed", &answer.info.unwrap());
            }
            Message::RingLeave(leave) => check_structure("RingNode", &leave.nodes[0]),
            Message::Watched(watched) => check_structure("FilterState", &watched.state),
            Message::Refused(refused) => check_structure("Referral", &refused.instead[0]),
            Message::Pong(pong) => check_structure("ClockReading", &pong.clocks[0]),
            Message::ShiftPrepare(prepare) => check_structure("ShiftOrder", &prepare.order),
            _ => {}
        }
    }
    check_structure("StreamInfo", &common::stream_info());
    check_structure("Opening", &common::opening());
    check_structure("TrackerLease", &common::tracker_lease());
    check_structure("Appointment", &common::appointment());
    check_structure("Receipt", &common::trust::receipt());
    check_structure("AccountState", &common::trust::account());
    check_structure("Entered", &common::trust::entered());
    check_structure("Pending", &common::trust::pending());
    check_structure("Note", &common::trust::note());
    check_structure("TrustEdge", &common::trust::edge());
    check_structure("Cosigned", &common::trust::cosigned());
}

#[test]
fn nothing_is_documented_that_is_not_there() {
    let headings = |level: &str| {
        let prefix = format!("{level} ");
        DOCUMENT
            .lines()
            .filter_map(move |line| line.strip_prefix(&prefix))
    };
    let numbered: Vec<_> = headings("###")
        .filter(|heading| heading.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let messages: Vec<_> = Message::CODES
        .iter()
        .map(|(code, name)| format!("{code} {name}"))
        .collect();
    assert_eq!(numbered, messages);
    // Each structure that a field's type names has a section.
    for line in DOCUMENT.lines().filter(|line| line.starts_with('|')) {
        if let Some((_, rest)) = line.split_once(" map ")
            && let Some(name) = rest.split(' ').next()
            && name.starts_with(|c: char| c.is_ascii_uppercase())
        {
            assert!(headings("###").any(|heading| heading == name), "{name}");
        }
    }
}

#[test]
fn limits_are_those_of_the_code() {
    let actual = [
        ("MAX_FRAME", codec::MAX_FRAME),
        ("MAX_AGENT", MAX_AGENT),
        ("MAX_TITLE", MAX_TITLE),
        ("MAX_ADDRS", MAX_ADDRS),
        ("MAX_PEERS", MAX_PEERS),
        ("MAX_GREETED", MAX_GREETED),
        ("MAX_REFERRALS", MAX_REFERRALS),
        ("MAX_CLOCKS", MAX_CLOCKS),
        ("MAX_REQUESTS", MAX_REQUESTS),
        ("MAX_PATH", MAX_PATH),
        ("MAX_LAGS", MAX_LAGS),
        ("MAX_RING_LIST", MAX_RING_LIST),
        ("MAX_RING_SEEN", MAX_RING_SEEN),
        ("MAX_RING_LEVELS", usize::from(MAX_RING_LEVELS)),
        ("MAX_FLIPS", MAX_FLIPS),
        ("MAX_HANDED", MAX_HANDED),
        ("MAX_GONE", MAX_GONE),
        ("MAX_SPARE", MAX_SPARE),
        ("MAX_TRACKERS", MAX_TRACKERS),
        ("MAX_SURVEYED", MAX_SURVEYED),
        ("MAX_EXCEPTED", MAX_EXCEPTED),
        ("MAX_FARTHER", MAX_FARTHER),
        ("MAX_SHIFT_PEERS", trust::MAX_SHIFT_PEERS),
        ("MAX_PENDING", trust::MAX_PENDING),
        ("MAX_WALK", trust::MAX_WALK),
        ("MAX_TOLD", trust::MAX_TOLD),
        ("MAX_EVIDENCE", trust::MAX_EVIDENCE),
        ("MAX_SUBSTREAMS", usize::from(MAX_SUBSTREAMS)),
        ("NO_LAG", usize::from(NO_LAG)),
        ("MAX_OPENING", MAX_OPENING),
        ("MAX_OPENING_MESSAGES", MAX_OPENING_MESSAGES),
        ("MAX_GROUP", MAX_GROUP),
        ("MAX_PAYLOAD", MAX_PAYLOAD),
        ("AEAD_OVERHEAD", AEAD_OVERHEAD),
    ];
    let rows = table("Limits");
    let documented: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[1].parse().unwrap()))
        .collect();
    assert_eq!(documented, actual);
    // Each limit that the text refers to by name is in the table.
    for word in DOCUMENT.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
        if word.starts_with("MAX_") {
            assert!(actual.iter().any(|(name, _)| *name == word), "{word}");
        }
    }
}

#[test]
fn names_are_those_of_the_code() {
    let known = |heading: &str, field: &str, decodes: &dyn Fn(&str) -> bool| {
        let rows = table(heading);
        let row = rows.iter().find(|row| row[0] == field).unwrap();
        let names: Vec<_> = row[3].split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(names.len() > 3, "{names:?}");
        for name in names {
            assert!(decodes(name), "{heading}: {name}");
        }
    };
    fn read<T: DeserializeOwned>(name: &str) -> T {
        rmp_serde::from_slice(&rmp_serde::to_vec(name).unwrap()).unwrap()
    }
    known("4 Bye", "reason", &|name| {
        read::<ByeReason>(name) != ByeReason::Unknown
    });
    known("12 JoinRefused", "reason", &|name| {
        read::<RefuseReason>(name) != RefuseReason::Unknown
    });
    known("StreamInfo", "media", &|name| {
        read::<headwater_wire::Media>(name) != headwater_wire::Media::Unknown
    });
}

#[test]
fn roles_are_numbered_as_documented() {
    let row = DOCUMENT
        .lines()
        .find(|line| line.starts_with("| role | uint 8 |"))
        .unwrap();
    for (number, role) in [Role::Consumer, Role::Peercaster, Role::Donor, Role::Passive]
        .iter()
        .enumerate()
    {
        assert_eq!(u8::from(*role), number as u8);
        assert!(row.contains(&format!("{number} `{role:?}`")), "{role:?}");
    }
    assert_eq!((u8::from(Role::Unknown), Role::from(4)), (255, Role::Unknown));
}

#[test]
fn a_coordinate_is_laid_out_as_documented() {
    let Some(Message::Ping(ping)) = common::examples().into_iter().find(|m| m.code() == 2) else {
        panic!()
    };
    let encoded = rmp_serde::to_vec_named(&ping).unwrap();
    let body = rmpv::decode::read_value(&mut &encoded[..]).unwrap();
    let coord = body["c"].as_slice().unwrap();
    let rows = table("Coord");
    let names: Vec<_> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(names, ["x", "y", "height"]);
    for (row, ms) in rows
        .iter()
        .zip([ping.coord.x_ms, ping.coord.y_ms, ping.coord.height_ms])
    {
        let offset: usize = row[0].parse().unwrap();
        assert_eq!(row[1], "2");
        let units = i16::from_be_bytes([coord[offset], coord[offset + 1]]);
        assert_eq!(f64::from(units), ms * 32.0);
    }
    assert_eq!(coord.len(), 6);
}

#[test]
fn a_chunk_frame_is_laid_out_as_documented() {
    let frame = common::chunk_frame();
    let chunk = common::chunk();
    let header = chunk.header();
    let rows = table("The chunk frame");
    let mut end = 0;
    for row in &rows {
        let offset: usize = row[0].parse().unwrap();
        assert_eq!(offset, end, "{row:?} does not follow the one before");
        if row[2] == "payload" {
            assert_eq!(offset, CHUNK_HEADER_LEN);
            assert_eq!(&frame[offset..], &chunk.payload()[..]);
            break;
        }
        end = offset + row[1].parse::<usize>().unwrap();
        let field = &frame[offset..end];
        match row[2].as_str() {
            "type" => assert_eq!(field, [1]),
            "hops" => assert_eq!(field, [0x83]),
            "tag" => assert_eq!(field, &header.stream.as_bytes()[..4]),
            "session" => assert_eq!(field, header.session.0.to_be_bytes()),
            "seq" => assert_eq!(field, header.seq.0.to_be_bytes()),
            "generated_at" => assert_eq!(field, header.generated_at.as_micros().to_be_bytes()),
            "duration" => assert_eq!(field, (header.duration.as_micros() as u32).to_be_bytes()),
            "flags" => assert_eq!(field, [1]),
            "signature" => assert_eq!(field.len(), 64),
            "proof" => assert_eq!(field, [1]),
            other => panic!("{other} is not in a frame"),
        }
    }
    assert_eq!(rows.len(), 11);
}

/// A hash of what the document says, under the domain that it says.
#[track_caller]
fn hash_of(statement: &str, parts: &[&[u8]]) -> [u8; 32] {
    let rows = table("Signatures");
    let row = rows.iter().find(|row| row[0] == statement).unwrap();
    let mut hasher = blake3::Hasher::new_derive_key(&row[1]);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Checks a signature with nothing but what the document says and the libraries for hash and curve.
#[track_caller]
fn check_signature(hash: [u8; 32], signature: &[u8]) {
    let key = VerifyingKey::from_bytes(common::key().stream_id().as_bytes()).unwrap();
    let signature = Signature::from_slice(signature).unwrap();
    key.verify_strict(&hash, &signature).unwrap();
}

/// The hash of the chunk in a frame whose payload begins there.
fn hash_of_chunk(frame: &[u8], payload: usize) -> [u8; 32] {
    let stream = common::key().stream_id();
    hash_of("chunk", &[&frame[payload..], stream.as_bytes(), &frame[6..=34]])
}

#[test]
fn signatures_are_made_as_documented() {
    let frame = common::chunk_frame();
    check_signature(hash_of_chunk(&frame, CHUNK_HEADER_LEN), &frame[35..99]);

    let Some(Message::Info(info)) = common::examples().into_iter().find(|m| m.code() == 14) else {
        panic!()
    };
    let encoded = rmp_serde::to_vec_named(&info.info).unwrap();
    let signed = rmpv::decode::read_value(&mut &encoded[..]).unwrap();
    check_signature(
        hash_of("StreamInfo", &[signed["b"].as_slice().unwrap()]),
        signed["s"].as_slice().unwrap(),
    );
}

#[test]
fn several_chunks_are_signed_as_documented() {
    let frames = common::group_frames();
    assert_eq!(frames.len(), 3);
    let parent = |left: &[u8], right: &[u8]| hash_of("parent", &[left, right]);
    // The first two have a hash beside them and the third's above it; the third goes up as it is.
    let ends = [100 + 64, 100 + 64, 100 + 32];
    let [first, second, third] = [0, 1, 2].map(|n| hash_of_chunk(&frames[n], ends[n]));
    let both = parent(&first, &second);
    let root = parent(&both, &third);
    let proofs = [
        [&[0b100][..], &second, &third].concat(),
        [&[0b101][..], &first, &third].concat(),
        [&[0b11][..], &both].concat(),
    ];
    for ((frame, end), proof) in frames.iter().zip(ends).zip(proofs) {
        assert_eq!(frame[99..end], proof);
        check_signature(root, &frame[35..99]);
    }
}
