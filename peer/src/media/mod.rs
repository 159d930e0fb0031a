//! Media: from bytes to chunks and back.
