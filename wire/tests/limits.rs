//! What a stranger may send, and what becomes of the rest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::SocketAddr;

use headwater_wire::codec::{self, FrameError, LENGTH_LEN, MAX_FRAME};
use headwater_wire::message::*;
use headwater_wire::trust::{MAX_EVIDENCE, MAX_PENDING, MAX_SHIFT_PEERS, MAX_WALK};
use headwater_wire::{MAX_TITLE, Message, Signed, SubstreamSet};
use rmpv::Value;

/// The body of a message as a generic value.
fn value(message: &Message) -> Value {
    let frame = codec::encode(message);
    rmpv::decode::read_value(&mut &frame[LENGTH_LEN + 1..]).unwrap()
}

fn frame(code: u8, body: &Value) -> Vec<u8> {
    let mut frame = vec![code];
    rmpv::encode::write_value(&mut frame, body).unwrap();
    frame
}

fn example(code: u8) -> Message {
    common::examples()
        .into_iter()
        .find(|message| message.code() == code)
        .unwrap()
}

fn set(value: &mut Value, key: &str, to: Value) {
    let Value::Map(fields) = value else {
        panic!("no map")
    };
    let field = fields.iter_mut().find(|(name, _)| name.as_str() == Some(key));
    field.unwrap_or_else(|| panic!("no {key}")).1 = to;
}

#[test]
fn a_frame_has_1_to_32768_bytes() {
    let len = |bytes: u32| codec::frame_len(bytes.to_be_bytes());
    assert!(matches!(len(0), Err(FrameError::Length(0))));
    assert_eq!(len(1).unwrap(), 1);
    assert_eq!(len(32_768).unwrap(), MAX_FRAME);
    assert!(matches!(len(32_769), Err(FrameError::Length(32_769))));
    assert!(matches!(len(u32::MAX), Err(FrameError::Length(_))));
    assert!(matches!(codec::decode(&[]), Err(FrameError::Length(0))));
    assert!(matches!(
        codec::decode(&vec![1; MAX_FRAME + 1]),
        Err(FrameError::Length(_))
    ));
}

#[test]
fn a_frame_cut_anywhere_is_an_error() {
    for message in common::examples() {
        let frame = codec::encode(&message);
        let frame = &frame[LENGTH_LEN..];
        for cut in 1..frame.len() {
            let result = codec::decode(&frame[..cut]);
            assert!(
                matches!(result, Err(FrameError::Body { .. })),
                "{message:?} cut at {cut}: {result:?}"
            );
        }
    }
}

#[test]
fn a_message_of_a_later_version_is_told_apart() {
    for code in 0..=u8::MAX {
        let known = Message::CODES.iter().any(|&(c, _)| c == code);
        match codec::decode(&[code, 0x80]) {
            Err(FrameError::UnknownKind(kind)) => assert!(kind == code && !known),
            other => assert!(known, "{code}: {other:?}"),
        }
    }
}

#[test]
fn unknown_fields_are_skipped() {
    for message in common::examples() {
        let mut body = value(&message);
        let Value::Map(fields) = &mut body else {
            panic!("no map")
        };
        let nested = Value::Map(vec![(
            Value::from(1),
            Value::Array(vec![Value::Nil, Value::F64(0.5)]),
        )]);
        fields.insert(0, (Value::from("from a later version"), nested));
        fields.push((Value::from("\u{1F300}"), Value::Binary(vec![0; 1000])));
        fields.push((Value::from("ext"), Value::Ext(5, vec![1, 2, 3])));
        assert_eq!(codec::decode(&frame(message.code(), &body)).unwrap(), message);
    }
}

