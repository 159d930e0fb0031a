//! What the rest of the program holds of a running node.

use std::net::SocketAddr;
use std::sync::Arc;

use swarm::{Input, NewChunk, NodeStats, Participation, PlayoutWish, Wanting};
use tokio::sync::{mpsc, oneshot, watch};
use wire::message::RingNode;
use wire::{Bitrate, PeerId, SecretKey, StreamId, StreamInfo};

use super::items::{self, ItemSender};
use super::produce::ProduceQueue;
use super::{Clock, DriverStats, StreamEvents};

/// The node has ended: it was shut down, or its task failed and said so in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has ended")]
pub struct NodeEnded;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Take part: the input that says how, and where the stream's items go.
    Enter(StreamId, Box<Input>, ItemSender),
    /// Anything that needs no more than the node.
    Input(Box<Input>),
    /// Stop taking part.
    Leave(StreamId),
    Stats(oneshot::Sender<(NodeStats, DriverStats)>),
    /// Hear what concerns no stream in particular.
    Listen(ItemSender),
    /// Look which streams lack capacity.
    Survey(oneshot::Sender<Vec<Wanting>>),
    Shutdown,
}

/// A running node. Clones share it; when the last one is dropped the node says goodbye and ends.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) produce: Arc<ProduceQueue>,
    pub(super) peer: PeerId,
    pub(super) clock: Clock,
    pub(super) local_addrs: Arc<[SocketAddr]>,
    /// Turns true when every task has ended.
    pub(super) ended: watch::Receiver<bool>,
}

impl NodeHandle {
    /// The node's id.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The node's clock: what [`NewChunk::generated_at`] and lags are measured on.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Where it listens, with the ports that the system chose; addresses may be unspecified (`0.0.0.0`, `[::]`).
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Publishes a stream.
    ///
    /// # Errors
    /// [`NodeEnded`], as for all methods.
    pub async fn publish(&self, key: SecretKey, info: StreamInfo) -> Result<StreamEvents, NodeEnded> {
        let stream = key.stream_id();
        self.take_part(stream, Input::Publish { key, info }).await
    }

    /// Hands over the next piece of a published stream. Never waits: if the node cannot keep up the oldest piece is
    /// dropped and counted in [`DriverStats::produce_dropped`].
    pub fn produce(&self, stream: StreamId, chunk: NewChunk) {
        self.produce.push(stream, chunk);
    }

    /// Changes the description of a published stream.
    pub async fn describe(&self, stream: StreamId, info: StreamInfo) -> Result<(), NodeEnded> {
        self.input(Input::Describe { stream, info }).await
    }

    /// Ends a published stream, after what was produced before.
    pub async fn end_of_stream(&self, stream: StreamId) -> Result<(), NodeEnded> {
        self.input(Input::EndOfStream { stream }).await
    }

    /// Calls those whom this node supplied when it cast before; to be said before the stream is published again.
    pub async fn recall(&self, audience: Vec<RingNode>) -> Result<(), NodeEnded> {
        self.input(Input::Recall { audience }).await
    }

    /// Takes part in a stream. `via` are addresses that lead to its local tracker. Joining a stream again replaces the
    /// receiver of before.
    pub async fn join(
        &self,
        stream: StreamId,
        via: Vec<SocketAddr>,
        participation: Participation,
    ) -> Result<StreamEvents, NodeEnded> {
        self.take_part(
            stream,
            Input::Join {
                stream,
                via,
                participation,
            },
        )
        .await
    }

    /// Changes the playout wish.
    pub async fn wish(&self, stream: StreamId, wish: PlayoutWish) -> Result<(), NodeEnded> {
        self.input(Input::Wish { stream, wish }).await
    }

    /// Stops taking part; the stream's [`StreamEvents`] end.
    pub async fn leave(&self, stream: StreamId) -> Result<(), NodeEnded> {
        self.command(Command::Leave(stream)).await
    }

    /// Changes the upload limit, counted in bytes of IP packets.
    pub async fn set_upload(&self, rate: Bitrate) -> Result<(), NodeEnded> {
        self.input(Input::Upload { rate }).await
    }

    /// The node's and the driver's counters and state at this moment.
    pub async fn stats(&self) -> Result<(NodeStats, DriverStats), NodeEnded> {
        let (answer, stats) = oneshot::channel();
        self.command(Command::Stats(answer)).await?;
        stats.await.map_err(|_| NodeEnded)
    }

    /// Enters the overlay through one of these addresses; without this the streams that are joined lead there. To be called
    /// before a stream is published or joined.
    pub async fn enter(&self, via: Vec<SocketAddr>) -> Result<(), NodeEnded> {
        self.input(Input::Enter { via }).await
    }

    /// What happens from now on and concerns no stream in particular: for whoever may have no stream, and so nobody else to hear
    /// it from.
    pub async fn listen(&self) -> Result<StreamEvents, NodeEnded> {
        let (sender, events) = items::channel();
        self.command(Command::Listen(sender)).await?;
        Ok(events)
    }

    /// Looks which streams of the overlay lack capacity; those that lack most come first. Takes ten seconds at most.
    pub async fn survey(&self) -> Result<Vec<Wanting>, NodeEnded> {
        let (answer, found) = oneshot::channel();
        self.command(Command::Survey(answer)).await?;
        found.await.map_err(|_| NodeEnded)
    }

    /// Shifts up to so many bytes of what others owe this node to `to`, as far as paths are known and their peers connected; those at
    /// `via` are called if they are not. What came of it are events that concern no stream; asking for too much does no harm.
    pub async fn shift(&self, to: PeerId, amount: u64, via: Vec<SocketAddr>) -> Result<(), NodeEnded> {
        self.input(Input::Shift { to, amount, via }).await
    }

    /// Leaves every stream, says goodbye to every neighbour and waits until that is sent (at most one second) and every
    /// task has ended. Does nothing if that has happened already.
    pub async fn shutdown(&self) {
        // An error means that the driver's task is past taking commands; what counts is its end.
        let _ = self.commands.send(Command::Shutdown).await;
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    async fn take_part(&self, stream: StreamId, input: Input) -> Result<StreamEvents, NodeEnded> {
        let (sender, events) = items::channel();
        self.command(Command::Enter(stream, Box::new(input), sender))
            .await?;
        Ok(events)
    }

    async fn input(&self, input: Input) -> Result<(), NodeEnded> {
        self.command(Command::Input(Box::new(input))).await
    }

    async fn command(&self, command: Command) -> Result<(), NodeEnded> {
        self.commands.send(command).await.map_err(|_| NodeEnded)
    }
}
