//! An order before it is sent, and what comes of it: what was looked at, exactly what would be sent, what proves it.
//!
//! ```text
//! ┌ switchover demo//production/acid-shop ──────────────────────┐
//! │ ○ allowed: create pods/portforward                          │
//! │ ▲ acid-shop-1 is 33 MiB behind: writes stop until …         │
//! │ send   POST /switchover on acid-shop-0                      │
//! │        {"leader":"acid-shop-0","candidate":"acid-shop-1"}   │
//! │ await  acid-shop-1 leads on a new timeline, and all follow  │
//! │ y do it  a arguments  r reason  l look again  c copy  esc … │
//! └─────────────────────────────────────────────────────────────┘
//! ```

mod asking;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::id::Text;
use crate::present::page::Line;
use crate::present::{Tone, format};
use crate::run::{Outcome, Phase, Run};
use crate::state::State;
use crate::state::ledger::scope;
use crate::theme::Theme;
use crate::widget::input::Field;
use crate::widget::{bar, popup};
use crate::work::change::Mark;
use crate::work::entry::{Colour, Light};
use crate::work::order::Order;
pub use asking::{Asking, Wanted, Wish};

/// The dialog of one order.
#[derive(Debug)]
pub struct Confirm {
    pub run: Text,
    /// Where the cluster's name is typed, if it must be.
    pub field: Field,
    /// The first line in sight.
    pub scroll: usize,
    /// The last line is kept in sight.
    pub follows: bool,
    /// Why it is done, for the journal and as an Event on the CR.
    pub reason: Option<String>,
    /// What is typed before it is answered.
    pub asking: Option<Asking>,
    /// What pgdeck said when it asked by itself; none where the user asked.
    pub unasked: Option<String>,
}

/// What can be done about it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answerable {
    /// `y` sends it.
    Yes,
    /// The name, typed, sends it.
    Name,
    /// A red line stands against it: `override NAME REASON`, typed, sends it all the same.
    Override,
    /// Nothing: it waits for the world, or is over.
    No,
    /// It may not be sent, and why.
    Barred(String),
}

/// Whether and how it can be confirmed now.
pub fn answerable(state: &State, run: &Run, now: Timestamp) -> Answerable {
    let Some(deal) = run.deal.as_ref().filter(|_| run.phase == Phase::Offered) else { return Answerable::No };
    let scope = scope(&run.aim.cluster);
    // The operator loses one of two patches. An emergency must not wait for a copy that takes an hour.
    let same = state.ledger.under_way_on(&run.aim.cluster, &run.id).filter(|action| *action == run.action);
    // Whoever deletes it may override what hangs: that is a red line.
    let waits = deal.patches() && !deal.deletes();
    let patching = || state.ledger.patching(&run.aim.cluster, &run.id).filter(|_| waits);
    if let Some(action) = same.or_else(patching) {
        return Answerable::Barred(format!("{action} is under way on this cluster: wait until it is proved"));
    }
    // That of another pgdeck; one of ours is over by now, as was just asked.
    let of_others = run.waits_for.as_ref().is_some_and(|open| state.ledger.get(&open.run).is_none());
    if let Some(why) = run.why_it_waits().filter(|_| of_others) {
        return Answerable::Barred(why);
    }
    // Whoever has the terminal has all of pgdeck: nothing that is under way would go on.
    let takes_terminal = deal.steps.iter().any(|step| step.order.takes_terminal());
    if let Some(other) = state.ledger.under_way().find(|_| takes_terminal) {
        let (action, name) = (other.action, &other.aim.cluster.name);
        return Answerable::Barred(format!(
            "{action} of {name} is under way, and would stand still meanwhile: wait for its end"
        ));
    }
    // What this pgdeck has done may be taken back, armed or not.
    if run.takes_back.is_some() && !deal.by_name && deal.colour() != Colour::Red {
        return Answerable::Yes;
    }
    if deal.colour() != Colour::Red && deal.is_look() {
        return Answerable::Yes;
    }
    if state.settings.read_only {
        return Answerable::Barred("this pgdeck was started read-only".into());
    }
    if state.ledger.armed(&scope, now).is_none() {
        let key = &state.settings.arm_key;
        return Answerable::Barred(format!("READ-ONLY: leave (esc), arm {scope} ({key}), and ask again"));
    }
    let by_name = crate::operation::operation(run.action)
        .is_some_and(|operation| operation.confirm == crate::operation::Confirm::Name);
    if deal.colour() == Colour::Red {
        Answerable::Override
    } else if deal.by_name || by_name {
        Answerable::Name
    } else {
        Answerable::Yes
    }
}

