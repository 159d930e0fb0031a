//! Any message, with any values its fields can have.

mod areas;
mod trust;

use std::net::{IpAddr, SocketAddr};

use coords::Coord;
use headwater_wire::message::*;
use headwater_wire::{
    Bitrate, List, Media, Message, PeerId, SecretKey, Seq, Signed, StreamId, StreamInfo, Substream,
    SubstreamSet, Time,
};
use proptest::prelude::*;

use super::list;

fn any_list<T: std::fmt::Debug + Clone, const N: usize>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = List<T, N>> {
    prop::collection::vec(item, 0..=N).prop_map(list)
}

/// Without zone and flow label, which do not go over the wire.
fn any_addr() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn any_stream() -> impl Strategy<Value = StreamId> {
    any::<[u8; 32]>().prop_map(StreamId::from_bytes)
}

fn any_peer() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn any_set() -> impl Strategy<Value = SubstreamSet> {
    any::<u64>().prop_map(SubstreamSet)
}

fn any_seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq)
}

fn any_time() -> impl Strategy<Value = Time> {
    any::<u64>().prop_map(Time::from_micros)
}

/// In the steps that go over the wire.
fn any_coord() -> impl Strategy<Value = Coord> {
    (-16_384..=16_384i16, -16_384..=16_384i16, 0..=16_384u16).prop_map(|(x, y, height)| Coord {
        x_ms: f64::from(x) / 32.0,
        y_ms: f64::from(y) / 32.0,
        height_ms: f64::from(height) / 32.0,
    })
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![
        Role::Consumer,
        Role::Peercaster,
        Role::Donor,
        Role::Passive,
        Role::Unknown,
    ])
}

fn any_refusal() -> impl Strategy<Value = RefuseReason> {
    use RefuseReason::*;
    prop::sample::select(vec![UnknownStream, Full, Loop, NoData, Misbehaved, Unknown])
}

fn any_farewell() -> impl Strategy<Value = ByeReason> {
    use ByeReason::*;
    prop::sample::select(vec![Leaving, Unneeded, Full, Misbehaved, Unknown])
}

fn any_record() -> impl Strategy<Value = PeerRecord> {
    let numbers = any::<(u16, u16, Option<u16>)>();
    (
        any_peer(),
        any_list(any_addr()),
        any_coord(),
        any_role(),
        numbers,
        (any_set(), any_set(), any_set()),
    )
        .prop_map(
            |(peer, addrs, coord, role, (slots, free_slots, lag_ms), (primaries, leaves, has))| PeerRecord {
                peer,
                addrs,
                coord,
                role,
                slots,
                free_slots,
                primaries,
                leaves,
                has,
                lag_ms,
            },
        )
}

fn any_referrals() -> impl Strategy<Value = List<Referral, MAX_REFERRALS>> {
    any_list((any_peer(), any_list(any_addr())).prop_map(|(peer, addrs)| Referral { peer, addrs }))
}

fn any_signed_info() -> impl Strategy<Value = Signed<StreamInfo>> {
    let numbers = any::<(u32, u8, u32, u64, bool)>();
    (
        any::<[u8; 32]>(),
        any_seq(),
        any_time(),
        numbers,
        "\\PC{0,60}",
        any::<bool>(),
    )
        .prop_map(
            |(
                key,
                session,
                started_at,
                (revision, substreams, chunk_duration_us, rate, private),
                title,
                opaque,
            )| {
                let info = StreamInfo {
                    session,
                    revision,
                    started_at,
                    substreams,
                    chunk_duration_us,
                    rate: Bitrate::from_bps(rate),
                    media: if opaque { Media::Opaque } else { Media::Matroska },
                    title,
                    private,
                };
                Signed::new(&info, &SecretKey::from_bytes(&key))
            },
        )
}

