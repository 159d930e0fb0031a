//! Values that make no sense are refused before a run, each with its key.

use super::{CapacityClass, Fault, Fidelity, Scenario, Space, Stream};

/// Most peers in a run, a guard against slips: at 200 KiB each they take 20 GB.
const MAX_PEERS: usize = 100_000;
/// Longest run, a guard against slips.
pub(crate) const MAX_SECONDS: f64 = 86_400.0;
/// Highest uplink, in multiples of the stream's rate.
const MAX_UPLOAD_X: f64 = 1e6;
/// Longest delay, loss timeouts and the like in milliseconds.
pub(crate) const MAX_MS: f64 = 600_000.0;

pub(crate) fn between(key: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{key} is {value}, but must be from {least} to {most}"))
    }
}

pub(crate) fn count(key: &str, value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{key} is {value}, but must be from {least} to {most}"))
    }
}

impl Scenario {
    /// Refuses values that make no sense.
    ///
    /// # Errors
    /// One sentence with the key.
    pub fn check(&self) -> Result<(), String> {
        self.stream.check()?;
        self.space.check()?;
        self.check_network()?;
        self.check_fidelity()?;
        self.check_peers()?;
        self.check_times()?;
        self.earlier
            .as_ref()
            .map_or(Ok(()), |earlier| earlier.check(self))?;
        let mut attackers = self.attackers.iter().enumerate();
        attackers.try_for_each(|(at, attackers)| attackers.check(at, self))
    }

