//! Vivaldi network coordinates and the closed H-index: pure maths.