/// What becomes of a state that is made here, and that nothing has to watch.
const STAYS: &str = "when pgdeck is left by a key; a signal, or a terminal that goes, takes it back first";

/// Everything there is to say of it.
pub fn lines(run: &Run, now: Timestamp) -> Vec<Line<()>> {
    let mut lines = Vec::new();
    if run.phase == Phase::Looking {
        lines.push(Line::blank().with("looking…", Tone::Dim));
    }
    if let Some(deal) = &run.deal {
        // The worst first: the last lines may be out of sight.
        let mut lights: Vec<&Light> = deal.lights.iter().collect();
        lights.sort_by_key(|light| std::cmp::Reverse(light.colour));
        for light in lights {
            let (mark, tone) = match light.colour {
                Colour::Green => ("○ ", Tone::Good),
                Colour::Amber => ("▲ ", Tone::Warn),
                Colour::Red => ("● ", Tone::Bad),
            };
            lines.push(Line::blank().with(mark, tone).outside(&light.text, tone));
        }
        let at = run.looked_at.strftime("%H:%M:%S UTC");
        lines.push(Line::blank().with(format!("  as of {at}"), Tone::Dim));
        lines.push(Line::blank());
        for step in &deal.steps {
            lines.push(Line::blank().with("send   ", Tone::Dim).outside(&step.order.title(), Tone::Accent));
            lines.extend(sent(run, &step.order));
            let awaited = step.awaited();
            lines.push(Line::blank().with("await  ", Tone::Dim).outside(&awaited, Tone::Normal));
        }
        for step in run.to_come_back() {
            lines.push(Line::blank().with("back   ", Tone::Dim).outside(&step.order.title(), Tone::Accent));
        }
        lines.push(Line::blank().with("cost   ", Tone::Dim).outside(&deal.downtime, Tone::Normal));
        lines.push(Line::blank().with("undo   ", Tone::Dim).outside(&deal.undo, Tone::Normal));
        if run.leaves && deal.hold.is_none() {
            lines.push(Line::blank().with("stays  ", Tone::Dim).with(STAYS, Tone::Normal));
        }
    }
    if !run.lines.is_empty() {
        lines.push(Line::blank());
    }
    for line in &run.lines {
        let age = format!("{:>6} ", format::age(line.at.duration_since(run.began)));
        lines.push(Line::blank().with(age, Tone::Dim).outside(&line.text, Tone::Normal));
    }
    if let Some(outcome) = run.outcome() {
        let tone = if outcome == Outcome::Proved { Tone::Good } else { Tone::Bad };
        lines.push(Line::blank().with(outcome.word(), tone));
    } else if run.is_under_way() {
        let took = format::age(now.duration_since(run.began));
        lines.push(Line::blank().with(format!("{took} so far; esc leaves it running (O lists orders)"), Tone::Dim));
    }
    lines
}

/// What an order sends: what it changes in an object, else its body.
fn sent(run: &Run, order: &Order) -> Vec<Line<()>> {
    let row = |text: &str, tone| Line::blank().with("       ", Tone::Dim).outside(text, tone);
    let Some(change) = run.change(order) else {
        return order.shown().map(|body| row(&body.to_string(), Tone::Normal)).into_iter().collect();
    };
    let tone = |mark| match mark {
        Mark::Stays => Tone::Dim,
        Mark::Comes | Mark::Set => Tone::Good,
        Mark::Goes => Tone::Bad,
    };
    change.iter().map(|line| row(&format!("{} {}", line.mark.sign(), line.text), tone(line.mark))).collect()
}

impl Confirm {
    pub fn of(run: Text) -> Self {
        Confirm { run, field: Field::default(), scroll: 0, follows: false, reason: None, asking: None, unasked: None }
    }