#[test]
fn a_missing_field_is_an_error_unless_it_is_optional() {
    for message in common::examples() {
        let Value::Map(fields) = value(&message) else {
            panic!("no map")
        };
        for left_out in 0..fields.len() {
            let mut fewer = fields.clone();
            let (key, was) = fewer.remove(left_out);
            let result = codec::decode(&frame(message.code(), &Value::Map(fewer)));
            let mut with_nil = Value::Map(fields.clone());
            set(&mut with_nil, key.as_str().unwrap(), Value::Nil);
            // The optional ones are those that may be nil.
            let optional = codec::decode(&frame(message.code(), &with_nil)).is_ok();
            assert_eq!(
                result.is_ok(),
                optional,
                "{message:?} without {key}, which was {was}"
            );
        }
    }
}

#[test]
fn unknown_roles_and_reasons_are_known_as_unknown() {
    let mut body = value(&example(4));
    set(&mut body, "reason", Value::from("Superseded"));
    assert_eq!(
        codec::decode(&frame(4, &body)).unwrap(),
        Bye {
            reason: ByeReason::Unknown
        }
        .into()
    );
    let mut body = value(&example(26));
    set(&mut body, "i", Value::from(77));
    let Message::Advert(advert) = codec::decode(&frame(26, &body)).unwrap() else {
        panic!()
    };
    assert_eq!(advert.role, Role::Unknown);
}

