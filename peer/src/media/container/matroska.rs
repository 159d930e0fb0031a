//! Matroska and WebM (RFC 9559 on RFC 8794): a header, then clusters, each a place to start.

use bytes::Bytes;

use super::header::Header;
use super::{Mark, Sink};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;

/// Follows the elements. Segments and clusters, whose length a live encoder does not know, are entered; all others
/// are skipped, so that what comes next is found either way.
#[derive(Debug, Default)]
pub(in crate::media) struct Analyser {
    /// Offset of the next element.
    at: u64,
    header: Header,
    in_clusters: bool,
}

impl Analyser {
    pub(super) fn header(&self) -> Bytes {
        self.header.get()
    }

    /// Looks at what was appended to `data`, the bytes from offset `start` on. The error is the reason why this
    /// cannot go on.
    pub(super) fn scan(&mut self, start: u64, data: &[u8], sink: &mut Sink) -> Result<(), &'static str> {
        let end = start + data.len() as u64;
        while self.at < end {
            let rest = &data[self.at.saturating_sub(start) as usize..];
            let Some(element) = Element::parse(rest)? else {
                break;
            };
            match element.id {
                CLUSTER => {
                    if !self.in_clusters {
                        self.header.extend(start, data, self.at)?;
                        self.header.finish();
                        self.in_clusters = true;
                    }
                    sink.marks.push_back(Mark::Join(self.at));
                }
                EBML if self.in_clusters => {
                    // Another header: the encoder started anew.
                    self.in_clusters = false;
                    self.header.begin(self.at);
                    sink.marks.push_back(Mark::Discontinuity(self.at));
                }
                _ => {}
            }
            let skipped = match (element.id, element.len) {
                (CLUSTER | SEGMENT, _) => 0,
                (_, Some(len)) => len,
                (_, None) => return Err("an element other than a cluster has no length"),
            };
            self.at = self.at.saturating_add(element.head + skipped);
        }
        if !self.in_clusters {
            self.header.extend(start, data, self.at)?;
        }
        sink.settled = self.at.min(end);
        Ok(())
    }
}

/// The head of an element.
struct Element {
    id: u32,
    /// Length of id and length field.
    head: u64,
    /// Length of the content; `None` if it is not known.
    len: Option<u64>,
}

impl Element {
    fn parse(data: &[u8]) -> Result<Option<Element>, &'static str> {
        const DAMAGED: &str = "its structure is damaged";
        let Some(&first) = data.first() else {
            return Ok(None);
        };
        let id_len = first.leading_zeros() as usize + 1;
        if id_len > 4 {
            return Err(DAMAGED);
        }
        let Some(&second) = data.get(id_len) else {
            return Ok(None);
        };
        let len_len = second.leading_zeros() as usize + 1;
        if len_len > 8 {
            return Err(DAMAGED);
        }
        let Some(len) = data.get(id_len..id_len + len_len) else {
            return Ok(None);
        };
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
        // The length's first set bit marks how long it is; all ones means unknown.
        let value_mask = (1 << (7 * len_len)) - 1;
        let len = big_endian(len) & value_mask;
        Ok(Some(Element {
            id: big_endian(&data[..id_len]) as u32,
            head: (id_len + len_len) as u64,
            len: (len != value_mask).then_some(len),
        }))
    }
}
