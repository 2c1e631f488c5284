//! One order for many clusters: one preview, one answer, each with an outcome of its own.
//!
//! ```text
//! ┌ reconcile: 3 clusters ───────────────────────────────────────┐
//! │ 1 green, 1 amber, 1 refused                                  │
//! │ ○ demo//production/acid-shop     patch postgresql …          │
//! │ ▲ demo//production/acid-billing  patch postgresql …          │
//! │     ▲ the operator says Updating: it may be at it itself     │
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
use crate::work::entry::{Colour, Light};

/// The dialog.
#[derive(Debug)]
pub struct Bulk {
    /// In the order in which they are sent.
    pub runs: Vec<Text>,
    /// Those that could not even be aimed, with the reason.
    pub refused: Vec<(Text, String)>,
    pub stands: Stands,
    /// Every line of every preflight is shown, and not only those that are not green.
    pub in_full: bool,
    pub scroll: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Nothing was answered yet.
    Offered,
    /// One after the other is sent.
    Going,
    /// One was not proved: the rest waits for another answer.
    Stopped,
}

impl Bulk {
    /// One that was just asked for.
    pub fn of(runs: Vec<Text>, refused: Vec<(Text, String)>) -> Self {
        Bulk { runs, refused, stands: Stands::Offered, in_full: false, scroll: 0 }
    }

    /// Those that are offered, and can be sent.
    pub fn left<'a>(&'a self, state: &'a State) -> impl Iterator<Item = &'a Run> {
        let runs = self.runs.iter().filter_map(|id| state.ledger.get(id));
        runs.filter(|run| run.phase == Phase::Offered)
    }

    /// Whether all that are left can be confirmed by one key; else why not.
    pub fn answerable(&self, state: &State, now: Timestamp) -> Result<(), String> {
        if self.stands != Stands::Going && state.ledger.has_line() {
            return Err("others that were marked are still on their way (O): wait for them".into());
        }
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
                Answerable::No if self.stands == Stands::Stopped => {}
                Answerable::No if run.outcome().is_some() => return Err(format!("{name}: it is refused")),
                Answerable::No => waits = true,
            }
        }
        if waits { Err("looking…".into()) } else { Ok(()) }
    }

    /// Draws it over the view.
    pub fn draw(&mut self, state: &State, now: Timestamp, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let width = area.width.saturating_sub(4).min(110);
        let lines: Vec<Line<()>> =
            self.lines(state).into_iter().flat_map(|line| line.wrapped(usize::from(width.saturating_sub(4)))).collect();
        let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(3);
        let action = self.runs.iter().find_map(|id| state.ledger.get(id)).map_or("nothing", |run| run.action);
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
        let (text, tone) = self.foot(state, now, lines.len() > height);
        let foot = Line::<()>::blank().outside(&text, tone);
        bar::draw(&foot.spans, &[], theme, Rect { y: inside.bottom() - 1, height: 1, ..inside }, buffer);
    }

    fn foot(&self, state: &State, now: Timestamp, has_more: bool) -> (String, Tone) {
        let more = if has_more { "   ↑↓ more" } else { "" };
        let left = self.left(state).count();
        match (self.stands, self.answerable(state, now)) {
            (Stands::Going, _) => {
                ("one after the other, up to the first that fails; esc leaves them running".into(), Tone::Key)
            }
            (Stands::Stopped, Ok(())) if left > 0 => (
                format!("STOPPED: y goes on with the {left} left   d all lines   esc leaves them as they are{more}"),
                Tone::Warn,
            ),
            (Stands::Stopped, Ok(())) => ("it is over   (esc leaves)".into(), Tone::Key),
            (Stands::Offered, Ok(())) => (
                format!("y do them one after the other, up to the first that fails   d all lines   esc leave{more}"),
                Tone::Key,
            ),
            (_, Err(why)) => (format!("{why}   (d all lines, esc leaves){more}"), Tone::Warn),
        }
    }

    /// How many are green, amber and red; then each, with what is to be said of it.
    fn lines(&self, state: &State) -> Vec<Line<()>> {
        let runs: Vec<&Run> = self.runs.iter().filter_map(|id| state.ledger.get(id)).collect();
        let mut lines = vec![counted(&runs, self.refused.len())];
        for run in runs {
            lines.push(about(run));
            let deal = run.deal.as_ref().filter(|_| run.phase == Phase::Offered);
            let lights = deal.into_iter().flat_map(|deal| &deal.lights);
            let mut lights: Vec<&Light> =
                lights.filter(|light| self.in_full || light.colour != Colour::Green).collect();
            lights.sort_by_key(|light| std::cmp::Reverse(light.colour));
            lines.extend(lights.into_iter().map(|light| {
                let (mark, tone) = sign(light.colour);
                Line::blank().with(format!("    {mark}"), tone).outside(&light.text, tone)
            }));
        }
        let refused = self.refused.iter().map(|(name, why)| line("● ", Tone::Bad, name, &format!("refused: {why}")));
        lines.extend(refused);
        lines
    }
}

fn sign(colour: Colour) -> (&'static str, Tone) {
    match colour {
        Colour::Green => ("○ ", Tone::Good),
        Colour::Amber => ("▲ ", Tone::Warn),
        Colour::Red => ("● ", Tone::Bad),
    }
}

fn counted(runs: &[&Run], n_refused: usize) -> Line<()> {
    let of = |colour| {
        let is_so = |run: &&&Run| run.deal.as_ref().is_some_and(|deal| deal.colour() == colour);
        runs.iter().filter(is_so).count()
    };
    let refused = runs.iter().filter(|run| run.deal.is_none() && run.outcome().is_some()).count() + n_refused;
    let looking = runs.iter().filter(|run| run.phase == Phase::Looking).count();
    let counts = [
        (of(Colour::Green), "green"),
        (of(Colour::Amber), "amber"),
        (of(Colour::Red), "red"),
        (refused, "refused"),
        (looking, "looked at"),
    ];
    let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    Line::blank().with(told.join(", "), Tone::Normal)
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
    let sends = deal.steps.first().map(|step| step.order.title()).unwrap_or_default();
    let (mark, tone) = sign(deal.colour());
    line(mark, tone, &name, &sends)
}
