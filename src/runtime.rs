//! The edge between the brain and the world: streams that follow what is wanted, and one inbox for all they tell.

pub mod clock;
pub mod mailbox;
pub mod reconcile;
