//! Contribution accounts between peers.
