//! What a host says along with its part of a handshake: the dialler has it a round trip before it could have an answer.
//!
//! It goes in QUIC's half round trip, to somebody who has not proved who it is. So it holds nothing that is not for
//! everybody, and QUIC itself sends no more than three times what came from an address that is not proved either.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quic::MAX_GREETINGS;
use quinn::{Connecting, Connection, ConnectionError};
use wire::StreamId;

/// The greeting of each stream whose tracker is here, encoded.
#[derive(Debug, Default)]
pub(super) struct Greetings(Mutex<BTreeMap<StreamId, Bytes>>);

impl Greetings {
    pub(super) fn set(&self, stream: StreamId, frame: Option<Bytes>) {
        let mut greetings = self.lock();
        match frame {
            Some(frame) => greetings.insert(stream, frame),
            None => greetings.remove(&stream),
        };
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, Bytes>> {
        // No code between lock and unlock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Greets who dials, and waits until the handshake is over.
pub(super) async fn accept(
    connecting: Connecting,
    greetings: &Greetings,
) -> Result<Connection, ConnectionError> {
    let frames: Vec<Bytes> = greetings.lock().values().take(MAX_GREETINGS).cloned().collect();
    if frames.is_empty() {
        return connecting.await;
    }
    let (connection, established) = match connecting.into_0rtt() {
        Ok(early) => early,
        Err(connecting) => return connecting.await,
    };
    let greeted = async {
        for frame in frames {
            say(&connection, frame).await?;
        }
        Ok::<(), ConnectionError>(())
    };
    let (greeted, _) = tokio::join!(greeted, established);
    greeted?;
    match connection.close_reason() {
        Some(reason) => Err(reason),
        None => Ok(connection),
    }
}

/// One message, on a stream of its own.
pub(super) async fn say(connection: &Connection, frame: Bytes) -> Result<(), ConnectionError> {
    let mut stream = connection.open_uni().await?;
    // Who does not want it stops the stream, and misses nothing that it could not ask for.
    if stream.write_chunk(frame).await.is_ok() {
        let _ = stream.finish();
    }
    Ok(())
}
