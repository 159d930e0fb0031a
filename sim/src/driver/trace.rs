//! What one peer did and was told, line by line: for whoever wants to know why it fared as it did.

use std::fmt::Write;

use wire::{Message, PeerId, SubstreamSet};

use super::ids::Ids;
use crate::time::{MS, SimTime};

/// The peers that are watched, and for how long after joining.
#[derive(Debug, Default)]
pub(super) struct Trace {
    peers: Vec<u32>,
    for_ns: u64,
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn new(peers: &[u32], for_ns: u64) -> Self {
        Trace {
            peers: peers.to_vec(),
            for_ns,
            lines: Vec::new(),
        }
    }

    /// Whether what happens to this peer, which joined then, is to be written down now.
    pub(super) fn watches(&self, peer: u32, joined: SimTime, now: SimTime) -> bool {
        !self.peers.is_empty()
            && self.peers.contains(&peer)
            && now >= joined
            && now.since(joined) <= self.for_ns
    }

    pub(super) fn line(&mut self, peer: u32, joined: SimTime, now: SimTime, what: &str) {
        let ms = now.since(joined) as f64 / MS as f64;
        self.lines.push(format!("{peer} {ms:10.3} {what}"));
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

/// A message in a few words, peers by their numbers.
pub(super) fn words(message: &Message, ids: &Ids) -> String {
    let number = |peer: &PeerId| ids.get(peer).map_or_else(|| "?".to_owned(), |n| n.to_string());
    let name = Message::CODES
        .iter()
        .find(|(code, _)| *code == message.code())
        .map_or("message", |(_, name)| *name);
    let mut text = name.to_owned();
    // Writing into a string cannot fail.
    let _ = match message {
        Message::JoinAnswer(answer) => {
            let seats = answer.peers.iter().zip(answer.seats.iter());
            let named: Vec<String> = seats
                .map(|(record, set)| {
                    format!(
                        "{}:{}/{}{}",
                        number(&record.peer),
                        record.free_slots,
                        record.slots,
                        list(*set)
                    )
                })
                .collect();
            let primaries = list(answer.primaries);
            write!(
                text,
                " members {} primaries {primaries} {}",
                answer.members,
                named.join(" ")
            )
        }
        Message::Join(join) => write!(
            text,
            " want {} need {} free {}/{} has {}",
            join.want,
            list(join.need),
            join.record.free_slots,
            join.record.slots,
            list(join.record.has)
        ),
        Message::Guest(guest) => write!(text, " of {}", number(&guest.peer)),
        Message::Hold(hold) => write!(text, " for {} {}", number(&hold.peer), list(hold.substreams)),
        Message::Subscribe(ask) => write!(
            text,
            " {} fanout {}{}",
            list(ask.substreams),
            ask.fanout,
            if ask.orphan { " orphan" } else { "" }
        ),
        Message::Subscribed(answer) => write!(text, " {}", list(answer.substreams)),
        Message::Refused(answer) => {
            let instead: Vec<String> = answer.instead.iter().map(|r| number(&r.peer)).collect();
            write!(
                text,
                " {} {:?}, instead {}",
                list(answer.substreams),
                answer.reason,
                instead.join(" ")
            )
        }
        Message::Unsubscribe(leave) => write!(text, " {}", list(leave.substreams)),
        Message::Displaced(leave) => {
            let instead: Vec<String> = leave.instead.iter().map(|r| number(&r.peer)).collect();
            write!(text, " {} instead {}", list(leave.substreams), instead.join(" "))
        }
        Message::Advert(advert) => write!(text, " free {}/{}", advert.free_slots, advert.slots),
        Message::Request(ask) => write!(text, " {} chunks", ask.seqs.len()),
        Message::DontHave(answer) => write!(text, " {} chunks", answer.seqs.len()),
        Message::Path(path) => write!(
            text,
            " {} length {}{}",
            path.substream.0,
            path.ancestors.len(),
            if path.attached { "" } else { ", broken" }
        ),
        _ => Ok(()),
    };
    text
}

fn list(set: SubstreamSet) -> String {
    let numbers: Vec<String> = set.iter().map(|s| s.0.to_string()).collect();
    format!("[{}]", numbers.join(","))
}
