//! Keeps one instance sampled: a connection of its own, surveys that may change while it runs.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::clock;
use super::reconcile::Surveys;
use crate::id::InstanceId;
use crate::pg::sampler::Sampler;
use crate::plane::{Plane, Sink};

/// Samples an instance until it is dropped, or nobody says any more what to ask.
pub fn sample(
    plane: &Arc<dyn Plane>,
    instance: &InstanceId,
    surveys: watch::Receiver<Surveys>,
    sink: Sink,
) -> BoxFuture<'static, ()> {
    let (plane, reached) = (plane.clone(), instance.clone());
    let reach = move || plane.reach(reached.clone());
    Sampler { instance: instance.clone(), reach, surveys, sink, clock: Arc::new(clock::now) }.run().boxed()
}
