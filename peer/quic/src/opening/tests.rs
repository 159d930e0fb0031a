use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{Connection, DatagramEvent, Endpoint, EndpointConfig, Event};
use wire::SecretKey;

use super::*;
use crate::{SERVER_NAME, Tuning, client_config, server_config};

#[allow(
    clippy::disallowed_methods,
    reason = "there is no other way to a first moment, and nothing here takes time"
)]
fn some_moment() -> Instant {
    Instant::now()
}

fn read(names: &[&[u8]]) -> Option<Vec<u8>> {
    among(names.iter().copied())
}

#[test]
fn an_opening_is_cut_into_names_and_found_among_others() {
    for len in [1, PIECE, PIECE + 1, MAX_OPENING] {
        let opening: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
        let mut all = vec![super::super::tls::ALPN.to_vec(), b"h3".to_vec()];
        all.extend(names(&opening));
        assert!(all.iter().all(|name| name.len() <= 255));
        assert_eq!(among(all.iter().map(Vec::as_slice)), Some(opening));
    }
}

#[test]
fn other_names_are_no_opening() {
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[b"headwater/1", b"h3", b"hw-o", b"hw", b""]), None);
    // A piece is missing, comes twice, or there are too many.
    assert_eq!(read(&[b"hw-o\x01abc"]), None);
    assert_eq!(read(&[b"hw-o\x00abc", b"hw-o\x00abc"]), None);
    let long = vec![0; MAX_OPENING + 1];
    let pieces: Vec<_> = names(&long).collect();
    assert_eq!(among(pieces.iter().map(Vec::as_slice)), None);
}

/// A client's first datagrams with this opening, and its connection.
fn first_flight(opening: Option<&[u8]>) -> (Vec<Vec<u8>>, Connection) {
    let tls = Tls::new(&SecretKey::from_bytes(&[1; 32])).unwrap();
    let config = client_config(&tls, &Tuning::default(), None, opening).unwrap();
    let mut client = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
    let now = some_moment();
    let to = ([192, 0, 2, 1], 4000).into();
    let (_, mut connection) = client.connect(now, config, to, SERVER_NAME).unwrap();
    let mut datagrams = Vec::new();
    let mut buffer = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, 10, &mut buffer) {
        let size = transmit.segment_size.unwrap_or(transmit.size);
        datagrams.extend(buffer[..transmit.size].chunks(size).map(<[u8]>::to_vec));
        buffer.clear();
    }
    (datagrams, connection)
}

/// What a server hears of these datagrams, each given to it in turn.
fn heard(datagrams: &[Vec<u8>]) -> Option<Vec<u8>> {
    let tls = Tls::new(&SecretKey::from_bytes(&[2; 32])).unwrap();
    let config = server_config(&tls, &Tuning::default()).unwrap();
    let acceptor = Acceptor::new(&tls, config.clone()).unwrap();
    let mut server = Endpoint::new(
        Arc::new(EndpointConfig::default()),
        Some(Arc::new(config)),
        true,
        None,
    );
    let now = some_moment();
    let from = ([192, 0, 2, 2], 4000).into();
    let mut buffer = Vec::new();
    let mut accepted: Option<(Arc<Heard>, Connection)> = None;
    for datagram in datagrams {
        let data = BytesMut::from(&datagram[..]);
        match server.handle(now, from, None, None, data, &mut buffer) {
            Some(DatagramEvent::NewConnection(incoming)) => {
                let (config, heard) = acceptor.next().unwrap();
                let (_, connection) = server
                    .accept(incoming, now, &mut buffer, Some(config))
                    .map_err(|error| error.cause)
                    .unwrap();
                accepted = Some((heard, connection));
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                let (heard, connection) = accepted.as_mut().unwrap();
                assert!(heard.opening().is_none(), "before it is whole");
                connection.handle_event(event);
            }
            _ => panic!("neither a new connection nor a known one"),
        }
    }
    let (heard, mut connection) = accepted.unwrap();
    let ready = std::iter::from_fn(|| connection.poll()).any(|e| matches!(e, Event::HandshakeDataReady));
    assert!(ready, "the first message is whole");
    assert!(connection.is_handshaking());
    heard.opening().map(<[u8]>::to_vec)
}

#[test]
fn the_acceptor_hears_the_opening_with_the_first_packet() {
    assert_eq!(heard(&first_flight(None).0), None);
    let opening = vec![7; 750];
    let (datagrams, _) = first_flight(Some(&opening));
    assert_eq!(datagrams.len(), 1);
    assert_eq!(heard(&datagrams), Some(opening));
}

#[test]
fn a_long_opening_goes_in_two_packets() {
    let opening = vec![7; MAX_OPENING];
    let (mut datagrams, _) = first_flight(Some(&opening));
    assert_eq!(datagrams.len(), 2);
    assert_eq!(heard(&datagrams), Some(opening.clone()));
    datagrams.reverse();
    assert_eq!(heard(&datagrams), Some(opening));
}

#[test]
fn eight_hundred_bytes_go_in_one_packet_and_the_longest_in_two() {
    let packets = |len: usize| first_flight(Some(&vec![1; len])).0.len();
    assert_eq!([800, 900, MAX_OPENING].map(packets), [1, 2, 2]);
}