    /// Draws it over the view.
    pub fn draw(&mut self, state: &State, now: Timestamp, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let Some(run) = state.ledger.get(&self.run) else { return };
        let mut lines = lines(run, now);
        lines.extend(
            self.reason.as_ref().map(|why| Line::blank().with("reason ", Tone::Dim).outside(why, Tone::Normal)),
        );
        lines.extend(self.asking.iter().flat_map(|asking| asking.lines(run)));
        let foot = self.foot(state, run, now);
        let width = area.width.saturating_sub(4).min(110);
        let wrapped: Vec<Line<()>> = lines.into_iter().flat_map(|line| line.wrapped(usize::from(width) - 4)).collect();
        let n_foot = if foot.hint.is_empty() { 1 } else { 2 };
        let wanted = u16::try_from(wrapped.len()).unwrap_or(u16::MAX).saturating_add(2 + n_foot);
        let subject = run
            .aim
            .member
            .as_ref()
            .map_or_else(|| run.aim.cluster.to_string(), |member| format!("{}/{member}", run.aim.cluster));
        let title = format!(" {} {} ", run.action, crate::present::clean(&subject));
        let inside = popup::open(&title, (width, wanted.min(area.height.saturating_sub(2))), theme, area, buffer);
        if inside.height < n_foot {
            return;
        }
        let height = usize::from(inside.height - n_foot);
        self.scroll = self.scroll.min(wrapped.len().saturating_sub(height));
        // What is under way is followed, and what is asked for.
        if self.follows || run.is_under_way() || run.outcome().is_some() || self.asking.is_some() {
            self.scroll = wrapped.len().saturating_sub(height);
        }
        for (line, y) in wrapped.iter().skip(self.scroll).take(height).zip(inside.y..) {
            bar::draw(&line.spans, &[], theme, Rect { y, height: 1, ..inside }, buffer);
        }
        let n_below = wrapped.len().saturating_sub(self.scroll + height);
        if n_below > 0 {
            let text = format!(" {n_below} more: down ");
            let x = inside.right().saturating_sub(u16::try_from(text.len()).unwrap_or(inside.width));
            buffer.set_stringn(x, inside.bottom(), text, usize::from(inside.width), theme.style(Tone::Accent));
        }
        let last = Rect { y: inside.bottom() - 1, height: 1, ..inside };
        if !foot.hint.is_empty() {
            let place = Rect { y: inside.bottom() - n_foot, height: 1, ..inside };
            foot_line(&foot.hint, foot.tone, theme, place, buffer);
        }
        match (foot.prompt, self.asking.as_ref().map_or(&self.field, |asking| &asking.field)) {
            (Some(prompt), field) => field.draw(&prompt, theme, last, buffer),
            (None, _) => foot_line(&foot.text, foot.tone, theme, last, buffer),
        }
    }

    /// What stands at the foot: where something is typed, and which keys help.
    fn foot(&self, state: &State, run: &Run, now: Timestamp) -> Foot {
        if let Some(asking) = &self.asking {
            let (hint, tone) = match &asking.error {
                Some(why) => (why.clone(), Tone::Bad),
                None => ("enter takes it   esc leaves it as it is".into(), Tone::Key),
            };
            return Foot { hint, prompt: Some(asking.prompt().into()), text: String::new(), tone };
        }
        let name = crate::present::clean(&run.aim.cluster.name);
        let typed = |prompt: String| Foot {
            hint: format!("{}  esc leave", Wish::hints(run, true)),
            prompt: Some(prompt),
            text: String::new(),
            tone: Tone::Key,
        };
        let told = |text: String, tone| Foot { hint: String::new(), prompt: None, text, tone };
        let hints = Wish::hints(run, false);
        match answerable(state, run, now) {
            Answerable::Name => typed(format!("type {name} to do it: ")),
            Answerable::Override => typed(format!("red; to go on all the same: override {name} REASON: ")),
            Answerable::Yes => told(format!("y do it  {hints}  esc leave"), Tone::Key),
            Answerable::Barred(why) => {
                let hint = format!("{hints}  esc leave");
                Foot { hint, prompt: None, text: why, tone: Tone::Warn }
            }
            Answerable::No if hints.is_empty() => told("esc leave".into(), Tone::Key),
            Answerable::No => told(format!("{hints}  esc leave"), Tone::Key),
        }
    }
}

/// The last lines of the dialog.
struct Foot {
    /// Above the last line; empty for none.
    hint: String,
    /// Before what is typed in the last line.
    prompt: Option<String>,
    /// The last line where nothing is typed.
    text: String,
    tone: Tone,
}

fn foot_line(text: &str, tone: Tone, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let line: Line<()> = Line::blank().outside(text, tone);
    bar::draw(&line.spans, &[], theme, area, buffer);
}
