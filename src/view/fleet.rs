//! The fleet: one row per cluster.
//!
//! ```text
//!  HEALTH     NAME        CONTEXT  NAMESPACE   PG  READY  PRIMARY      LAG
//!  ● critical acid-shop   demo     production  15  2/3    acid-shop-0  48.0 MiB
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, View};
use crate::action::{Deed, ViewId};
use crate::id::ClusterId;
use crate::state::State;
use crate::work::want::Want;

/// The fleet view's cursor.
#[derive(Debug, Default)]
pub struct FleetView {
    rows: Vec<ClusterId>,
    cursor: usize,
}

impl View for FleetView {
    fn id(&self) -> ViewId {
        ViewId::Fleet
    }

    fn title(&self, _look: &Look<'_>) -> String {
        "fleet".into()
    }

    fn subject(&self) -> Subject {
        self.rows.get(self.cursor).map_or(Subject::Nothing, |id| Subject::Cluster(id.clone()))
    }

    fn perform(&mut self, _look: &Look<'_>, _deed: Deed) -> Reply {
        Reply::NotMine
    }

    fn filter(&self) -> &'static str {
        ""
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        Vec::new()
    }

    fn refresh(&mut self, look: &Look<'_>, _area: Rect) {
        self.rows = look.state.fleet.clusters().map(|(id, _)| id.clone()).collect();
        self.cursor = self.cursor.min(self.rows.len().saturating_sub(1));
    }

    fn draw(&self, _look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        for (line, id) in (area.top()..area.bottom()).zip(&self.rows) {
            buffer.set_stringn(
                area.x,
                line,
                crate::present::clean(&id.name),
                usize::from(area.width),
                ratatui::style::Style::new(),
            );
        }
    }

    fn hints(&self) -> &'static [&'static str] {
        &["enter", "filter", "problems", "help", "quit"]
    }
}
