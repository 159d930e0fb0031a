//! Packets of the test stream: one programme with one video stream (ISO/IEC 13818-1).

use std::collections::VecDeque;

use mpeg2ts::es::{StreamId, StreamType};
use mpeg2ts::pes::PesHeader;
use mpeg2ts::time::{ClockReference, Timestamp};
use mpeg2ts::ts::payload::{Bytes, Pat, Pes, Pmt};
use mpeg2ts::ts::{
    AdaptationField, ContinuityCounter, EsInfo, Pid, ProgramAssociation, TransportScramblingControl,
    TsHeader, TsPacket, TsPacketWriter, TsPayload, VersionNumber, WriteTsPacket,
};

use super::super::ts::PACKET;

const PID_PMT: u16 = 0x1000;
const PID_VIDEO: u16 = 0x0100;
const PROGRAMME: u16 = 1;
/// The first of the stream ids for video.
const STREAM_ID: u8 = 0xe0;

/// What a packet can carry at most.
const PAYLOAD_MAX: usize = PACKET - 4;
/// Of which a PES header with a presentation time takes this much,
const PES_HEADER: usize = 14;
/// and an adaptation field with or without a clock reference this much.
const ADAPTATION: usize = 2;
const PCR: usize = 6;

/// An access unit on its way out.
#[derive(Debug)]
struct Unit {
    data: Vec<u8>,
    sent: usize,
    /// Presentation time in ticks of 90 kHz.
    pts: u64,
    key: bool,
}

/// Writes packets one by one.
#[derive(Debug, Default)]
pub(super) struct Mux {
    pat_counter: ContinuityCounter,
    pmt_counter: ContinuityCounter,
    video_counter: ContinuityCounter,
    units: VecDeque<Unit>,
}

impl Mux {
    /// Queues an access unit.
    pub(super) fn push(&mut self, data: Vec<u8>, pts: u64, key: bool) {
        self.units.push_back(Unit {
            data,
            sent: 0,
            pts,
            key,
        });
    }

    /// Bytes of access units that wait.
    pub(super) fn backlog(&self) -> usize {
        self.units.iter().map(|unit| unit.data.len() - unit.sent).sum()
    }

    /// Whether the next video packet begins a key frame.
    pub(super) fn at_key_frame(&self) -> bool {
        self.units.front().is_some_and(|unit| unit.key && unit.sent == 0)
    }

    pub(super) fn pat(&mut self, out: &mut Vec<u8>) {
        let table = vec![ProgramAssociation {
            program_num: PROGRAMME,
            program_map_pid: pid(PID_PMT),
        }];
        let pat = Pat {
            transport_stream_id: 1,
            version_number: VersionNumber::default(),
            table,
        };
        write(
            out,
            pid(Pid::PAT),
            &mut self.pat_counter,
            None,
            Some(TsPayload::Pat(pat)),
        );
    }

    pub(super) fn pmt(&mut self, out: &mut Vec<u8>) {
        let video = EsInfo {
            stream_type: StreamType::H264,
            elementary_pid: pid(PID_VIDEO),
            descriptors: Vec::new(),
        };
        let pmt = Pmt {
            program_num: PROGRAMME,
            pcr_pid: Some(pid(PID_VIDEO)),
            version_number: VersionNumber::default(),
            program_info: Vec::new(),
            es_info: vec![video],
        };
        write(
            out,
            pid(PID_PMT),
            &mut self.pmt_counter,
            None,
            Some(TsPayload::Pmt(pmt)),
        );
    }

    /// The next packet of video, with a clock reference if `pcr` (ticks of 27 MHz) is given. False if there is none,
    /// in which case a packet with nothing but the clock reference is written if there is one to write.
    pub(super) fn video(&mut self, pcr: Option<u64>, out: &mut Vec<u8>) -> bool {
        let pcr_len = if pcr.is_some() { PCR } else { 0 };
        let Some(unit) = self.units.front_mut() else {
            if pcr.is_some() {
                write(
                    out,
                    pid(PID_VIDEO),
                    &mut self.video_counter,
                    Some(adaptation(pcr, false)),
                    None,
                );
                return true;
            }
            return false;
        };
        let first = unit.sent == 0;
        let field = (first && unit.key || pcr.is_some()).then(|| adaptation(pcr, first && unit.key));
        let room = PAYLOAD_MAX
            - field.as_ref().map_or(0, |_| ADAPTATION + pcr_len)
            - if first { PES_HEADER } else { 0 };
        let rest = &unit.data[unit.sent..];
        let part = &rest[..room.min(rest.len())];
        unit.sent += part.len();
        let data = Bytes::new(part).expect("no more than a packet has room for");
        let payload = if first {
            let header = PesHeader {
                stream_id: StreamId::new(STREAM_ID),
                priority: false,
                data_alignment_indicator: true,
                copyright: false,
                original_or_copy: false,
                pts: Timestamp::new(unit.pts % (1 << 33)).ok(),
                dts: None,
                escr: None,
            };
            // Length 0, allowed for video: as long as it takes.
            TsPayload::PesStart(Pes {
                header,
                pes_packet_len: 0,
                data,
            })
        } else {
            TsPayload::PesContinuation(data)
        };
        write(out, pid(PID_VIDEO), &mut self.video_counter, field, Some(payload));
        if unit.sent == unit.data.len() {
            self.units.pop_front();
        }
        true
    }
}

/// A packet that fills a slot for which there is nothing to send.
pub(super) fn null(out: &mut Vec<u8>) {
    let [pid_high, pid_low] = Pid::NULL.to_be_bytes();
    // Payload only.
    out.extend_from_slice(&[TsPacket::SYNC_BYTE, pid_high, pid_low, 0x10]);
    out.resize(out.len() + PAYLOAD_MAX, 0xff);
}

fn pid(pid: u16) -> Pid {
    Pid::new(pid).expect("the PIDs here have 13 bits")
}

fn adaptation(pcr: Option<u64>, random_access: bool) -> AdaptationField {
    AdaptationField {
        discontinuity_indicator: false,
        random_access_indicator: random_access,
        es_priority_indicator: false,
        // Modulo 2^33 ticks of 90 kHz.
        pcr: pcr.and_then(|pcr| ClockReference::new(pcr % ((1 << 33) * 300)).ok()),
        opcr: None,
        splice_countdown: None,
        transport_private_data: Vec::new(),
        extension: None,
    }
}

/// Appends a packet; `counter` is the next one's continuity counter.
fn write(
    out: &mut Vec<u8>,
    pid: Pid,
    counter: &mut ContinuityCounter,
    adaptation_field: Option<AdaptationField>,
    payload: Option<TsPayload>,
) {
    let continuity_counter = if payload.is_some() {
        let this = *counter;
        counter.increment();
        this
    } else {
        // A packet without payload repeats the counter of the one before.
        let before = counter.as_u8().wrapping_sub(1) & ContinuityCounter::MAX;
        ContinuityCounter::from_u8(before).unwrap_or_default()
    };
    let header = TsHeader {
        transport_error_indicator: false,
        transport_priority: false,
        pid,
        transport_scrambling_control: TransportScramblingControl::NotScrambled,
        continuity_counter,
    };
    let packet = TsPacket {
        header,
        adaptation_field,
        payload,
    };
    let written = TsPacketWriter::new(out).write_ts_packet(&packet);
    written.expect("fields are sized to fit a packet, and a vector takes any number of bytes");
}