    fn check_fidelity(&self) -> Result<(), String> {
        if self.fidelity == Fidelity::Packet && !self.baselines.is_empty() {
            return Err(
                "the packet level cannot follow baselines: what they say to each other has no form on the wire; run them \
                 without --packet"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_network(&self) -> Result<(), String> {
        let network = &self.network;
        between("network.loss", network.loss, 0.0, 1.0)?;
        between("network.jitter_ms", network.jitter_ms, 0.0, MAX_MS)?;
        between("network.queue_ms", network.queue_ms, 0.0, MAX_MS)?;
        if let Some(download_x) = network.download_x {
            between("network.download_x", download_x, 0.01, MAX_UPLOAD_X)?;
        }
        between("network.idle_timeout_ms", network.idle_timeout_ms, 1.0, MAX_MS)?;
        between("network.clock_offset_s", network.clock_offset_s, 0.0, 1e8)?;
        if let Some(ring_after_s) = network.ring_after_s {
            between("network.ring_after_s", ring_after_s, 0.0, 1e6)?;
        }
        count("network.max_neighbours", network.max_neighbours, 1, MAX_PEERS)?;
        count("tracker.split_above", self.tracker.split_above, 16, MAX_PEERS)?;
        count("source.max_neighbours", self.source.max_neighbours, 1, MAX_PEERS)?;
        between("source.upload_x", self.source.upload_x, 0.01, MAX_UPLOAD_X)
    }

    fn check_peers(&self) -> Result<(), String> {
        let peers = &self.peers;
        count("peers.count", peers.count, 1, MAX_PEERS)?;
        count("donors.count", self.donors.count, 0, MAX_PEERS)?;
        between("donors.upload_x", self.donors.upload_x, 0.0, MAX_UPLOAD_X)?;
        between("peers.passive_share", peers.passive_share, 0.0, 1.0)?;
        if let Some(overstate) = peers.overstate {
            between("peers.overstate.share", overstate.share, 0.0, 1.0)?;
            between("peers.overstate.factor", overstate.factor, 1.0, 1000.0)?;
        }
        if let Some(target) = peers.target_lag_ms {
            between("peers.target_lag_ms", target, 0.0, MAX_MS)?;
        }
        for CapacityClass { share, upload_x } in &peers.classes {
            between("peers.classes' share", *share, 0.0, 1.0)?;
            between("peers.classes' upload_x", *upload_x, 0.0, MAX_UPLOAD_X)?;
        }
        whole("peers.classes", peers.classes.iter().map(|class| class.share))?;
        if let Some(ri) = peers.ri {
            let given = self.source.upload_x / peers.count as f64;
            if peers
                .classes
                .iter()
                .all(|class| class.share * class.upload_x == 0.0)
            {
                return Err("peers.ri is given, but no class of peers.classes has an uplink".to_owned());
            }
            between(
                "peers.ri (above what the peercaster alone gives)",
                ri,
                given,
                1000.0,
            )?;
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), String> {
        let measure = &self.measure;
        between("measure.start_s", measure.start_s, 0.0, MAX_SECONDS)?;
        between("measure.length_s", measure.length_s, 0.1, MAX_SECONDS)?;
        between("measure.drain_s", measure.drain_s, 0.0, MAX_SECONDS)?;
        between("donors.at_s", self.donors.at_s, 0.0, MAX_SECONDS)?;
        between("donors.over_s", self.donors.over_s, 0.0, MAX_SECONDS)?;
        for wave in &self.joins {
            between("joins' share", wave.share, 0.0, 1.0)?;
            between("joins' at_s", wave.at_s, 0.0, MAX_SECONDS)?;
            between("joins' over_s", wave.over_s, 0.0, MAX_SECONDS)?;
        }
        whole("joins", self.joins.iter().map(|wave| wave.share))?;
        if let Some(churn) = &self.churn {
            between("churn.mean_session_s", churn.mean_session_s, 0.1, 1e9)?;
            between("churn.from_s", churn.from_s, 0.0, MAX_SECONDS)?;
            between("churn.crash_share", churn.crash_share, 0.0, 1.0)?;
        }
        for fault in &self.faults {
            between("faults' at_s", fault.at_s(), 0.0, MAX_SECONDS)?;
            match *fault {
                Fault::Crash { share, .. } | Fault::Leave { share, .. } | Fault::Trackers { share, .. } => {
                    between("faults' share", share, 0.0, 1.0)?;
                }
                Fault::Restart { away_s, .. } => {
                    between("faults' away_s", away_s, 0.0, MAX_SECONDS)?;
                    if !self.baselines.is_empty() {
                        return Err(
                            "a baseline cannot follow faults with kind = \"restart\": its players know nothing of sessions"
                                .to_owned(),
                        );
                    }
                }
                Fault::Loss { loss, .. } => between("faults' loss", loss, 0.0, 1.0)?,
                Fault::Upload { share, factor, .. } => {
                    between("faults' share", share, 0.0, 1.0)?;
                    between("faults' factor", factor, 0.0, 1000.0)?;
                }
            }
        }
        Ok(())
    }
}

impl Stream {
    /// Refuses values that make no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        between("stream.rate in bit/s", self.rate.as_bps() as f64, 1000.0, 1e11)?;
        // What a stream's description may say.
        between("stream.chunk_ms", self.chunk_ms, 0.5, 1000.0)?;
        between("stream.gop_ms", self.gop_ms, self.chunk_ms, MAX_MS)?;
        count(
            "stream.substreams",
            self.substreams.into(),
            1,
            wire::MAX_SUBSTREAMS.into(),
        )?;
        between(
            "stream.keyframe_x (no more than fits a group)",
            self.keyframe_x,
            1.0,
            (self.gop_ms / crate::driver::KEYFRAME_MS).max(1.0),
        )?;
        let largest = self.rate.as_bps() as f64 / 8000.0 * self.chunk_ms * self.keyframe_x;
        between(
            "the largest chunk in bytes (stream.rate x stream.chunk_ms x stream.keyframe_x)",
            largest,
            1.0,
            wire::MAX_PAYLOAD as f64,
        )
    }
}

impl Space {
    /// Refuses values that make no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (access_ms, plane) = match self {
            Space::Rectangle {
                width_ms,
                height_ms,
                access_ms,
                ..
            } => (access_ms, Some((width_ms, height_ms))),
            Space::Clusters {
                width_ms,
                height_ms,
                clusters,
                spread_ms,
                access_ms,
                ..
            } => {
                count("space.clusters", *clusters, 1, MAX_PEERS)?;
                between("space.spread_ms", *spread_ms, 0.0, MAX_MS)?;
                (access_ms, Some((width_ms, height_ms)))
            }
            Space::Matrix { access_ms, .. } => (access_ms, None),
        };
        between("space.access_ms", *access_ms, 0.0, MAX_MS)?;
        if let Some((width_ms, height_ms)) = plane {
            between("space.width_ms", *width_ms, 0.0, MAX_MS)?;
            between("space.height_ms", *height_ms, 0.0, MAX_MS)?;
        }
        Ok(())
    }
}

impl Fault {
    /// When it happens, in seconds from the start.
    pub fn at_s(&self) -> f64 {
        match *self {
            Fault::Crash { at_s, .. }
            | Fault::Leave { at_s, .. }
            | Fault::Trackers { at_s, .. }
            | Fault::Restart { at_s, .. }
            | Fault::Loss { at_s, .. }
            | Fault::Upload { at_s, .. } => at_s,
        }
    }
}

/// Shares that must make a whole.
fn whole(key: &str, shares: impl Iterator<Item = f64>) -> Result<(), String> {
    let sum: f64 = shares.sum();
    if (sum - 1.0).abs() < 1e-6 {
        Ok(())
    } else {
        Err(format!("the shares of {key} add up to {sum}, but must to 1"))
    }
}