fn any_greeting() -> impl Strategy<Value = Message> {
    let addrs = (any_list(any_addr()), proptest::option::of(any_addr()));
    let hello = (any::<(u16, u16)>(), any::<u64>(), "\\PC{0,16}", addrs).prop_map(
        |(versions, features, agent, (listen, observed))| Hello {
            versions,
            features,
            agent,
            listen,
            observed,
        },
    );
    let ping = || {
        (any::<u32>(), any_time(), any_coord(), any::<f32>()).prop_map(
            |(nonce, sent_at, coord, coord_error)| Ping {
                nonce,
                sent_at,
                coord,
                coord_error,
            },
        )
    };
    let clock = any::<(u32, i64, u32)>().prop_map(|(stream_tag, offset_us, error_us)| ClockReading {
        stream_tag,
        offset_us,
        error_us,
    });
    let pong = (ping(), any_time(), any_list(clock)).prop_map(|(ping, received_at, clocks)| Pong {
        nonce: ping.nonce,
        sent_at: ping.sent_at,
        received_at,
        coord: ping.coord,
        coord_error: ping.coord_error,
        clocks,
    });
    prop_oneof![
        hello.prop_map(Message::Hello),
        ping().prop_map(Message::Ping),
        pong.prop_map(Message::Pong),
        any_farewell().prop_map(|reason| Message::Bye(Bye { reason })),
    ]
}

fn any_join() -> impl Strategy<Value = Join> {
    let known = proptest::option::of((any_seq(), any::<u32>()));
    (
        any_stream(),
        any_record(),
        any::<(u8, u64)>(),
        any_set(),
        (known, any::<u32>()),
    )
        .prop_map(|(stream, record, (want, upload), need, (known, promised))| Join {
            stream,
            record,
            want,
            need,
            upload: Bitrate::from_bps(upload),
            known,
            promised,
        })
}

fn any_guest() -> impl Strategy<Value = Guest> {
    (any::<[u8; 32]>(), any_join(), any_list(any_addr())).prop_map(|(key, join, addrs)| Guest {
        addrs,
        ..Guest::new(&join, &SecretKey::from_bytes(&key))
    })
}

fn any_tracker_message() -> impl Strategy<Value = Message> {
    let random_access = (proptest::option::of(any_seq()), any::<Option<u32>>());
    let answer = (
        any_stream(),
        proptest::option::of(any_signed_info()),
        (any_list(any_record()), any_list(any_set())),
        (any_seq(), any_time()),
        random_access,
        (any_set(), any_list(any::<u16>())),
        any::<(u32, u32)>(),
        (
            proptest::option::of(any_appointment()),
            any_list(any_node()),
            proptest::option::of(any_node().prop_map(Box::new)),
        ),
    )
        .prop_map(
            |(
                stream,
                info,
                (peers, seats),
                (head, head_at),
                (random_access, random_access_every_ms),
                (primaries, supply),
                (refresh_ms, members),
                (appointment, siblings, deputy),
            )| {
                JoinAnswer {
                    stream,
                    info,
                    peers,
                    seats,
                    refresh_ms,
                    head,
                    head_at,
                    random_access,
                    random_access_every_ms,
                    primaries,
                    supply,
                    members,
                    appointment,
                    siblings,
                    deputy,
                }
            },
        );
    prop_oneof![
        any_join().prop_map(Message::Join),
        any_guest().prop_map(Message::Guest),
        answer.prop_map(Message::JoinAnswer),
        (any_stream(), any_refusal(), any_list(any_node())).prop_map(|(stream, reason, trackers)| {
            Message::JoinRefused(JoinRefused {
                stream,
                reason,
                trackers,
            })
        }),
        any_stream().prop_map(|stream| Message::Leave(Leave { stream })),
        (any_stream(), any_peer(), any_set()).prop_map(|(stream, peer, substreams)| {
            Message::Hold(Hold {
                stream,
                peer,
                substreams,
            })
        }),
        (any_stream(), any_list(any_record()))
            .prop_map(|(stream, peers)| Message::Greeting(Greeting { stream, peers })),
        (any_stream(), any_signed_info()).prop_map(|(stream, info)| Message::Info(Info { stream, info })),
    ]
}

