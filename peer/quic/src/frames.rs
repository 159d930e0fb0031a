//! The control stream's frames, and what tells a greeting from a chunk.

use bytes::{Bytes, BytesMut};
use wire::codec::{self, FrameError, LENGTH_LEN};

/// Greetings said and taken over one connection. A host publishes one stream, seldom a few; the rest is asked for.
pub const MAX_GREETINGS: usize = 16;

/// How a greeting begins: with a message's length, whose first byte is always zero. No chunk does.
pub const GREETING: u8 = 0;

/// Cuts the control stream into frames. Holds what was pushed and not taken yet, no more.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    buffer: BytesMut,
}

impl FrameBuffer {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame without its length, if it is whole.
    ///
    /// # Errors
    /// When the frame that begins is longer than any may be.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let end = LENGTH_LEN + codec::frame_len(*length)?;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(end).freeze();
        Ok(Some(frame.split_off(LENGTH_LEN)))
    }

    /// Whether no part of a frame waits for its rest.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use wire::message::{Bye, ByeReason};

    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_came_in() {
        let message = wire::Message::from(Bye {
            reason: ByeReason::Leaving,
        });
        let frame = codec::encode(&message);
        let mut buffer = FrameBuffer::default();
        for byte in [&frame[..], &frame[..]].concat() {
            assert!(buffer.buffer.len() < frame.len());
            buffer.push(&[byte]);
            if let Some(body) = buffer.next_frame().unwrap() {
                assert_eq!(codec::decode(&body).unwrap(), message);
                assert!(buffer.is_empty());
            }
        }
        assert!(buffer.is_empty(), "both were taken");
        buffer.push(&[0xff; LENGTH_LEN]);
        assert!(buffer.next_frame().is_err());
    }
}
