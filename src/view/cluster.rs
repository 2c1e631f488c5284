//! One cluster: what is wrong, who leads and who follows, its pods, failovers, backups and surroundings.
//!
//! ```text
//!   health              ● critical
//!  VERDICTS
//!   ● critical  no_primary  12s ago, first seen by pgdeck
//!  TOPOLOGY
//! > acid-shop-0        primary   running    TL 3
//!   ├ acid-shop-1      sync      streaming  TL 3  0 B   ▁▁▂▁
//!   └ acid-shop-2      async     streaming  TL 3  ~16.0 KiB
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, View, psql, quoted, survey_wants};
use crate::action::{Deed, ViewId};
use crate::fleet::Entry;
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::metric::{Asked, SURVEYS};
use crate::present::page::Line;
use crate::present::{Tone, clean, cluster as show, topology};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The view of one cluster.
#[derive(Debug)]
pub struct ClusterView {
    cluster: ClusterId,
    page: Page<Text>,
}

/// Opens it on a cluster, with the cursor on the instance if it was on one.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let cluster = subject.cluster()?.clone();
    let mut page = Page::default();
    if let Some(instance) = subject.instance() {
        page.select(&instance.member);
    }
    Some(Box::new(ClusterView { cluster, page }))
}

impl ClusterView {
    fn lines(entry: &Entry, now: Timestamp) -> Vec<Line<Text>> {
        let around = entry.cluster.surroundings.as_deref();
        let parts = [
            show::verdicts(entry, now),
            topology::tree(entry, now),
            show::facts(entry, now),
            show::pods(&entry.cluster, now),
            show::history(&entry.cluster, now),
            show::backups(entry),
        ];
        let mut lines = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            lines.extend(part);
            lines.push(Line::blank());
        }
        lines.extend(around.map(|around| show::surroundings(around, now)).unwrap_or_default());
        for unreadable in &entry.cluster.unreadable {
            let text = format!(" {}: {} cannot be read: {}", unreadable.object, unreadable.place, unreadable.why);
            lines.push(Line::blank().outside(&text, Tone::Warn));
        }
        lines
    }
}

impl View for ClusterView {
    fn id(&self) -> ViewId {
        ViewId::Cluster
    }

    fn title(&self, _look: &Look<'_>) -> String {
        clean(&self.cluster.name).into_owned()
    }

    fn subject(&self) -> Subject {
        match self.page.selected() {
            Some(member) => Subject::Instance(InstanceId { cluster: self.cluster.clone(), member: member.clone() }),
            None => Subject::Cluster(self.cluster.clone()),
        }
    }

    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            deed if self.page.perform(deed) => {}
            Deed::Enter => return Reply::Open(ViewId::Instance, self.subject()),
            Deed::Copy => {
                return Reply::Copy(match self.subject() {
                    Subject::Instance(instance) | Subject::Backend(instance, _) => psql(look.state, &instance),
                    Subject::Cluster(_) | Subject::Nothing => get(&self.cluster),
                });
            }
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &'static str {
        ""
    }

    fn wants(&self, state: &State) -> Vec<Want> {
        let Some(entry) = state.fleet.get(&self.cluster) else { return Vec::new() };
        let surveys = || SURVEYS.iter().filter(|survey| survey.asked != Asked::OnDemand).map(|survey| survey.id);
        let members = entry
            .cluster
            .members
            .iter()
            .map(|member| InstanceId { cluster: self.cluster.clone(), member: member.name.clone() });
        let sampled = members.flat_map(|instance| survey_wants(&instance, surveys()));
        let around = match self.cluster.plane {
            PlaneId::Kubernetes(_) => Some(Want::Surroundings(self.cluster.clone())),
            PlaneId::Hosts => None,
        };
        sampled.chain(around).collect()
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        let lines = match look.state.fleet.get(&self.cluster) {
            Some(entry) => Self::lines(entry, look.now),
            None => vec![Line::blank().with(" the cluster is gone", Tone::Warn)],
        };
        self.page.set_wrapped(lines, area);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        Some(look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["enter", "activity", "logs", "events", "yaml", "copy", "back"]
    }
}

/// The command that reads the cluster's object.
pub fn get(cluster: &ClusterId) -> String {
    match &cluster.plane {
        PlaneId::Kubernetes(context) => format!(
            "kubectl --context {} -n {} get postgresql {}",
            quoted(context),
            quoted(&cluster.namespace),
            quoted(&cluster.name)
        ),
        PlaneId::Hosts => format!("pgdeck status {}", quoted(&cluster.to_string())),
    }
}
