//! MPEG transport streams (ISO/IEC 13818-1): the packet grid, the tables, the clock and the random-access points.

mod clock;
mod packet;
mod psi;
mod random_access;

use wire::Time;

pub(super) use clock::Clock;
pub(super) use packet::{Grid, PACKET, PID_NULL, PIDS, Packet, SYNC, find_grid, packets};
pub(super) use psi::Psi;

use super::container::{Mark, Sink};
use super::notice::Notice;
use super::segmenter::Progress;
use random_access::JoinFinder;

#[cfg(test)]
mod tests;

/// Follows a transport stream packet by packet.
#[derive(Debug, Default)]
pub(super) struct Analyser {
    /// Offset of the first byte that was not looked at.
    at: u64,
    synced: bool,
    /// Where sync was lost, while it is.
    lost_at: Option<u64>,
    psi: Psi,
    clock: Clock,
    joins: JoinFinder,
    continuity: Continuity,
}

impl Analyser {
    pub(super) fn psi(&self) -> &Psi {
        &self.psi
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.clock.progress()
    }

    pub(super) fn continuity_errors(&self) -> u64 {
        self.continuity.errors
    }

    /// Looks at what was appended to `data`, the bytes from offset `start` of the input on.
    pub(super) fn scan(&mut self, now: Time, start: u64, data: &[u8], sink: &mut Sink) {
        loop {
            let rest = &data[(self.at.saturating_sub(start) as usize).min(data.len())..];
            if self.synced {
                if let Some(packet) = Packet::at(rest) {
                    self.packet(now, packet, sink);
                    self.at += PACKET as u64;
                    continue;
                }
                if rest.first().is_none_or(|&byte| byte == SYNC) {
                    break;
                }
                self.lose_sync(sink);
            }
            match find_grid(rest) {
                Grid::At(skip) => self.find_sync(skip, sink),
                Grid::NotBefore(skip) => {
                    self.at += skip as u64;
                    break;
                }
            }
        }
        sink.settled = self.at;
        sink.undecided = self.joins.undecided();
    }

    fn lose_sync(&mut self, sink: &mut Sink) {
        self.synced = false;
        self.lost_at = Some(self.at);
        self.joins.forget();
        self.psi.forget_partial();
        sink.notices.push(Notice::LostSync { offset: self.at });
        sink.marks.push_back(Mark::Grid { at: self.at, unit: 1 });
    }

    fn find_sync(&mut self, skip: usize, sink: &mut Sink) {
        self.synced = true;
        self.at += skip as u64;
        sink.marks.push_back(Mark::Grid {
            at: self.at,
            unit: PACKET,
        });
        if let Some(lost_at) = self.lost_at.take() {
            sink.notices.push(Notice::Resynchronised {
                skipped: self.at - lost_at,
            });
            sink.marks.push_back(Mark::Discontinuity(self.at));
        }
    }

    fn packet(&mut self, now: Time, packet: Packet<'_>, sink: &mut Sink) {
        let pid = packet.pid();
        if pid == PID_NULL || packet.is_corrupt() {
            return;
        }
        self.continuity.check(packet);
        if self.psi.is_clock_pid(pid) {
            if packet.discontinuity_indicator() {
                sink.marks.push_back(Mark::Discontinuity(self.at));
            }
            if let Some(pcr) = packet.pcr()
                && let Some(by_us) = self.clock.observe(now, self.at, pcr)
            {
                sink.notices.push(Notice::ClockJumped { by_us });
                sink.marks.push_back(Mark::Discontinuity(self.at));
            }
        }
        if self.psi.packet(packet) {
            self.joins.follow(self.psi.main_stream());
        }
        if let Some(at) = self.joins.packet(self.clock.media_time(now), self.at, packet) {
            sink.marks.push_back(Mark::Join(at));
        }
    }
}

/// Counts packets that are missing by their 4-bit continuity counters.
#[derive(Debug)]
struct Continuity {
    /// Per PID the latest counter, or [`Continuity::NONE`].
    latest: Box<[u8; PIDS]>,
    errors: u64,
}

impl Default for Continuity {
    fn default() -> Self {
        Continuity {
            latest: Box::new([Self::NONE; PIDS]),
            errors: 0,
        }
    }
}

impl Continuity {
    const NONE: u8 = 0xff;

    fn check(&mut self, packet: Packet<'_>) {
        let latest = &mut self.latest[usize::from(packet.pid()) % PIDS];
        let counter = packet.continuity();
        // The counter stands still in packets without payload, and one repetition of a packet is allowed.
        let expected = if packet.has_payload() {
            latest.wrapping_add(1) & 0x0f
        } else {
            *latest
        };
        let known = *latest != Self::NONE && !packet.discontinuity_indicator();
        if known && counter != expected && counter != *latest {
            self.errors += 1;
        }
        *latest = counter;
    }
}
