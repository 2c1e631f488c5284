//! What frames every view: the sources and counters at the top, where we are, what there is to tell, which keys help.
//!
//! ```text
//!  pgdeck  demo live  prod LOST 2m10s              3 critical  2 warning  12 ok  READ-ONLY
//!  fleet › acid-shop  /state:running                                             12-40/2000
//!  prod is LOST since 2m10s: …                              (only while something is lost)
//!  …the view…
//!  acid-shop-2 cannot be reached: …                                      (+2 errors: N)
//!  enter open  / filter  ! problems  ? help  q quit
//! ```

use jiff::{SignedDuration, Timestamp};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::{Dialog, Screen};
use crate::action;
use crate::fault::Fault;
use crate::fleet::Standing;
use crate::fleet::health::Severity;
use crate::fleet::seen::{Source, SourceState};
use crate::id::PlaneId;
use crate::operation::undoing;
use crate::present::page::Span;
use crate::present::sources::state_word;
use crate::present::{Tone, clean, format};
use crate::state::ledger::{Scope, is_protected};
use crate::state::notice::Weight;
use crate::view::Look;
use crate::widget::bar;

/// Below this nothing useful fits.
pub const LEAST: (u16, u16) = (40, 8);

/// The places of a picture, from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub header: Rect,
    pub crumbs: Rect,
    /// Empty while nothing is lost.
    pub banner: Rect,
    pub body: Rect,
    pub notice: Rect,
    pub hints: Rect,
}

/// Divides the screen.
pub fn places(look: &Look<'_>, area: Rect) -> Places {
    let n_held = u16::try_from(look.state.ledger.holding().count()).unwrap_or(u16::MAX).min(3);
    let banner_height = n_held + if lost(look).next().is_some() { 2 } else { 0 };
    let mut y = area.y;
    let mut take = |height: u16| {
        let height = height.min(area.bottom() - y);
        let place = Rect { y, height, ..area };
        y += height;
        place
    };
    let (header, crumbs, banner) = (take(1), take(1), take(banner_height));
    let body = take(area.height.saturating_sub(4 + banner_height));
    Places { header, crumbs, banner, body, notice: take(1), hints: take(1) }
}

/// Draws everything but the view.
pub fn draw(look: &Look<'_>, screen: &Screen, places: &Places, buffer: &mut Buffer) {
    header(look, places.header, buffer);
    crumbs(look, screen, places.crumbs, buffer);
    banner(look, places.banner, buffer);
    notice(look, screen, places.notice, buffer);
    hints(look, screen, places.hints, buffer);
}

/// One sentence where nothing else fits.
pub fn too_small(look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
    if !area.is_empty() {
        let text = "terminal too small";
        buffer.set_stringn(area.x, area.y, text, usize::from(area.width), look.theme.style(Tone::Normal));
    }
}

/// When the age of a state at the top, or in the banner, reads differently.
pub fn next_change(look: &Look<'_>) -> Option<Timestamp> {
    let armed = look.state.ledger.armed_now(look.now).map(|(_, until)| {
        let left = until.duration_since(look.now);
        look.now
            + if left > SignedDuration::from_mins(1) {
                SignedDuration::from_secs(10)
            } else {
                SignedDuration::from_secs(1)
            }
    });
    let passing = planes(look).filter(|(_, standing)| !matches!(standing.state, SourceState::Live { .. }));
    let passing = passing.map(|(_, standing)| look.now + format::stands(look.now.duration_since(standing.since)));
    passing.chain(armed).min()
}

fn span(text: impl Into<std::borrow::Cow<'static, str>>, tone: Tone) -> Span {
    Span { text: text.into(), tone }
}

fn planes<'a>(look: &Look<'a>) -> impl Iterator<Item = (&'a PlaneId, &'a Standing)> + use<'a> {
    look.state.fleet.sources().filter_map(|(source, standing)| match source {
        Source::Plane { plane } => Some((plane, standing)),
        Source::Kind { .. } | Source::Instance { .. } | Source::Log { .. } => None,
    })
}

