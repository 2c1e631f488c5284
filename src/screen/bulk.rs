//! One order for many clusters: one preview, one answer, each with an outcome of its own.
//!
//! ```text
//! ┌ reconcile 3 clusters ────────────────────────────────────────┐
//! │ ○ demo//production/acid-shop     patch postgresql …          │
//! │ ▲ demo//production/acid-billing  the operator says Updating  │
//! │ ● demo//staging/acid-staging     refused: it is detached     │
//! │ y do them one after the other, up to the first that fails    │
//! └──────────────────────────────────────────────────────────────┘
//! ```

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::confirm::{Answerable, answerable};
use crate::id::Text;
use crate::present::page::Line;
use crate::present::{Tone, clean};
use crate::run::{Outcome, Phase, Run};
use crate::state::State;
use crate::theme::Theme;
use crate::widget::{bar, popup};
use crate::work::entry::Colour;

/// The dialog.
#[derive(Debug)]
pub struct Bulk {
    /// In the order in which they are sent.
    pub runs: Vec<Text>,
    /// Those that could not even be aimed, with the reason.
    pub refused: Vec<(Text, String)>,
    /// They are being sent.
    pub begun: bool,
    pub scroll: usize,
}

impl Bulk {
    /// Whether all can be confirmed by one key; else why not.
    pub fn answerable(&self, state: &State, now: Timestamp) -> Result<(), String> {
        if let Some((name, why)) = self.refused.first() {
            return Err(format!("{name}: {why}"));
        }
        let mut waits = false;
        for run in self.runs.iter().filter_map(|id| state.ledger.get(id)) {
            let name = &run.aim.cluster.name;
            match answerable(state, run, now) {
                Answerable::Yes => {}
                Answerable::Barred(why) => return Err(format!("{name}: {why}")),
                Answerable::Name => return Err(format!("{name}: its name must be typed: do it alone")),
                Answerable::Override => return Err(format!("{name}: a red line stands against it: do it alone")),
                Answerable::No if run.outcome().is_some() => return Err(format!("{name}: it is refused")),
                Answerable::No => waits = true,
            }
        }
        if waits { Err("looking…".into()) } else { Ok(()) }
    }

    /// Draws it over the view.
    pub fn draw(&mut self, state: &State, now: Timestamp, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let runs: Vec<&Run> = self.runs.iter().filter_map(|id| state.ledger.get(id)).collect();
        let refused = self.refused.iter().map(|(name, why)| line("● ", Tone::Bad, name, &format!("refused: {why}")));
        let lines: Vec<Line<()>> = runs.iter().map(|run| about(run)).chain(refused).collect();
        let width = area.width.saturating_sub(4).min(110);
        let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
        let action = runs.first().map_or("nothing", |run| run.action);
        let title = format!(" {action}: {} clusters ", self.runs.len() + self.refused.len());
        let inside = popup::open(&title, (width, wanted.min(area.height.saturating_sub(2))), theme, area, buffer);
        if inside.height == 0 {
            return;
        }
        let height = usize::from(inside.height - 1);
        self.scroll = self.scroll.min(lines.len().saturating_sub(height));
        for (line, y) in lines.iter().skip(self.scroll).take(height).zip(inside.y..) {
            bar::draw(&line.spans, &[], theme, Rect { y, height: 1, ..inside }, buffer);
        }
        let (text, tone) = match self.answerable(state, now) {
            _ if self.begun => {
                ("one after the other, up to the first that fails; esc leaves them running".into(), Tone::Key)
            }
            Ok(()) => ("y do them one after the other, up to the first that fails   esc leave".into(), Tone::Key),
            Err(why) => (format!("{why}   (esc leaves)"), Tone::Warn),
        };
        let foot = Line::<()>::blank().outside(&text, tone);
        bar::draw(&foot.spans, &[], theme, Rect { y: inside.bottom() - 1, height: 1, ..inside }, buffer);
    }
}

fn line(mark: &'static str, tone: Tone, name: &str, text: &str) -> Line<()> {
    Line::blank().with(mark, tone).with(format!("{}  ", clean(name)), Tone::Normal).outside(text, tone)
}

/// What there is to say of one: its worst line before, its last word after.
fn about(run: &Run) -> Line<()> {
    let name = run.aim.cluster.to_string();
    let last = run.lines.last().map(|line| line.text.as_str()).unwrap_or_default();
    if let Some(outcome) = run.outcome() {
        let tone = if outcome == Outcome::Proved { Tone::Good } else { Tone::Bad };
        return line("", tone, &name, &format!("{}: {last}", outcome.word()));
    }
    let Some(deal) = run.deal.as_ref() else { return line("  ", Tone::Dim, &name, "looking…") };
    if run.phase != Phase::Offered {
        return line("  ", Tone::Warn, &name, last);
    }
    let worst = deal.lights.iter().find(|light| light.colour == deal.colour());
    let sends = deal.steps.first().map(|step| step.order.title()).unwrap_or_default();
    match (deal.colour(), worst) {
        (Colour::Red, Some(light)) => line("● ", Tone::Bad, &name, &light.text),
        (Colour::Amber, Some(light)) => line("▲ ", Tone::Warn, &name, &format!("{sends}; {}", light.text)),
        _ => line("○ ", Tone::Good, &name, &sends),
    }
}
