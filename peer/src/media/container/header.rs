//! Keeps a copy of a container's initialisation header while it goes by.

use bytes::{Bytes, BytesMut};

/// A header larger than this is not kept. An initialisation header has a few hundred bytes to some 10 KiB; cover art
/// and attached fonts can make it larger than one wants to send every viewer before the first picture.
const HEADER_MAX: usize = 256 * 1024;

/// The bytes of the input from the beginning of a header on, up to where its end is found.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Offset of the next byte to copy.
    next: u64,
    partial: BytesMut,
    complete: Bytes,
}

impl Header {
    /// A new header begins at offset `at` of the input. The one before stays current until this one is complete.
    pub(super) fn begin(&mut self, at: u64) {
        self.next = at;
        self.partial.clear();
    }

    /// The header goes on at least until offset `until`; copies what `data` (which begins at `start`) holds of it.
    pub(super) fn extend(&mut self, start: u64, data: &[u8], until: u64) -> Result<(), &'static str> {
        let until = until.min(start + data.len() as u64);
        if until <= self.next || self.next < start {
            return Ok(());
        }
        let (from, to) = ((self.next - start) as usize, (until - start) as usize);
        if self.partial.len() + (to - from) > HEADER_MAX {
            return Err("its header is larger than 256 KiB");
        }
        self.partial.extend_from_slice(&data[from..to]);
        self.next = until;
        Ok(())
    }

    /// The header is complete.
    pub(super) fn finish(&mut self) {
        self.complete = self.partial.split().freeze();
    }

    /// The latest complete header; empty before there is one.
    pub(super) fn get(&self) -> Bytes {
        self.complete.clone()
    }
}
