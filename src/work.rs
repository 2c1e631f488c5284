//! What we ask of the world: wants, which keep telling, and probes, which answer once.
//!
//! The third kind, orders, changes the world and comes with the acting layer.

pub mod probe;
pub mod target;
pub mod want;
