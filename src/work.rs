//! What we ask of the world: wants, which keep telling, probes, which answer once, and orders, which change it.

pub mod change;
pub mod entry;
pub mod order;
pub mod past;
pub mod patroni;
pub mod probe;
pub mod secrets;
pub mod target;
pub mod want;
