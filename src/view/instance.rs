//! One instance: everything sampled, each section with its age.
//!
//! ```text
//!  SERVER  1s ago
//!    role                  primary
//!    connections           12 of 100 (12 %)
//!    WAL rate              ▁▂▅█▇▃  1.2 MiB/s
//!  REPLICATION (who streams from here)  1s ago
//!    NAME         KIND      STATE      SYNC   LAG  DELAY
//!    acid-shop-1  physical  streaming  sync   0 B      –
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, View, psql, survey_wants};
use crate::action::{Deed, ViewId};
use crate::id::InstanceId;
use crate::metric::{Asked, SURVEYS};
use crate::present::page::Line;
use crate::present::{Tone, clean, instance as show};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The view of one instance.
#[derive(Debug)]
pub struct InstanceView {
    instance: InstanceId,
    page: Page<()>,
}

/// Opens it on an instance.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let instance = subject.instance()?.clone();
    Some(Box::new(InstanceView { instance, page: Page::default() }))
}

impl View for InstanceView {
    fn id(&self) -> ViewId {
        ViewId::Instance
    }

    fn title(&self, _look: &Look<'_>) -> String {
        clean(&self.instance.member).into_owned()
    }

    fn subject(&self) -> Subject {
        Subject::Instance(self.instance.clone())
    }

    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            deed if self.page.perform(deed) => {}
            Deed::Copy => return Reply::Copy(psql(look.state, &self.instance)),
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &'static str {
        ""
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        let sampled = SURVEYS.iter().filter(|survey| survey.asked != Asked::OnDemand);
        survey_wants(&self.instance, sampled.map(|survey| survey.id))
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        let lines = match look.state.fleet.instance(&self.instance) {
            Some(instance) => show::page(instance, look.now),
            None => vec![Line::blank().with(" nothing has been sampled yet; connecting…", Tone::Dim)],
        };
        self.page.set(lines, area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        Some(look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["activity", "logs", "yaml", "copy", "back"]
    }
}
