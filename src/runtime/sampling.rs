//! Keeps one instance sampled: a connection of its own, surveys that may change while it runs.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::reconcile::Surveys;
use crate::id::InstanceId;
use crate::plane::{Plane, Sink};
use crate::work::want::Want;

/// Samples an instance until it is dropped, or nobody says any more what to ask.
pub fn sample(
    plane: &Arc<dyn Plane>,
    instance: &InstanceId,
    mut surveys: watch::Receiver<Surveys>,
    sink: Sink,
) -> BoxFuture<'static, ()> {
    let (plane, instance) = (plane.clone(), instance.clone());
    async move {
        loop {
            let asked = surveys.borrow_and_update().clone();
            let streams = asked.into_iter().map(|(survey, every)| {
                plane.stream(Want::Survey { instance: instance.clone(), survey, every }, sink.clone())
            });
            // Both are cancel-safe: a watch, and streams that are meant to be dropped.
            tokio::select! {
                _ = futures::future::join_all(streams) => return,
                changed = surveys.changed() => if changed.is_err() { return },
            }
        }
    }
    .boxed()
}
