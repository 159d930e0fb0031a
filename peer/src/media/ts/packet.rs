//! The 188-byte packet of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3).
//!
//! Our own few lines instead of the crate `mpeg2ts-reader`: the segmenter needs each packet's offset in the input and
//! the raw packets of the tables, has to find the packet grid again after garbage, and must take hostile input
//! without an assertion; that crate walks packets it assumes aligned and hides their position.

/// Length of a packet in bytes.
pub(in crate::media) const PACKET: usize = 188;
/// First byte of every packet.
pub(in crate::media) const SYNC: u8 = 0x47;
/// PID of the programme association table.
pub(in crate::media) const PID_PAT: u16 = 0;
/// PID of null packets.
pub(in crate::media) const PID_NULL: u16 = 0x1fff;
/// Number of PIDs there are.
pub(in crate::media) const PIDS: usize = 0x2000;

/// Ticks of the system clock a second; PCR counts these.
pub(in crate::media) const CLOCK_HZ: u64 = 27_000_000;

/// A packet, read in place.
#[derive(Clone, Copy, Debug)]
pub(in crate::media) struct Packet<'a>(&'a [u8; PACKET]);

impl<'a> Packet<'a> {
    /// The packet at the beginning of `data`, if there is a whole one that begins with the sync byte.
    pub(in crate::media) fn at(data: &'a [u8]) -> Option<Self> {
        let packet = data.first_chunk()?;
        (packet[0] == SYNC).then_some(Packet(packet))
    }

    pub(in crate::media) fn bytes(self) -> &'a [u8; PACKET] {
        self.0
    }

    /// The demodulator could not correct this packet: nothing in it can be trusted.
    pub(in crate::media) fn is_corrupt(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// A PES packet or table section begins in this packet.
    pub(in crate::media) fn is_unit_start(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    pub(in crate::media) fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    pub(in crate::media) fn is_scrambled(self) -> bool {
        self.0[3] & 0xc0 != 0
    }

    pub(in crate::media) fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    pub(in crate::media) fn continuity(self) -> u8 {
        self.0[3] & 0x0f
    }

    /// The adaptation field after its length byte; empty when there is none or it overruns the packet.
    fn adaptation(self) -> &'a [u8] {
        if self.0[3] & 0x20 == 0 {
            return &[];
        }
        let len = usize::from(self.0[4]);
        self.0.get(5..5 + len).unwrap_or(&[])
    }

    fn adaptation_flag(self, mask: u8) -> bool {
        self.adaptation().first().is_some_and(|flags| flags & mask != 0)
    }

    pub(in crate::media) fn discontinuity_indicator(self) -> bool {
        self.adaptation_flag(0x80)
    }

    pub(in crate::media) fn random_access_indicator(self) -> bool {
        self.adaptation_flag(0x40)
    }

    /// Programme clock reference in ticks of [`CLOCK_HZ`].
    pub(in crate::media) fn pcr(self) -> Option<u64> {
        let field = self.adaptation();
        if field.first()? & 0x10 == 0 {
            return None;
        }
        let &[a, b, c, d, e, f] = field.get(1..7)?.first_chunk()?;
        let base = u64::from(u32::from_be_bytes([a, b, c, d])) << 1 | u64::from(e >> 7);
        let extension = u64::from(e & 1) << 8 | u64::from(f);
        // An extension above 299 is not a valid count; what it would add is still less than two ticks of the base.
        Some(base * 300 + extension)
    }

    /// What follows header and adaptation field; empty when there is none or its length makes no sense.
    pub(in crate::media) fn payload(self) -> &'a [u8] {
        if !self.has_payload() {
            return &[];
        }
        let from = if self.0[3] & 0x20 != 0 {
            5 + usize::from(self.0[4])
        } else {
            4
        };
        self.0.get(from..).unwrap_or(&[])
    }

    /// The payload if a PES packet begins in it, whole header or not.
    pub(in crate::media) fn pes_start(self) -> Option<&'a [u8]> {
        (self.is_unit_start() && self.payload().starts_with(&[0, 0, 1])).then(|| self.payload())
    }
}

/// The whole packets at the beginning of `data`, with their offsets, up to the first that does not begin with the
/// sync byte.
pub(in crate::media) fn packets(data: &[u8]) -> impl Iterator<Item = (usize, Packet<'_>)> {
    (0..)
        .step_by(PACKET)
        .map_while(|at| Some((at, Packet::at(data.get(at..)?)?)))
}

/// Where the packet grid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) enum Grid {
    /// It begins here.
    At(usize),
    /// It does not begin before here; more bytes are needed to tell whether it does here.
    NotBefore(usize),
}

/// So many packets in a row must begin with the sync byte. Random bytes do that once in 2^40 positions; the usual
/// number in receivers.
const GRID_PACKETS: usize = 5;

/// Finds the packet grid in `data`.
pub(in crate::media) fn find_grid(data: &[u8]) -> Grid {
    let mut at = 0;
    while let Some(skip) = data[at..].iter().position(|&byte| byte == SYNC) {
        at += skip;
        let mut seen = 0;
        let fits = (at..)
            .step_by(PACKET)
            .take(GRID_PACKETS)
            .map_while(|i| data.get(i))
            .all(|&byte| {
                seen += 1;
                byte == SYNC
            });
        if fits && seen == GRID_PACKETS {
            return Grid::At(at);
        }
        if fits {
            return Grid::NotBefore(at);
        }
        at += 1;
    }
    Grid::NotBefore(data.len())
}
