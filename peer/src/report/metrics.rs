//! Prometheus metrics on `/metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use wire::StreamId;

use super::line::{Kind, Lag, Line};
use crate::error::{Failure, plain_io};

/// The content type of the text format that is served (OpenMetrics 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the newest line of each stream. Dropping it stops serving.
#[derive(Debug)]
pub struct Metrics {
    newest: Newest,
    addr: SocketAddr,
    _server: AbortOnDropHandle<()>,
}

/// The newest line of each stream; one node takes part in a handful of streams.
#[derive(Clone, Debug, Default)]
struct Newest(Arc<Mutex<BTreeMap<StreamId, Line>>>);

impl Metrics {
    /// Starts to serve on `addr`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Failure::Input`] when the address cannot be bound.
    pub async fn bind(addr: SocketAddr) -> Result<Self, Failure> {
        let refuse = |error: std::io::Error| {
            Failure::input(format!(
                "metrics cannot be served on {addr} ({}); choose another address with --metrics",
                plain_io(&error)
            ))
        };
        let listener = TcpListener::bind(addr).await.map_err(refuse)?;
        let addr = listener.local_addr().map_err(refuse)?;
        let newest = Newest::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(newest.clone()));
        let registry = Arc::new(registry);
        let app = Router::new().route("/metrics", get(move || scrape(Arc::clone(&registry))));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::warn!("metrics are no longer served: {error}");
            }
        });
        Ok(Metrics {
            newest,
            addr,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// Where it serves.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes the stream's newest line. Summaries are left out: their lags are of another form.
    pub fn update(&self, line: &Line) {
        if line.kind == Kind::Sample {
            self.newest.lock().insert(line.stream, line.clone());
        }
    }
}

async fn scrape(registry: Arc<Registry>) -> impl IntoResponse {
    let mut body = String::new();
    // Writing into a string fails only if a value does not encode, and then what came before it still helps.
    if let Err(error) = text::encode(&mut body, &registry) {
        tracing::warn!("metrics: {error}");
    }
    ([(CONTENT_TYPE, OPEN_METRICS)], body)
}

impl Newest {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StreamId, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Newest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let lines = self.lock();
        for (name, help, value) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for line in lines.values() {
                metric
                    .encode_family(&labels(line))?
                    .encode_counter::<[(&str, &str); 0], _, u64>(&value(line), None)?;
            }
        }
        for (name, help, value) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for line in lines.values() {
                if let Some(value) = value(line) {
                    metric.encode_family(&labels(line))?.encode_gauge(&value)?;
                }
            }
        }
        Ok(())
    }
}

fn labels(line: &Line) -> [(&'static str, String); 2] {
    [
        ("role", line.role.name().to_owned()),
        ("stream", line.stream.to_string()),
    ]
}

type Counter = (&'static str, &'static str, fn(&Line) -> u64);
type Gauge = (&'static str, &'static str, fn(&Line) -> Option<f64>);

/// The encoder appends `_total`.
const COUNTERS: &[Counter] = &[
    ("headwater_chunks_played", "Chunks handed over", |l| {
        l.chunks_played
    }),
    ("headwater_chunks_missed", "Chunks given up", |l| l.chunks_missed),
    (
        "headwater_chunks_late",
        "Chunks handed over after their time",
        |l| l.chunks_late,
    ),
    ("headwater_received_bytes", "Media received", |l| l.bytes_in),
    ("headwater_sent_bytes", "Media sent", |l| l.bytes_out),
    ("headwater_duplicate_bytes", "Media received twice", |l| {
        l.bytes_duplicate
    }),
    ("headwater_control_bytes", "Protocol overhead both ways", |l| {
        l.bytes_control
    }),
    (
        "headwater_rejected_bytes",
        "Bytes that failed verification",
        |l| l.bytes_rejected,
    ),
    (
        "headwater_repairs_requested",
        "Chunks asked for one by one",
        |l| l.repairs_requested,
    ),
];

const GAUGES: &[Gauge] = &[
    (
        "headwater_startup_seconds",
        "From the start to the first byte handed over",
        |l| l.startup_ms.map(|ms| ms / 1e3),
    ),
    (
        "headwater_playout_lag_seconds",
        "Playout lag of the latest chunk",
        |l| now(l.lag_ms),
    ),
    (
        "headwater_arrival_lag_seconds",
        "Arrival lag of the latest chunk",
        |l| now(l.arrival_ms),
    ),
    (
        "headwater_continuity_ratio",
        "Chunks handed over in time of those due",
        |l| Some(l.continuity),
    ),
    (
        "headwater_buffer_seconds",
        "Media between playout and the first hole",
        |l| Some(f64::from(l.buffer_ms) / 1e3),
    ),
    ("headwater_neighbours", "Connections", |l| {
        Some(l.neighbours.len() as f64)
    }),
    (
        "headwater_tracker_members",
        "Peers registered at the local tracker",
        |l| l.tracker.as_ref().map(|t| f64::from(t.members)),
    ),
    (
        "headwater_coordinate_error_ratio",
        "Relative error of the coordinate",
        |l| Some(l.coord.error),
    ),
    (
        "headwater_ring_member",
        "Whether it is a member of the ring",
        |l| Some(f64::from(u8::from(l.doat.member))),
    ),
    (
        "headwater_ring_entries",
        "Entries of its table in the ring",
        |l| Some(f64::from(l.doat.entries)),
    ),
    (
        "headwater_trust_earned_bytes",
        "What others owe this node for what it gave",
        |l| l.trust.map(|trust| trust.earned_bytes as f64),
    ),
    (
        "headwater_trust_owed_bytes",
        "What this node owes for what it took",
        |l| l.trust.map(|trust| trust.owed_bytes as f64),
    ),
    (
        "headwater_trust_spendable_bytes",
        "What suppliers owe this node, or could be made to by shifts",
        |l| l.trust.map(|trust| trust.spendable_bytes as f64),
    ),
    ("headwater_trust_shifts", "Shifts of trust under way", |l| {
        l.trust.map(|trust| f64::from(trust.shifts))
    }),
    (
        "headwater_trust_control_bytes",
        "Messages about trust, both ways",
        |l| l.trust.map(|trust| trust.control_bytes as f64),
    ),
    (
        "headwater_join_coordinate_seconds",
        "From the start to the first coordinate",
        |l| l.join_ms.coord.map(|ms| ms / 1e3),
    ),
    (
        "headwater_join_doat_seconds",
        "From the start until a look-up found a tracker",
        |l| l.join_ms.doat.map(|ms| ms / 1e3),
    ),
    (
        "headwater_join_tracker_seconds",
        "From the start to the tracker's answer",
        |l| l.join_ms.tracker.map(|ms| ms / 1e3),
    ),
    (
        "headwater_join_first_chunk_seconds",
        "From the start to the first chunk",
        |l| l.join_ms.first_chunk.map(|ms| ms / 1e3),
    ),
    ("headwater_cpu_seconds", "Processor time used", |l| Some(l.cpu_s)),
    ("headwater_resident_bytes", "Memory in use", |l| {
        Some(l.rss_bytes as f64)
    }),
];

fn now(lag: Lag) -> Option<f64> {
    match lag {
        Lag::Now(ms) => ms.map(|ms| ms / 1e3),
        Lag::Run(_) => None,
    }
}
