//! The distributed overlay anycast table: a ring of peers ordered along the H-curve.
