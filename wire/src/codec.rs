//! Frames of control messages: a length, a number, and MessagePack.

use serde::Serialize;

use crate::Message;

/// The longest frame of a control message, after the length: the largest legitimate one is an answer with 48 peers,
/// about 8 KiB.
pub const MAX_FRAME: usize = 32 * 1024;

/// Bytes of the length that goes before each frame.
pub const LENGTH_LEN: usize = 4;

/// How deep values may nest. The deepest of ours, a byte of an address in a record in an answer, lies on the seventh level.
const MAX_DEPTH: usize = 16;

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`], or empty.
    #[error("a frame of {0} bytes; allowed are 1 to {MAX_FRAME}")]
    Length(usize),
    /// A message with a number that this version does not know: to be ignored.
    #[error("a message of unknown kind {0}")]
    UnknownKind(u8),
    /// The body does not decode.
    #[error("message {kind}: {source}")]
    Body {
        /// The message's number.
        kind: u8,
        /// What was wrong.
        source: rmp_serde::decode::Error,
    },
}

/// MessagePack with field names, so that unknown fields are skipped and new ones can be added.
pub(crate) fn to_msgpack<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_msgpack(&mut bytes, value);
    bytes
}

/// The same behind what is in `bytes` already.
pub(crate) fn append_msgpack<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    rmp_serde::encode::write_named(bytes, value).expect("our messages have only types that MessagePack has");
}

/// The whole frame: length, number, body.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut frame = Vec::with_capacity(USUAL_FRAME);
    frame.extend_from_slice(&[0; LENGTH_LEN]);
    frame.push(message.code());
    message.encode_body(&mut frame);
    let len = (frame.len() - LENGTH_LEN) as u32;
    frame[..LENGTH_LEN].copy_from_slice(&len.to_be_bytes());
    frame
}

/// Room for most messages, an advert among them, so that few frames move while they grow.
const USUAL_FRAME: usize = 320;

/// The length of the frame that follows these four bytes.
///
/// # Errors
/// [`FrameError::Length`] when it is zero or beyond [`MAX_FRAME`]: nothing more can be read from that sender.
pub fn frame_len(length: [u8; LENGTH_LEN]) -> Result<usize, FrameError> {
    let len = u32::from_be_bytes(length) as usize;
    if len == 0 || len > MAX_FRAME {
        return Err(FrameError::Length(len));
    }
    Ok(len)
}

/// Reads a frame without its length.
///
/// # Errors
/// A [`FrameError`]; after any but [`FrameError::Length`] the next frame can still be read.
pub fn decode(frame: &[u8]) -> Result<Message, FrameError> {
    let (&kind, body) = frame.split_first().ok_or(FrameError::Length(0))?;
    if frame.len() > MAX_FRAME {
        return Err(FrameError::Length(frame.len()));
    }
    match Message::decode_body(kind, body) {
        None => Err(FrameError::UnknownKind(kind)),
        Some(Err(source)) => Err(FrameError::Body { kind, source }),
        Some(Ok(message)) => Ok(message),
    }
}

/// Reads one MessagePack value with a bounded depth.
pub(crate) fn from_msgpack<'a, T: serde::Deserialize<'a>>(
    bytes: &'a [u8],
) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}

/// A value as it is kept on disk: the same encoding as on the wire.
pub fn to_record<T: Serialize>(value: &T) -> Vec<u8> {
    to_msgpack(value)
}

/// Reads what [`to_record`] wrote.
///
/// # Errors
/// When the bytes are something else, or damaged so that it shows.
pub fn from_record<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, rmp_serde::decode::Error> {
    from_msgpack(bytes)
}