fn lost<'a>(look: &Look<'a>) -> impl Iterator<Item = (&'a PlaneId, &'a Standing, &'a Fault)> + use<'a> {
    planes(look).filter_map(|(plane, standing)| match &standing.state {
        SourceState::Lost { why } => Some((plane, standing, why)),
        SourceState::Connecting | SourceState::Live { .. } | SourceState::Relisting | SourceState::Limited { .. } => {
            None
        }
    })
}

fn header(look: &Look<'_>, area: Rect, buffer: &mut Buffer) {
    let mut left = vec![span(" pgdeck", Tone::Title)];
    let mut standings: Vec<_> = planes(look).collect();
    // What is lost must not be cut off at the right.
    standings.sort_by_key(|(_, standing)| !matches!(standing.state, SourceState::Lost { .. }));
    for (plane, standing) in standings {
        let protected = is_protected(&look.state.settings.protected, plane.context());
        let mark = if protected { "(protected) " } else { "" };
        left.push(span(format!("  {} {mark}", clean(plane.context())), Tone::Normal));
        left.push(state_word(standing, look.now));
    }
    let limited = look.state.fleet.sources().filter(|(source, standing)| {
        matches!(source, Source::Kind { .. })
            && matches!(standing.state, SourceState::Limited { .. } | SourceState::Lost { .. })
    });
    match limited.count() {
        0 => {}
        1 => left.push(span("  1 source limited", Tone::Warn)),
        n => left.push(span(format!("  {n} sources limited"), Tone::Warn)),
    }
    bar::draw(&left, &counters(look, area.width), look.theme, area, buffer);
    buffer.set_style(area, look.theme.header);
}

/// How many clusters stand how, and the word that says that nothing can be changed.
fn counters(look: &Look<'_>, width: u16) -> Vec<Span> {
    let tally = look.state.fleet.tally();
    let known = [
        (Severity::Critical, "●", Tone::Bad),
        (Severity::Warning, "▲", Tone::Warn),
        (Severity::Unknown, "?", Tone::Unknown),
        (Severity::Ok, "○", Tone::Good),
    ];
    let mut spans: Vec<Span> = known
        .into_iter()
        .filter_map(|(severity, mark, tone)| {
            let n = tally.get(&severity)?;
            let text = if width < 100 { format!("{mark} {n}  ") } else { format!("{n} {}  ", severity.word()) };
            Some(span(text, tone))
        })
        .collect();
    let under_way = look.state.ledger.under_way().count();
    if under_way > 0 {
        spans.push(span(format!("{under_way} under way  "), Tone::Warn));
    }
    let armed: Vec<(&Scope, Timestamp)> = look.state.ledger.armed_now(look.now).collect();
    spans.push(match &armed[..] {
        [] => span("READ-ONLY ", Tone::Accent),
        [(scope, until), others @ ..] => {
            let left = format::age(until.duration_since(look.now));
            let others = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
            span(format!("ARMED {}{others} {left} ", clean(scope)), Tone::Bad)
        }
    });
    spans
}

fn crumbs(look: &Look<'_>, screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let titles: Vec<String> = screen.views.iter().map(|view| view.title(look)).collect();
    let mut left = vec![span(format!(" {}", titles.join(" › ")), Tone::Accent)];
    let top = screen.views.last();
    if let Some(filter) = top.map(|view| view.filter()).filter(|filter| !filter.is_empty()) {
        left.push(span(format!("  /{}", clean(filter)), Tone::Key));
    }
    let right = top.map(|view| view.note()).filter(|note| !note.is_empty());
    let right: Vec<Span> = right.into_iter().map(|note| span(format!("{note} "), Tone::Dim)).collect();
    bar::draw(&left, &right, look.theme, area, buffer);
}

/// Says what is held, what is lost, that what is on screen is old, and what to do.
fn banner(look: &Look<'_>, mut area: Rect, buffer: &mut Buffer) {
    for run in look.state.ledger.holding().take(usize::from(area.height)) {
        let member = run.aim.member.as_ref().map_or(&run.aim.cluster.name, |member| member);
        let how = run.lines.last().map(|line| line.text.as_str()).unwrap_or_default();
        let ends = undoing(run.action).map_or("", |row| row.id);
        let key = look.keymap.spelled(ends).into_iter().next().unwrap_or_default();
        let text = format!(" HELD BY YOU: {} of {member}: {how}   ({key} on it ends it)", run.action);
        let row = Rect { height: 1, ..area };
        bar::draw(&[span(clean(&text).into_owned(), Tone::Bad)], &[], look.theme, row, buffer);
        area = Rect { y: area.y + 1, height: area.height - 1, ..area };
    }
    let Some((plane, standing, why)) = lost(look).next() else { return };
    let others = match lost(look).count() - 1 {
        0 => String::new(),
        n => format!(" (+{n} more: o)"),
    };
    let age = format::age(look.now.duration_since(standing.since));
    let what = format!(" {} is LOST, its rows are {age} old{others}: {why}", clean(plane.context()));
    let lines = [(what, Tone::Bad), (format!("   what to do: {}", why.remedy()), Tone::Warn)];
    for ((text, tone), y) in lines.into_iter().zip(area.top()..area.bottom()) {
        let text = clean(&text).into_owned();
        bar::draw(&[span(text, tone)], &[], look.theme, Rect { y, height: 1, ..area }, buffer);
    }
}

fn notice(look: &Look<'_>, screen: &Screen, area: Rect, buffer: &mut Buffer) {
    if let Some(Dialog::Filter { error: Some(error), .. } | Dialog::Ask { error: Some(error), .. }) = &screen.dialog {
        let text = format!(" {}", clean(error));
        return bar::draw(&[span(text, Tone::Bad)], &[], look.theme, area, buffer);
    }
    let Some(notice) = look.state.notices.line(look.now) else {
        if let Some(remark) = screen.views.last().and_then(|view| view.remark(look)) {
            let left = [span(" ", remark.tone), span(remark.text, remark.tone)];
            bar::draw(&left, &[], look.theme, area, buffer);
        }
        return;
    };
    let tone = match notice.weight {
        Weight::Info => Tone::Normal,
        Weight::Warning => Tone::Warn,
        Weight::Error => Tone::Bad,
    };
    let mark = match notice.weight {
        Weight::Info => "",
        Weight::Warning => "▲ ",
        Weight::Error => "● ",
    };
    let times = if notice.count > 1 { format!(" (x{})", notice.count) } else { String::new() };
    let left = [span(format!(" {mark}{}{times}", clean(&notice.text)), tone)];
    let shown = usize::from(notice.weight == Weight::Error);
    let key = look.keymap.spelled("notices").into_iter().next().unwrap_or_default();
    let right = match look.state.notices.unseen_errors().saturating_sub(shown) {
        0 if notice.weight == Weight::Error => format!("{key} all notices "),
        0 => String::new(),
        1 => format!("+1 error: {key} "),
        n => format!("+{n} errors: {key} "),
    };
    bar::draw(&left, &[span(right, Tone::Key)], look.theme, area, buffer);
}

fn hints(look: &Look<'_>, screen: &Screen, area: Rect, buffer: &mut Buffer) {
    if let Some(Dialog::Filter { field, .. }) = &screen.dialog {
        return field.draw("/", look.theme, area, buffer);
    }
    if let Some(Dialog::Ask { prompt, field, .. }) = &screen.dialog {
        return field.draw(&clean(prompt), look.theme, area, buffer);
    }
    let hinted = screen.views.last().map(|view| view.hints()).unwrap_or_default();
    let mut left: Vec<Span> = Vec::new();
    let mut room = usize::from(area.width);
    for action in hinted.iter().filter_map(|id| action::action(id)) {
        let Some(key) = look.keymap.spelled(action.id).into_iter().next() else { continue };
        let (key, title) = (format!(" {key}"), format!(" {} ", action.title));
        let Some(rest) = room.checked_sub(key.width() + title.width()) else { break };
        room = rest;
        left.extend([span(key, Tone::Key), span(title, Tone::Dim)]);
    }
    let typed: Vec<String> = screen.typed.iter().map(ToString::to_string).collect();
    let right = if typed.is_empty() { Vec::new() } else { vec![span(format!("{}… ", typed.join(" ")), Tone::Key)] };
    bar::draw(&left, &right, look.theme, area, buffer);
}