fn any_node() -> impl Strategy<Value = RingNode> {
    (any_peer(), any_coord(), any_list(any_addr())).prop_map(|(peer, coord, addrs)| RingNode {
        peer,
        coord,
        addrs,
    })
}

fn any_appointment() -> impl Strategy<Value = Signed<Appointment>> {
    (any::<[u8; 32]>(), any_stream(), any_peer(), any::<u64>()).prop_map(|(key, stream, tracker, serial)| {
        let appointment = Appointment {
            stream,
            tracker,
            serial,
        };
        Signed::new(&appointment, &SecretKey::from_bytes(&key))
    })
}

fn any_lease() -> impl Strategy<Value = Lease> {
    let numbers = any::<(u64, u32, u32, u16)>();
    (
        any::<[u8; 32]>(),
        any_stream(),
        any_node(),
        any_list(any_node()),
        numbers,
        any_appointment(),
    )
        .prop_map(|(key, stream, tracker, siblings, numbers, appointment)| {
            let (serial, ttl_ms, members, short) = numbers;
            let key = SecretKey::from_bytes(&key);
            let lease = TrackerLease {
                stream,
                tracker,
                siblings,
                serial,
                ttl_ms,
                members,
                short,
            };
            Lease {
                lease: Signed::new(&lease, &key),
                tracker: key.peer_id(),
                appointment,
            }
        })
}

fn any_entry_message() -> impl Strategy<Value = Message> {
    let state = || any::<(u32, u32)>().prop_map(|(epoch, seq)| FilterState { epoch, seq });
    let change = prop_oneof![
        any_list(any::<u16>()).prop_map(FilterChange::Flips),
        prop::collection::vec(any::<u8>(), 0..=2_048).prop_map(FilterChange::Whole),
    ];
    let watched = (
        any::<(bool, u8, Option<u32>, u32)>(),
        proptest::option::of(any_node()),
        state(),
        change,
    )
        .prop_map(|((up, level, since, check), finger, state, change)| Watched {
            up,
            level,
            finger,
            state,
            since,
            change,
            check,
        });
    prop_oneof![
        (any::<(bool, u8, Option<u32>)>(), proptest::option::of(state())).prop_map(
            |((up, level, finger), have)| Message::Watch(Watch {
                up,
                level,
                have,
                finger
            })
        ),
        any::<(bool, u8)>().prop_map(|(up, level)| Message::Unchanged(Unchanged { up, level })),
        watched.prop_map(Message::Watched),
    ]
}

fn any_ring_message() -> impl Strategy<Value = Message> {
    let seen = (any::<(u64, u8)>(), any_list(any_node())).prop_map(|((nonce, hops), nodes)| RingSeen {
        nonce,
        hops,
        nodes,
    });
    let news = (
        any_node(),
        any_list(any_node()),
        any_list(any_node()),
        any::<(bool, u32)>(),
    )
        .prop_map(|(me, successors, predecessors, (answer, revision))| RingNews {
            me,
            successors,
            predecessors,
            answer,
            revision,
        });
    let pulse =
        any::<(u32, Option<u32>, bool)>().prop_map(|(mine, yours, answer)| RingPulse { mine, yours, answer });
    let find = (
        (any_stream(), any_peer()),
        any::<(u64, Option<bool>, Option<u64>, u64)>(),
        any::<(u8, u8)>(),
        proptest::option::of(any_guest()),
        proptest::option::of(any_list(any_peer())),
    )
        .prop_map(
            |((stream, begun_by), (nonce, up, near, begun_at), (hops, attempt), guest, except)| Find {
                stream,
                nonce,
                up,
                near,
                begun_at,
                begun_by,
                hops,
                attempt,
                guest: guest.map(Box::new),
                except,
            },
        );
    let found = (any::<(u64, bool, u8)>(), proptest::option::of(any_lease())).prop_map(
        |((nonce, up, hops), lease)| Found {
            nonce,
            up,
            hops,
            lease,
        },
    );
    prop_oneof![
        any::<(u64, u64, u8)>().prop_map(|(position, nonce, hops)| Message::RingSeek(RingSeek {
            position,
            nonce,
            hops
        })),
        seen.prop_map(Message::RingSeen),
        news.prop_map(Message::RingNews),
        pulse.prop_map(Message::RingPulse),
        any_list(any_node()).prop_map(|nodes| Message::RingLeave(RingLeave { nodes })),
        any_entry_message(),
        find.prop_map(Message::Find),
        found.prop_map(Message::Found),
        any_lease().prop_map(Message::Lease),
    ]
}

