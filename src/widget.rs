//! Pieces of a screen: they know cells and tones, never the fleet.

pub mod page;
