//! All notices of this session, newest first: errors stay here after they have left the line.
//!
//! ```text
//!   12s ago ● error    acid-shop-2 cannot be reached: connection refused (x3)
//!  4m10s ago  info     copied: kubectl --context demo …
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::filter::Filter;
use super::{Look, Reply, Subject, View};
use crate::action::{Deed, ViewId};
use crate::present::known::ago;
use crate::present::page::{Line, pad};
use crate::present::{Align, Tone};
use crate::state::State;
use crate::state::notice::{Notice, Weight};
use crate::widget::page::Page;
use crate::work::want::Want;

/// The notices, as one page.
#[derive(Debug, Default)]
pub struct NoticesView {
    page: Page<()>,
    filter: Filter,
}

fn line(notice: &Notice, now: Timestamp) -> Line<()> {
    let (word, tone) = match notice.weight {
        Weight::Info => ("  info    ", Tone::Normal),
        Weight::Warning => ("▲ warning ", Tone::Warn),
        Weight::Error => ("● error   ", Tone::Bad),
    };
    let age = format!(" {}  ", pad(&ago(now.duration_since(notice.at)), 11, Align::Right));
    let times = if notice.count > 1 { format!(" (x{})", notice.count) } else { String::new() };
    Line::blank()
        .with(age, Tone::Dim)
        .with(word, tone)
        .outside(&format!("{}{times}", notice.text), if notice.weight == Weight::Error { tone } else { Tone::Normal })
}

impl View for NoticesView {
    fn id(&self) -> ViewId {
        ViewId::Notices
    }

    fn title(&self, _look: &Look<'_>) -> String {
        "notices".into()
    }

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(&mut self, _look: &Look<'_>, deed: Deed) -> Reply {
        if self.page.perform(deed) { Reply::Done } else { Reply::NotMine }
    }

    fn filter(&self) -> &str {
        self.filter.text()
    }

    fn set_filter(&mut self, _look: &Look<'_>, filter: &str) -> Result<(), String> {
        self.filter = Filter::parse_text(filter, &[]);
        Ok(())
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        Vec::new()
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        let kept = look.state.notices.all().filter(|notice| self.filter.keeps_text(&notice.text));
        let mut lines: Vec<Line<()>> = kept.map(|notice| line(notice, look.now)).collect();
        if lines.is_empty() {
            lines.push(Line::blank().with(" nothing to tell", Tone::Dim));
        }
        self.page.set(lines, area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        look.state.notices.all().next().map(|_| look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["filter", "sources", "back"]
    }
}
