//! Pieces of a screen: they know cells and tones, never the fleet.

pub mod bar;
pub mod cursor;
pub mod input;
pub mod page;
pub mod popup;
pub mod table;
