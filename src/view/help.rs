//! Help for the view it was asked in: keys as they are bound now, columns, verdicts, figures. All of it from the registries.
//!
//! ```text
//!  KEYS IN fleet
//!   up, k      Moves the cursor up.
//!  COLUMNS
//!   HEALTH     The worst verdict that holds; …
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, VIEWS, View};
use crate::action::{Deed, ViewId, actions_in};
use crate::fleet::health::RULES;
use crate::keymap::Keymap;
use crate::metric::METRICS;
use crate::present::columns::COLUMNS;
use crate::present::page::{Line, pad};
use crate::present::{Align, Tone};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The help, as one page.
#[derive(Debug)]
pub struct HelpView {
    about: ViewId,
    page: Page<()>,
}

impl HelpView {
    /// The help for that view.
    pub fn about(view: ViewId) -> Self {
        HelpView { about: view, page: Page::default() }
    }
}

/// Name, then sentence.
fn entry(name: &str, width: usize, doc: &str) -> Line<()> {
    Line::blank().with(format!("  {} ", pad(name, width, Align::Left)), Tone::Key).with(doc.to_owned(), Tone::Normal)
}

fn keys(view: ViewId, keymap: &Keymap) -> Vec<Line<()>> {
    let name = VIEWS.iter().find(|row| row.id == view).map_or("this view", |row| row.name);
    let title = Line::title(format!(" KEYS IN {name}"));
    let bound = actions_in(view).map(|action| {
        let keys = keymap.spelled(action.id).join(", ");
        let keys = if keys.is_empty() { "(no key)".to_owned() } else { keys };
        entry(&keys, 18, action.doc)
    });
    std::iter::once(title).chain(bound).collect()
}

fn lines(view: ViewId, keymap: &Keymap) -> Vec<Line<()>> {
    let mut lines = keys(view, keymap);
    lines.push(Line::blank());
    lines.push(Line::title(" VIEWS"));
    lines.extend(VIEWS.iter().map(|row| entry(row.name, 18, row.doc)));
    lines.push(Line::blank());
    lines.push(Line::title(" COLUMNS of the fleet; in filters by the name after the dash, as in status:running"));
    lines.extend(COLUMNS.iter().map(|column| entry(&format!("{} - {}", column.title, column.id), 22, column.doc)));
    lines.push(Line::blank());
    lines.push(Line::title(" VERDICTS"));
    lines.extend(RULES.iter().map(|rule| {
        let name = format!("{} {}", pad(rule.severity.word(), 8, Align::Left), rule.id);
        entry(&name, 34, rule.doc)
    }));
    lines.push(Line::blank());
    lines.push(Line::title(" FIGURES"));
    lines.extend(METRICS.iter().copied().flatten().map(|metric| entry(metric.id, 22, metric.doc)));
    lines
}

impl View for HelpView {
    fn id(&self) -> ViewId {
        ViewId::Help
    }

    fn title(&self, _look: &Look<'_>) -> String {
        "help".into()
    }

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(&mut self, _look: &Look<'_>, deed: Deed) -> Reply {
        if self.page.perform(deed) { Reply::Done } else { Reply::NotMine }
    }

    fn filter(&self) -> &'static str {
        ""
    }

    fn wants(&self, _state: &State) -> Vec<Want> {
        Vec::new()
    }

    fn refresh(&mut self, look: &Look<'_>, area: Rect) {
        self.page.set(lines(self.about, look.keymap), area.height);
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn hints(&self) -> &'static [&'static str] {
        &["page-down", "columns-right", "back"]
    }
}
