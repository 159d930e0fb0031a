use proptest::prelude::*;

use super::*;

/// A packet of MPEG-TS whose first payload byte after the sync byte is `mark`.
fn packet(number: u16, ssrc: u32, mark: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, MP2T];
    bytes.extend(number.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([TS_SYNC, mark]);
    bytes.resize(12 + TS_PACKET, 0xff);
    bytes
}

fn marks(out: &[(Time, Bytes)]) -> Vec<u8> {
    out.iter().map(|(_, payload)| payload[1]).collect()
}

/// Packets `(number, mark)` a millisecond apart; what came out by then.
fn run(receiver: &mut Receiver, packets: &[(u16, u8)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (ms, &(number, mark)) in packets.iter().enumerate() {
        let now = Time::from_millis(ms as u64);
        receiver.push(now, &packet(number, 7, mark), &mut out).unwrap();
    }
    marks(&out)
}

#[test]
fn reordered_packets_come_out_in_order_once() {
    let mut receiver = Receiver::default();
    let packets = [(65534, 1), (0, 3), (65535, 2), (0, 9), (1, 4), (65534, 9)];
    assert_eq!(run(&mut receiver, &packets), [1, 2, 3, 4]);
    assert_eq!((receiver.lost(), receiver.next_deadline()), (0, None));
}

#[test]
fn a_lost_packet_is_waited_for_with_patience() {
    let mut receiver = Receiver::default();
    assert_eq!(run(&mut receiver, &[(10, 1), (12, 3), (13, 4)]), [1]);
    let due = receiver.next_deadline().unwrap();
    assert_eq!(due, Time::from_millis(1) + PATIENCE);
    let mut out = Vec::new();
    receiver.handle_deadline(due - Duration::from_millis(1), &mut out);
    assert!(out.is_empty());
    receiver.handle_deadline(due, &mut out);
    assert_eq!(marks(&out), [3, 4]);
    assert!(out.is_sorted_by_key(|(read, _)| *read));
    assert_eq!((receiver.lost(), receiver.next_deadline()), (1, None));
}

#[test]
fn what_is_held_is_bounded() {
    let mut receiver = Receiver::default();
    let mut out = Vec::new();
    receiver.push(Time::ZERO, &packet(0, 7, 0), &mut out).unwrap();
    for number in 2..2 + HELD_MAX as u16 + 1 {
        receiver
            .push(Time::ZERO, &packet(number, 7, 1), &mut out)
            .unwrap();
    }
    assert_eq!(out.len(), 1 + HELD_MAX + 1);
    assert_eq!(receiver.lost(), 1);
}

#[test]
fn a_restarted_sender_continues_at_once() {
    let mut receiver = Receiver::default();
    assert_eq!(
        run(&mut receiver, &[(100, 1), (102, 2), (40_000, 3), (40_001, 4)]),
        [1, 2, 3, 4]
    );
}

#[test]
fn a_second_sender_waits_for_silence() {
    let mut receiver = Receiver::default();
    let mut out = Vec::new();
    receiver.push(Time::ZERO, &packet(1, 7, 1), &mut out).unwrap();
    let early = receiver.push(Time::from_millis(500), &packet(1, 8, 2), &mut out);
    assert_eq!(early, Err(Refused::OtherSender));
    receiver
        .push(Time::from_millis(1500), &packet(900, 8, 3), &mut out)
        .unwrap();
    receiver
        .push(Time::from_millis(1501), &packet(901, 8, 4), &mut out)
        .unwrap();
    assert_eq!(marks(&out), [1, 3, 4]);
}

#[test]
fn other_datagrams_are_refused() {
    let mut receiver = Receiver::default();
    let mut out = Vec::new();
    let mut push = |datagram: &[u8]| receiver.push(Time::ZERO, datagram, &mut out);
    assert_eq!(push(b"GET / HTTP/1.1"), Err(Refused::NotRtp));
    assert_eq!(push(&packet(1, 7, 1)[..12]), Err(Refused::NotMpegTs(MP2T)));
    let mut h264 = packet(1, 7, 1);
    h264[1] = 96;
    assert_eq!(push(&h264), Ok(()), "a dynamic type with MPEG-TS in it");
    h264[12] = 0x65;
    assert_eq!(push(&h264), Err(Refused::NotMpegTs(96)));
    h264[1] = 14;
    assert_eq!(push(&h264), Err(Refused::NotMpegTs(14)));
}

proptest! {
    #[test]
    fn no_datagram_panics(datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..40)) {
        let mut receiver = Receiver::default();
        let mut out = Vec::new();
        for (ms, mut datagram) in datagrams.into_iter().enumerate() {
            if let Some(first) = datagram.first_mut() {
                // Version 2, so that more than the first check is reached.
                *first = *first & 0x3f | 0x80;
            }
            let _ = receiver.push(Time::from_millis(ms as u64), &datagram, &mut out);
            prop_assert!(receiver.held.len() <= HELD_MAX);
        }
        prop_assert!(out.is_sorted_by_key(|(read, _)| *read));
    }

    #[test]
    fn any_order_within_the_bound_is_put_right(
        start: u16,
        swaps in prop::collection::vec((0usize..60, 0usize..60), 0..40),
    ) {
        let mut order: Vec<u8> = (0..60).collect();
        for (a, b) in swaps {
            order.swap(a, b);
        }
        // The first packet says where the sequence begins.
        let first = order.iter().position(|&mark| mark == 0).unwrap();
        order.swap(0, first);
        let mut receiver = Receiver::default();
        let mut out = Vec::new();
        for mark in order {
            let number = start.wrapping_add(u16::from(mark));
            receiver.push(Time::ZERO, &packet(number, 7, mark), &mut out).unwrap();
        }
        prop_assert_eq!(marks(&out), (0..60).collect::<Vec<u8>>());
    }
}
