//! What a dialler says with its very first packet, before the handshake has shown who it is: so it is signed.

use serde::{Deserialize, Serialize};

use crate::codec::{self, FrameError, LENGTH_LEN};
use crate::message::Hello;
use crate::sign::{Domain, SecretKey, SignatureError, Signed, Statement, Verifier};
use crate::{Message, PeerId, VERSIONS, agree};

/// The longest opening, sealed. QUIC's first packet has 1200 bytes, of which TLS's own first message takes 300: about 800
/// are left, and what is longer goes in two such packets.
pub const MAX_OPENING: usize = 1900;

/// Most messages in an opening, beside its [`Hello`].
pub const MAX_OPENING_MESSAGES: usize = 4;

/// What a dialler says with its first packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Who says it.
    #[serde(rename = "f")]
    pub from: PeerId,
    /// To whom; `None` if it only knows an address.
    #[serde(rename = "t")]
    pub to: Option<PeerId>,
    /// A [`Hello`] and up to [`MAX_OPENING_MESSAGES`] messages, one behind the other as on the control stream.
    #[serde(rename = "m", with = "crate::byte_vec")]
    frames: Vec<u8>,
}

impl Statement for Opening {
    const DOMAIN: Domain = Domain::OPENING;
}

/// An opening that is none, or not for this peer: the connection goes on as if nothing had been said.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// Longer than [`MAX_OPENING`].
    #[error("an opening of {0} bytes")]
    Length(usize),
    /// It does not decode.
    #[error("an opening that does not decode")]
    Encoding,
    /// It is not by whom it says.
    #[error("an opening: {0}")]
    Signature(#[from] SignatureError),
    /// It is for somebody else.
    #[error("an opening for somebody else")]
    Receiver,
    /// It does not begin with a hello in a version that is spoken here.
    #[error("an opening without a hello that can be answered")]
    Hello,
    /// It has more messages than it may, or one that is cut short.
    #[error("an opening with too much in it, or too little")]
    Frames,
}

/// A message of an opening, and its length as a frame.
pub type Opened = (Result<Message, FrameError>, usize);

impl Opening {
    /// Signs what `key`'s peer says to `to`, as it goes into the first packet; the messages are frames as on the control
    /// stream. `None` if it is more than an opening may hold.
    pub fn seal<'a>(
        key: &SecretKey,
        to: Option<PeerId>,
        hello: &Hello,
        messages: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Vec<u8>> {
        let mut frames = codec::encode(&Message::from(hello.clone()));
        for (place, frame) in messages.into_iter().enumerate() {
            if place >= MAX_OPENING_MESSAGES || frames.len() + frame.len() > MAX_OPENING {
                return None;
            }
            frames.extend_from_slice(frame);
        }
        let from = key.peer_id();
        let sealed = codec::to_msgpack(&Signed::new(&Opening { from, to, frames }, key));
        (sealed.len() <= MAX_OPENING).then_some(sealed)
    }

    /// Reads what came with a first packet to `own`, and checks that it is by whom it says and to whom it came.
    ///
    /// # Errors
    /// An [`OpeningError`].
    pub fn unseal(sealed: &[u8], own: PeerId) -> Result<Self, OpeningError> {
        if sealed.len() > MAX_OPENING {
            return Err(OpeningError::Length(sealed.len()));
        }
        let signed: Signed<Opening> = codec::from_msgpack(sealed).map_err(|_| OpeningError::Encoding)?;
        // What is not for this peer is not worth a check.
        let claimed = signed.peek()?;
        if claimed.from == own || claimed.to.is_some_and(|to| to != own) {
            return Err(OpeningError::Receiver);
        }
        Ok(signed.open(&Verifier::new(claimed.from.as_bytes())?)?)
    }

    /// The hello, whose version both speak, and the messages.
    ///
    /// # Errors
    /// An [`OpeningError`] when they are not what an opening has. A message that does not decode, or may not be in an opening,
    /// is none of these: it is for the caller to judge, as on the control stream.
    pub fn read(&self) -> Result<(Hello, Vec<Opened>), OpeningError> {
        let mut rest = &self.frames[..];
        let hello = match next_frame(&mut rest)?.map(codec::decode) {
            Some(Ok(Message::Hello(hello))) if agree(VERSIONS, hello.versions).is_some() => hello,
            _ => return Err(OpeningError::Hello),
        };
        let mut messages = Vec::new();
        while let Some(frame) = next_frame(&mut rest)? {
            if messages.len() == MAX_OPENING_MESSAGES {
                return Err(OpeningError::Frames);
            }
            messages.push((codec::decode(frame), LENGTH_LEN + frame.len()));
        }
        Ok((hello, messages))
    }
}

/// Cuts off the first frame, without its length.
fn next_frame<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, OpeningError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (length, behind) = rest
        .split_first_chunk::<LENGTH_LEN>()
        .ok_or(OpeningError::Frames)?;
    let len = codec::frame_len(*length).map_err(|_| OpeningError::Frames)?;
    let (frame, behind) = behind.split_at_checked(len).ok_or(OpeningError::Frames)?;
    *rest = behind;
    Ok(Some(frame))
}

#[cfg(test)]
mod tests;
