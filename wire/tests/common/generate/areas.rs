//! What trackers say to each other, with anything in it.

use super::*;

pub(super) fn any_area_message() -> impl Strategy<Value = Message> {
    let is =
        (any_stream(), any_node(), any_appointment()).prop_map(|(stream, tracker, appointment)| TrackerIs {
            stream,
            tracker,
            appointment,
        });
    let appoint = (any_stream(), any_appointment(), any_peer()).prop_map(|(stream, own, peer)| Appoint {
        stream,
        own,
        peer,
    });
    let appointed =
        (any_stream(), any_peer(), any_appointment()).prop_map(|(stream, peer, appointment)| Appointed {
            stream,
            peer,
            appointment,
        });
    let hold =
        (any_stream(), any_peer(), any_peer(), any_set()).prop_map(|(stream, at, peer, substreams)| {
            HoldFor {
                stream,
                at,
                peer,
                substreams,
            }
        });
    prop_oneof![
        is.prop_map(Message::TrackerIs),
        any_stream().prop_map(|stream| Message::Moved(Moved { stream })),
        appoint.prop_map(Message::Appoint),
        appointed.prop_map(Message::Appointed),
        (any_stream(), any::<bool>())
            .prop_map(|(stream, accepted)| Message::HandedOver(HandedOver { stream, accepted })),
        hold.prop_map(Message::HoldFor),
        any_hand_over(),
        any_sibling_news(),
    ]
}

fn any_hand_over() -> impl Strategy<Value = Message> {
    (
        any_stream(),
        proptest::option::of(any_appointment()),
        proptest::option::of(any_node()),
        any_list(any_node()),
        any_list(any_record()),
        (any_list(any_peer()), any::<bool>(), any::<bool>()),
    )
        .prop_map(
            |(stream, appointment, peercaster, siblings, records, (gone, last, replica))| {
                if replica {
                    ReplicaNews {
                        stream,
                        appointment,
                        peercaster,
                        siblings,
                        records,
                        gone,
                    }
                    .into()
                } else {
                    HandOver {
                        stream,
                        appointment,
                        peercaster,
                        siblings,
                        records,
                        last,
                    }
                    .into()
                }
            },
        )
}

fn any_sibling_news() -> impl Strategy<Value = Message> {
    (
        any_stream(),
        any_appointment(),
        any_node(),
        any::<(u32, u16, bool)>(),
        any_list(any_record()),
        any_list(any_node()),
    )
        .prop_map(
            |(stream, appointment, me, (members, short, answer), spare, siblings)| {
                SiblingNews {
                    stream,
                    appointment,
                    me,
                    members,
                    short,
                    spare,
                    siblings,
                    answer,
                }
                .into()
            },
        )
}
