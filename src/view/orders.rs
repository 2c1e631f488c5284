//! Orders of this session, newest first: what was asked, what has been seen, how it ended.
//!
//! ```text
//!  10s ago   PROVED     switchover      demo//production/acid-shop   acid-shop-1 leads on timeline 4
//!  5s ago    under way  scale           demo//production/acid-shop   waiting: 2 of 3 members run
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, Reply, Subject, View};
use crate::action::{Deed, ViewId};
use crate::id::Text;
use crate::present::known::ago;
use crate::present::page::{Line, pad};
use crate::present::{Align, Tone};
use crate::run::{Outcome, Phase, Run};
use crate::state::State;
use crate::widget::page::Page;
use crate::work::want::Want;

/// The orders, as one page.
#[derive(Debug, Default)]
pub struct OrdersView {
    page: Page<Text>,
    subject: Option<Subject>,
}

fn standing(run: &Run) -> (&'static str, Tone) {
    match (run.outcome(), &run.phase) {
        (Some(outcome @ Outcome::Proved), _) => (outcome.word(), Tone::Good),
        (Some(outcome @ Outcome::Refused), _) => (outcome.word(), Tone::Warn),
        (Some(outcome), _) => (outcome.word(), Tone::Bad),
        (None, Phase::Looking | Phase::Offered) => ("offered", Tone::Dim),
        (None, _) => ("under way", Tone::Warn),
    }
}

fn line(run: &Run, now: Timestamp) -> Line<Text> {
    let (word, tone) = standing(run);
    let subject = run
        .aim
        .member
        .as_ref()
        .map_or_else(|| run.aim.cluster.to_string(), |member| format!("{}/{member}", run.aim.cluster));
    let last = run.lines.last().map(|line| line.text.clone()).unwrap_or_default();
    Line::blank()
        .with(format!(" {}  ", pad(&ago(now.duration_since(run.began)), 11, Align::Right)), Tone::Dim)
        .with(pad(word, 11, Align::Left), tone)
        .with(pad(run.action, 18, Align::Left), Tone::Accent)
        .outside(&subject, Tone::Normal)
        .outside(&format!("  {last}"), Tone::Dim)
        .keyed(run.id.clone())
}

impl View for OrdersView {
    fn id(&self) -> ViewId {
        ViewId::Orders
    }

    fn title(&self, _look: &Look<'_>) -> String {
        "orders".into()
    }

    fn subject(&self) -> Subject {
        self.subject.clone().unwrap_or(Subject::Nothing)
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
        let mut lines = Vec::new();
        for run in look.state.ledger.all() {
            lines.push(line(run, look.now));
            if self.page.selected() == Some(&run.id) {
                lines.extend(run.lines.iter().map(|line| {
                    let at = line.at.strftime("%H:%M:%S").to_string();
                    Line::blank().with(format!("               {at}  "), Tone::Dim).outside(&line.text, Tone::Normal)
                }));
            }
        }
        if lines.is_empty() {
            lines.push(
                Line::blank().with(" nothing was ordered in this session; `pgdeck audit` has earlier ones", Tone::Dim),
            );
        }
        self.page.set(lines, area.height);
        let selected = self.page.selected().and_then(|id| look.state.ledger.get(id));
        self.subject = selected.map(|run| Subject::Cluster(run.aim.cluster.clone()));
    }

    fn draw(&self, look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
        self.page.draw(look.theme, area, buffer);
    }

    fn next_change(&self, look: &Look<'_>) -> Option<Timestamp> {
        look.state.ledger.all().next().map(|_| look.now + SignedDuration::from_secs(1))
    }

    fn hints(&self) -> &'static [&'static str] {
        &["arm", "cluster", "back"]
    }
}
