//! What a model of the network counts.

/// What one peer sent while it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Copies of chunks, and the media in them.
    pub(crate) copies_out: u64,
    pub(crate) media_out: u64,
    /// Bytes of the packets of handshakes.
    pub(crate) handshake_out: u64,
    pub(crate) handshake_in: u64,
}

/// What happened to copies of chunks on their way, in the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Losses on the way and drops by queues: of copies, where these are modelled as wholes, or of packets.
    pub(crate) on_the_way: u64,
    /// Copies not sent, or not again, because their time was past.
    pub(crate) expired: u64,
}
