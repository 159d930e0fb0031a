//! The local tracker: a registry of a stream's peers in one area, and whom it names to a joiner.
