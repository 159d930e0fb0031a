//! Media: from bytes to chunks-to-be, and from chunks back to something a player can start on.
//!
//! Everything here is sans-IO: no sockets and no clock; `now` is injected as [`wire::Time`].
//!
//! - [`Segmenter`] cuts whatever the peercaster reads into [`Segment`]s, one per future chunk. What it emits,
//!   concatenated, is what it was given, byte for byte.
//! - [`join`] is the other end: what a player that connects in the middle of a stream has to be given first.
//! - [`pacer`] says when each piece of a file is due, by the file's own clock.
//! - [`testcard`] makes the built-in test stream, so that nothing else is needed to try the program.

mod container;
pub mod join;
mod notice;
pub mod pacer;
mod segmenter;
pub mod testcard;
#[cfg(test)]
mod testing;
mod ts;

pub use container::Container;
pub use notice::Notice;
pub use segmenter::{Progress, Segment, Segmenter, SegmenterConfig};
