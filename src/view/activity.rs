//! What runs on one server: blockers with their waiters, the oldest transactions, progress of long commands.
//!
//! ```text
//!  3 active  1 blocked  1 idle in transaction  8 idle   2s ago
//!  PID       DOES                 WAITS FOR            XACT  QUERY  DATABASE  USER  …
//!  4711      BLOCKS                                   3m10s      –  shop      app
//!  └ 4713    BLOCKED              Lock:transactionid     9s     9s  shop      app
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View, psql, survey_wants};
use crate::action::{Deed, ViewId};
use crate::fleet::instance::Instance;
use crate::id::InstanceId;
use crate::metric::SurveyId;
use crate::present::known::section;
use crate::present::page::Line;
use crate::present::{Tone, activity as show, clean};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The activity of one instance.
#[derive(Debug)]
pub struct ActivityView {
    instance: InstanceId,
    page: Page<i32>,
    filter: Filter,
}

/// Opens it on an instance.
pub fn open(subject: &Subject) -> Option<Box<dyn View>> {
    let instance = subject.instance()?.clone();
    Some(Box::new(ActivityView { instance, page: Page::default(), filter: Filter::default() }))
}

impl ActivityView {
    fn lines(&self, instance: &Instance, now: Timestamp) -> Vec<Line<i32>> {
        let mut lines = section("ACTIVITY", &instance.activity, now, |backends| {
            let mut lines = vec![show::summary(backends)];
            lines.extend(show::backends(backends, |row| self.filter.keeps(row)));
            lines
        });
        let under_way = instance.progress.last().is_some_and(|(rows, _)| !rows.is_empty());
        if under_way || instance.progress.fault().is_some() {
            lines.push(Line::blank());
            lines.extend(section("PROGRESS", &instance.progress, now, |rows| show::progress(rows)));
        }
        lines
    }
}

impl View for ActivityView {
    fn id(&self) -> ViewId {
        ViewId::Activity
    }

    fn title(&self, _look: &Look<'_>) -> String {
        format!("activity of {}", clean(&self.instance.member))
    }

    fn subject(&self) -> Subject {
        match self.page.selected() {
            Some(pid) => Subject::Backend(self.instance.clone(), *pid),
            None => Subject::Instance(self.instance.clone()),
        }
    }

    fn perform(&mut self, look: &Look<'_>, deed: Deed) -> Reply {
        match deed {
            deed if self.page.perform(deed) => {}
            Deed::Copy => return Reply::Copy(psql(look.state, &self.instance)),
            _ => return Reply::NotMine,
        }
        Reply::Done
    }

    fn filter(&self) -> &str {
        self.filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        self.filter = Filter::parse(filter, &show::NAMES)?;
        Ok(())
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        survey_wants(&self.instance, [SurveyId::Vitals, SurveyId::Activity, SurveyId::Progress])
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        let lines = match look.state.fleet.instance(&self.instance) {
            Some(instance) => self.lines(instance, look.now),
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
        &["filter", "instance", "copy", "back"]
    }
}