fn any_survey_message() -> impl Strategy<Value = Message> {
    let surveyed = (any_list(any_lease()), any_list(any_node()))
        .prop_map(|(leases, farther)| Message::Surveyed(Surveyed { leases, farther }));
    prop_oneof![
        any::<u8>().prop_map(|most| Message::Survey(Survey { most })),
        surveyed,
    ]
}

fn any_swarm_message() -> impl Strategy<Value = Message> {
    let what = || (any_stream(), any_set());
    let subscribe = (what(), any_seq(), any::<u16>(), any::<bool>()).prop_map(
        |((stream, substreams), from, fanout, orphan)| Subscribe {
            stream,
            substreams,
            from,
            fanout,
            orphan,
        },
    );
    let refused =
        (what(), any_refusal(), any_referrals()).prop_map(|((stream, substreams), reason, instead)| {
            Refused {
                stream,
                substreams,
                reason,
                instead,
            }
        });
    let displaced =
        (what(), any_referrals(), any::<u16>()).prop_map(|((stream, substreams), instead, grace_ms)| {
            Displaced {
                stream,
                substreams,
                instead,
                grace_ms,
            }
        });
    let path = (any_stream(), any::<(u8, bool)>(), any_list(any::<u32>())).prop_map(
        |(stream, (substream, attached), ancestors)| Path {
            stream,
            substream: Substream(substream),
            ancestors,
            attached,
        },
    );
    let advert = (
        any::<(u32, Option<u32>, u32)>(),
        any_seq(),
        any_list(any::<u16>()),
        any::<(u16, u16, u16, u16)>(),
        (any_set(), any_set(), any::<Option<u16>>()),
        any_role(),
    )
        .prop_map(
            |(
                (stream_tag, random_access_behind, held),
                head,
                lags_ms,
                numbers,
                (primaries, leaves, takers),
                role,
            )| Advert {
                stream_tag,
                head,
                random_access_behind,
                held,
                lags_ms,
                slots: numbers.0,
                free_slots: numbers.1,
                primaries,
                leaves,
                takers,
                backlog_ms: numbers.2,
                copy_time_10us: numbers.3,
                role,
            },
        );
    let request =
        (any::<u32>(), any_list(any_seq()), any::<u16>()).prop_map(|(stream_tag, seqs, deadline_ms)| {
            Request {
                stream_tag,
                seqs,
                deadline_ms,
            }
        });
    let dont_have =
        (any::<u32>(), any_list(any_seq())).prop_map(|(stream_tag, seqs)| DontHave { stream_tag, seqs });
    prop_oneof![
        subscribe.prop_map(Message::Subscribe),
        what().prop_map(|(stream, substreams)| Message::Subscribed(Subscribed { stream, substreams })),
        refused.prop_map(Message::Refused),
        what().prop_map(|(stream, substreams)| Message::Unsubscribe(Unsubscribe { stream, substreams })),
        displaced.prop_map(Message::Displaced),
        path.prop_map(Message::Path),
        advert.prop_map(Message::Advert),
        request.prop_map(Message::Request),
        dont_have.prop_map(Message::DontHave),
    ]
}

/// Any message, with any values its fields can have.
pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        any_greeting(),
        any_tracker_message(),
        areas::any_area_message(),
        any_ring_message(),
        any_survey_message(),
        any_swarm_message(),
        trust::any_trust_message()
    ]
}
