//! The door to where clusters live: a Kubernetes context, or a file of plain hosts.

pub mod backoff;
pub mod hosts;
pub mod kubernetes;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::fault::Fault;
use crate::fleet::seen::Seen;
use crate::id::{ClusterId, InstanceId, PlaneId};
use crate::pg::Reached;
use crate::work::order::Order;
use crate::work::probe::{Answer, Probe};
use crate::work::want::Want;

/// Tells the time; given by the runtime, so that whatever is seen is stamped by one clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where what is seen goes. Never blocks.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(Seen) + Send + Sync>);

impl Sink {
    /// A sink that hands everything to `take`, which must not block.
    pub fn new(take: impl Fn(Seen) + Send + Sync + 'static) -> Self {
        Sink(Arc::new(take))
    }

    /// Hands over one thing seen.
    pub fn send(&self, seen: Seen) {
        (self.0)(seen);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// One place where clusters live.
pub trait Plane: fmt::Debug + Send + Sync {
    /// Its name.
    fn id(&self) -> PlaneId;

    /// Streams what `want` asks for into `sink` until the future is dropped; never ends by itself but for wants that this
    /// plane cannot serve, which it answers with a fault once.
    fn stream(&self, want: Want, sink: Sink) -> BoxFuture<'static, ()>;

    /// Says how an instance's Postgres is reached and logged into, now.
    fn reach(&self, instance: InstanceId) -> BoxFuture<'static, Result<Reached, Fault>>;

    /// Answers one question, once, within its own deadline.
    fn probe(&self, probe: Probe) -> BoxFuture<'static, Result<Answer, Fault>>;

    /// Its clusters, where they are known without asking anybody.
    fn listed(&self) -> Option<Vec<ClusterId>> {
        None
    }

    /// Clusters that whoever listed them marked as protected, by name.
    fn protected(&self) -> Vec<String> {
        Vec::new()
    }

    /// Sends one order, once, and gives what was answered. That it was answered proves nothing. `dry`: everything but the
    /// change itself, where the plane can.
    fn carry_out(&self, order: Order, dry: bool) -> BoxFuture<'static, Result<String, Fault>>;
}
