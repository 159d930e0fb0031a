//! Chunk exchange, playout and the node that owns every core, without input or output.
