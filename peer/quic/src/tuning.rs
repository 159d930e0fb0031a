//! The settings of QUIC. Each was chosen by the measurements in `docs/results/transport.md`.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn_proto::{AckFrequencyConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use wire::MAX_CHUNK_FRAME;

use super::congestion::LiveConfig;

/// How finely the largest packet of a path is searched for. From 1200 bytes two probes, of 1326 and 1452 bytes, find what
/// Ethernet and most tunnels carry. QUIC's own 20 bytes take four: 2.8 KB more for each connection each way, and a newcomer
/// with an uplink of 1 Mbit/s makes eighteen at once, which is 0.4 s of it.
const MTU_STEP: u16 = 126;

/// Which congestion controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// Ours: see [`super::congestion`].
    Live,
    /// QUIC's usual one (RFC 9438).
    Cubic,
    /// Google's model-based one.
    Bbr,
}

/// How acknowledgements are asked for (the draft "QUIC Acknowledgement Frequency").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acks {
    /// Packets that may arrive without an acknowledgement.
    pub threshold: u8,
    /// The longest that an acknowledgement is held back.
    pub delay: Duration,
}

/// Settings of QUIC connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// The congestion controller.
    pub congestion: Congestion,
    /// How acknowledgements are asked for; `None` leaves every second packet to be acknowledged.
    pub acks: Option<Acks>,
    /// Packets that must arrive after a missing one before it counts as lost; 3 is the least.
    pub packet_threshold: u32,
    /// Round trips after which a packet counts as lost when a later one arrived.
    pub time_threshold: f32,
    /// Round trip assumed before the first measurement: a lost first packet is repeated after three times this.
    pub initial_rtt: Duration,
    /// Payload of the first UDP packets; larger ones are probed for.
    pub initial_mtu: u16,
    /// With no packet for so long, the peer is dead.
    pub idle_timeout: Duration,
    /// With nothing to send, a packet is sent this often.
    pub keep_alive: Duration,
    /// Most bytes a peer may have sent that we have not taken.
    pub receive_window: u32,
    /// Most bytes in QUIC's hands and not acknowledged.
    pub send_window: u64,
    /// Most chunks a peer may be sending at once.
    pub concurrent_chunks: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            congestion: Congestion::Live,
            // Measured at 3.5 Mbit/s: 0.5 % of the payload instead of 1.8 %, and losses are noticed no later, because
            // a packet out of order is acknowledged at once.
            acks: Some(Acks {
                threshold: 16,
                delay: Duration::from_millis(25),
            }),
            // QUIC's own. Measured: more patience costs what it says, less gains a millisecond.
            packet_threshold: 3,
            time_threshold: 9.0 / 8.0,
            // Most peers are within 100 ms; for the others a repeated first packet costs 1200 bytes. QUIC's own 333 ms
            // would make a lost first packet cost a second of start-up.
            initial_rtt: Duration::from_millis(100),
            // What QUIC guarantees to work everywhere; 1452 is found within two round trips.
            initial_mtu: 1200,
            // A crashed supplier must be noticed within two seconds, without mistaking a burst of loss for a crash:
            // three keep-alives fit.
            idle_timeout: Duration::from_millis(2000),
            keep_alive: Duration::from_millis(650),
            // 160 Mbit/s over 100 ms.
            receive_window: 2 * 1024 * 1024,
            send_window: 8 * 1024 * 1024,
            // Two seconds of the default stream at 8 ms a chunk, from one supplier.
            concurrent_chunks: 256,
        }
    }
}

impl Tuning {
    /// QUIC's settings.
    pub fn transport(&self) -> TransportConfig {
        let mut config = TransportConfig::default();
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Live => Arc::new(LiveConfig),
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Bbr => Arc::new(BbrConfig::default()),
        };
        let acks = self.acks.map(|acks| {
            let mut config = AckFrequencyConfig::default();
            config
                .ack_eliciting_threshold(VarInt::from_u32(acks.threshold.into()))
                .max_ack_delay(Some(acks.delay))
                // A gap is acknowledged at once, also if one packet only has come behind it: a chunk has few.
                .reordering_threshold(VarInt::from_u32(1));
            config
        });
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.minimum_change(MTU_STEP);
        config
            .mtu_discovery_config(Some(mtu))
            .congestion_controller_factory(congestion)
            .ack_frequency_config(acks)
            .packet_threshold(self.packet_threshold)
            .time_threshold(self.time_threshold)
            .initial_rtt(self.initial_rtt)
            .initial_mtu(self.initial_mtu)
            .max_idle_timeout(self.idle_timeout.try_into().ok())
            .keep_alive_interval(Some(self.keep_alive))
            // The control stream, opened by whoever dialled.
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(self.concurrent_chunks))
            // No chunk ever waits for the receiver's leave to send its rest.
            .stream_receive_window(VarInt::from_u32(MAX_CHUNK_FRAME as u32))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(self.send_window)
            // Chunks of one class go out one after the other, not slice by slice: the first is complete sooner and the
            // last no later.
            .send_fairness(false)
            .datagram_receive_buffer_size(None);
        config
    }
}
