//! The clusters we know.

pub mod id;
pub mod known;
