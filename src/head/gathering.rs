//! Takes in what the planes tell until it is enough or the time is over: for commands that print once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::app::Msg;
use crate::fleet::seen::{Source, SourceState};
use crate::fleet::{Entry, Fleet, topology};
use crate::id::{InstanceId, PlaneId, Text};
use crate::metric::{Asked, SURVEYS, Survey};
use crate::runtime::mailbox::Patience;
use crate::runtime::{Runtime, clock};
use crate::work::want::Want;

/// A plane that answered is complete when it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(250);

/// What is being gathered, and until when.
pub struct Gathering<'a> {
    pub runtime: &'a Runtime,
    pub fleet: Fleet,
    deadline: Instant,
}

impl<'a> Gathering<'a> {
    /// Nothing is gathered yet; it may take that long.
    pub fn new(runtime: &'a Runtime, patience: Duration) -> Self {
        Gathering { runtime, fleet: Fleet::default(), deadline: clock::instant() + patience }
    }

    /// Waits until every plane has answered or failed.
    pub fn objects(&mut self) {
        self.runtime.want(BTreeSet::from([Want::Fleet]));
        let planes: Vec<_> = self.runtime.planes().cloned().collect();
        self.until(|fleet| planes.iter().all(|plane| is_settled(fleet, plane)), QUIET);
    }

    /// Samples once; who has answered is let go, so that others get their turn at once.
    pub fn samples(&mut self, instances: &[InstanceId]) {
        let mut open: Vec<(InstanceId, &'static Survey)> = instances.iter().flat_map(|id| self.surveys(id)).collect();
        while !open.is_empty() && clock::instant() < self.deadline {
            let wants = open.iter().map(|(instance, survey)| Want::Survey {
                instance: instance.clone(),
                survey: survey.id,
                every: survey.every,
            });
            self.runtime.want(wants.chain([Want::Fleet]).collect());
            let n_open = open.len();
            let is_open = |fleet: &Fleet, (id, survey): &(InstanceId, &'static Survey)| {
                fleet.instance(id).is_none_or(|instance| {
                    // A standby is not asked what only a primary can tell.
                    let standby = instance.vitals.last().is_some_and(|(vitals, _)| vitals.in_recovery);
                    !(instance.has_answered(survey.id) || standby && survey.asked == Asked::OnPrimary)
                })
            };
            self.until(|fleet| open.iter().filter(|asked| is_open(fleet, asked)).count() < n_open, Duration::ZERO);
            let fleet = &self.fleet;
            open.retain(|asked| is_open(fleet, asked));
        }
        self.runtime.want(BTreeSet::from([Want::Fleet]));
    }

    fn surveys(&self, id: &InstanceId) -> Vec<(InstanceId, &'static Survey)> {
        let entry = self.fleet.get(&id.cluster);
        let is_primary = entry.and_then(topology::primary) == Some(&id.member);
        let of = |survey: &&Survey| match survey.asked {
            Asked::Everywhere => true,
            Asked::OnPrimary => is_primary,
            Asked::OnDemand => false,
        };
        SURVEYS.iter().filter(of).map(|survey| (id.clone(), survey)).collect()
    }

    /// Takes in what comes until it is enough, has been quiet for a moment, or the time is over.
    fn until(&mut self, is_enough: impl Fn(&Fleet) -> bool, quiet: Duration) {
        let mut last = clock::instant();
        loop {
            let now = clock::instant();
            let enough = is_enough(&self.fleet);
            if now >= self.deadline || (enough && now >= last + quiet) {
                return;
            }
            let until = if enough { (last + quiet).min(self.deadline) } else { self.deadline };
            let batch = self.runtime.mailbox().take(Patience { data_from: now, until: Some(until), most: 1000 });
            if !batch.data.is_empty() {
                last = clock::instant();
            }
            for msg in batch.data {
                if let Msg::Seen(seen) = msg {
                    self.fleet.apply(*seen, clock::now());
                }
            }
            self.fleet.tick(clock::now());
        }
    }
}

/// The names of a cluster's members.
pub fn names(entry: &Entry) -> Vec<&Text> {
    entry.cluster.members.iter().map(|member| &member.name).collect()
}

/// Whether a plane has told all it has, or failed.
fn is_settled(fleet: &Fleet, plane: &PlaneId) -> bool {
    let of_plane = |source: &Source| matches!(source, Source::Kind { plane: of, .. } if of == plane);
    let waits = |state: &SourceState| matches!(state, SourceState::Connecting | SourceState::Relisting);
    match fleet.source(&Source::Plane { plane: plane.clone() }).map(|standing| &standing.state) {
        None | Some(SourceState::Connecting | SourceState::Relisting) => false,
        Some(SourceState::Lost { .. }) => true,
        Some(SourceState::Live { .. } | SourceState::Limited { .. }) => {
            fleet.sources().all(|(source, standing)| !of_plane(source) || !waits(&standing.state))
        }
    }
}
