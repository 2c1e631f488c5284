//! Pieces of a screen: they know cells and tones, never the fleet.

pub mod cursor;
pub mod page;
pub mod table;
