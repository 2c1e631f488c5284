//! One timeline of a cluster: events, status words, failovers and verdicts, the newest last.
//!
//! ```text
//!  DAY (UTC)   TIME      KIND      ABOUT                 WHAT
//!  2026-11-24  11:59:58  status    acid-shop             the operator's status was seen as Creating
//!              12:00:05  failover  acid-shop-1           timeline 1 ended at 0/5000000: no recovery target specified
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View, quoted};
use crate::action::{Deed, ViewId};
use crate::id::{ClusterId, PlaneId};
use crate::present::page::Line;
use crate::present::{Tone, clean, timeline};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The timeline of a cluster.
#[derive(Debug)]
pub struct EventsView {
    cluster: ClusterId,
    filter: Filter,
    page: Page<()>,
}

/// Opens it on a cluster.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let cluster = subject.cluster()?.clone();
    let mut page = Page::default();
    page.follow = true;
    Some(Box::new(EventsView { cluster, filter: Filter::default(), page }))
}

impl View for EventsView {
    fn id(&self) -> ViewId {
        ViewId::Events
    }

    fn title(&self, _look: &Look<'_>) -> String {
        format!("events of {}", clean(&self.cluster.name))
    }

    fn subject(&self) -> Subject {
        Subject::Cluster(self.cluster.clone())
    }

    fn perform(&mut self, _look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            Deed::Move(motion) => self.page.motion(motion),
            Deed::Follow => self.page.follow = !self.page.follow,
            Deed::ColumnsLeft => self.page.sideways(false),
            Deed::ColumnsRight => self.page.sideways(true),
            Deed::Copy => {
                return match self.cluster.plane {
                    PlaneId::Kubernetes(_) => Reply::Copy(format!(
                        "kubectl --context {} -n {} get events --field-selector involvedObject.name={}",
                        quoted(self.cluster.plane.context()),
                        quoted(&self.cluster.namespace),
                        quoted(&self.cluster.name)
                    )),
                    PlaneId::Hosts => Reply::Say("plain hosts have no Kubernetes events to copy".into()),
                };
            }
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &str {
        self.filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        self.filter = Filter::parse_text(filter, &timeline::NAMES);
        Ok(())
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        match self.cluster.plane {
            PlaneId::Kubernetes(_) => vec![Want::Surroundings(self.cluster.clone())],
            PlaneId::Hosts => Vec::new(),
        }
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        let lines = match look.state.fleet.get(&self.cluster) {
            Some(entry) => timeline::page(entry, |row| self.filter.keeps(row)),
            None => vec![Line::blank().with(" the cluster is gone", Tone::Warn)],
        };
        self.page.set(lines, area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn hints(&self) -> &'static [&'static str] {
        &["filter", "logs", "copy", "back"]
    }
}
