//! The streams a node is in: mostly one, looked up with every chunk and message.

use wire::StreamId;

use crate::stream::Stream;

/// Streams, sorted by id.
#[derive(Debug, Default)]
pub(super) struct Streams {
    list: Vec<Stream>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    fn find(&self, id: &StreamId) -> Result<usize, usize> {
        self.list.binary_search_by(|stream| stream.id.cmp(id))
    }

    pub(super) fn get_mut(&mut self, id: &StreamId) -> Option<&mut Stream> {
        let at = self.find(id).ok()?;
        Some(&mut self.list[at])
    }

    pub(super) fn contains(&self, id: &StreamId) -> bool {
        self.find(id).is_ok()
    }

    /// Adds a stream; one with the same id gives way.
    pub(super) fn insert(&mut self, stream: Stream) {
        match self.find(&stream.id) {
            Ok(at) => self.list[at] = stream,
            Err(at) => self.list.insert(at, stream),
        }
    }

    pub(super) fn remove(&mut self, id: &StreamId) -> Option<Stream> {
        Some(self.list.remove(self.find(id).ok()?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.list.iter_mut()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.list.iter().map(|stream| stream.id)
    }
}