/// Asserts that the message with the field replaced does not decode, and for the reason given.
#[track_caller]
fn check_refused(code: u8, field: &str, to: Value, why: &str) {
    let mut body = value(&example(code));
    set(&mut body, field, to);
    let error = codec::decode(&frame(code, &body)).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

fn many(item: impl Into<Value>, count: usize) -> Value {
    Value::Array(vec![item.into(); count])
}

#[test]
fn lists_and_texts_have_limits() {
    check_refused(
        1,
        "agent",
        Value::from("x".repeat(MAX_AGENT + 1)),
        "at most 64 bytes",
    );
    let Message::Hello(hello) = example(1) else {
        panic!()
    };
    let Value::Map(fields) = value(&hello.into()) else {
        panic!()
    };
    let Value::Array(addrs) = &fields[3].1 else {
        panic!()
    };
    check_refused(1, "listen", many(addrs[0].clone(), MAX_ADDRS + 1), "at most 4");
    check_refused(25, "p", many(1, MAX_PATH + 1), "at most 32");
    check_refused(26, "l", many(1, MAX_LAGS + 1), "at most 64");
    check_refused(27, "q", many(1, MAX_REQUESTS + 1), "at most 64");
    check_refused(28, "q", many(1, MAX_REQUESTS + 1), "at most 64");
    check_refused(11, "supply", many(1, MAX_LAGS + 1), "at most 64");
    for (code, field, max) in [
        (3, "k", MAX_CLOCKS),
        (11, "peers", MAX_PEERS),
        (22, "i", MAX_REFERRALS),
        (24, "i", MAX_REFERRALS),
        (30, "records", MAX_HANDED),
        (32, "spare", MAX_SPARE),
        (33, "gone", MAX_GONE),
        (71, "receipts", MAX_EVIDENCE),
        (71, "notes", MAX_EVIDENCE),
        (71, "orders", MAX_EVIDENCE),
        (80, "edges", MAX_WALK),
    ] {
        let Value::Map(fields) = value(&example(code)) else {
            panic!()
        };
        let (_, Value::Array(items)) = fields
            .iter()
            .find(|(key, _)| key.as_str() == Some(field))
            .unwrap()
        else {
            panic!()
        };
        check_refused(
            code,
            field,
            many(items[0].clone(), max + 1),
            &format!("at most {max}"),
        );
    }
}

#[test]
fn what_is_signed_has_the_same_limits() {
    let account = common::trust::account();
    let mut body = rmp_serde::to_vec_named(&account).unwrap();
    let mut value = rmpv::decode::read_value(&mut &body[..]).unwrap();
    let pending = value["p"][0].clone();
    for (count, fits) in [(MAX_PENDING, true), (MAX_PENDING + 1, false)] {
        set(&mut value, "p", many(pending.clone(), count));
        body.clear();
        rmpv::encode::write_value(&mut body, &value).unwrap();
        let read = rmp_serde::from_slice::<headwater_wire::trust::AccountState>(&body);
        assert_eq!(read.is_ok(), fits, "{count} entries");
    }
    let Value::Map(mut prepare) = self::value(&example(74)) else {
        panic!()
    };
    let peer = prepare[0].1["p"][0].clone();
    set(&mut prepare[0].1, "p", many(peer, MAX_SHIFT_PEERS + 1));
    let error = codec::decode(&frame(74, &Value::Map(prepare))).unwrap_err();
    assert!(error.to_string().contains("at most 6"), "{error}");
    // Bytes that are signed are bounded themselves, whatever they hold.
    check_refused(70, "b", Value::Binary(vec![0; 16_385]), "");
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    check_refused(27, "d", Value::from(65_536), "");
    check_refused(27, "d", Value::from(-1), "");
    check_refused(27, "q", Value::from("all of them"), "at most 64");
    check_refused(13, "stream", Value::Binary(vec![0; 31]), "32 bytes");
    check_refused(13, "stream", Value::Binary(vec![0; 33]), "32 bytes");
    check_refused(1, "agent", Value::Binary(vec![0xff; 4]), "");
    check_refused(2, "c", Value::Binary(vec![0; 5]), "6 bytes");
    check_refused(2, "c", Value::Binary(vec![0; 7]), "6 bytes");
}

#[test]
fn a_coordinate_from_a_stranger_is_inside_the_space() {
    for bytes in [[0x80, 0, 0x7f, 0xff, 0xff, 0xff], [0xff; 6], [0; 6]] {
        let mut body = value(&example(2));
        set(&mut body, "c", Value::Binary(bytes.to_vec()));
        let Message::Ping(ping) = codec::decode(&frame(2, &body)).unwrap() else {
            panic!()
        };
        let coord = ping.coord;
        assert!(coord.x_ms.abs() <= 512.0 && coord.y_ms.abs() <= 512.0);
        assert!((0.0..=512.0).contains(&coord.height_ms));
    }
}

#[test]
fn nesting_ends_somewhere() {
    for opening in [0x91, 0x81, 0xdd, 0xc7] {
        // A thousand arrays in arrays, maps in maps and so on, as the value of a field that nobody knows.
        let mut body = vec![13, 0x81, 0xa1, b'z'];
        for _ in 0..1000 {
            body.push(opening);
            match opening {
                0x81 => body.push(0xc0),
                0xdd => body.extend([0, 0, 0, 1]),
                _ => {}
            }
        }
        assert!(matches!(codec::decode(&body), Err(FrameError::Body { .. })));
    }
}

#[test]
fn our_own_largest_messages_fit_into_a_frame() {
    let address: SocketAddr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
    let Message::JoinAnswer(mut answer) = example(11) else {
        panic!()
    };
    let mut record = answer.peers[0].clone();
    record.addrs = common::list([address; MAX_ADDRS]);
    record.role = Role::Peercaster;
    (record.slots, record.free_slots, record.lag_ms) = (u16::MAX, u16::MAX, Some(u16::MAX));
    record.primaries = SubstreamSet(u64::MAX);
    answer.peers = common::list(vec![record; MAX_PEERS]);
    answer.seats = common::list([SubstreamSet(u64::MAX); MAX_PEERS]);
    answer.supply = common::list([u16::MAX; MAX_LAGS]);
    let mut info = common::stream_info();
    info.title = "x".repeat(MAX_TITLE);
    answer.info = Some(Signed::new(&info, &common::key()));
    let mut node = *answer.deputy.clone().unwrap();
    node.addrs = common::list([address; MAX_ADDRS]);
    answer.siblings = common::list(vec![node.clone(); MAX_RING_LIST]);
    answer.deputy = Some(Box::new(node));
    let frame = codec::encode(&answer.clone().into());
    assert!(frame.len() - LENGTH_LEN <= MAX_FRAME, "{} bytes", frame.len());
    assert_eq!(codec::decode(&frame[LENGTH_LEN..]).unwrap(), answer.into());
}
