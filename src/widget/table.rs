//! A table that builds only the cells in sight: first columns frozen, the others chosen by priority and width.
//!
//! The row under the cursor is reversed and marked with `>`; `‹` and `›` in the header say that there are more columns.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::present::{Align, Cell, Cut, Tone};
use crate::theme::Theme;

/// How a column takes its place.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// At least this wide.
    pub width: u16,
    /// At most this wide, where there is room.
    pub most: u16,
    /// Lower comes first where not all fit.
    pub priority: u8,
    pub align: Align,
    pub cut: Cut,
}

/// Columns that stand on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub placed: Vec<Placed>,
    /// More columns to the left and to the right.
    pub more_left: bool,
    pub more_right: bool,
}

/// One column's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its number in the slice that was laid out.
    pub column: usize,
    /// Cells from the left edge.
    pub x: u16,
    pub width: u16,
}

/// The greatest shift that still leaves a column beside the frozen ones.
pub fn most_shift(n_columns: usize, n_frozen: usize) -> usize {
    n_columns.saturating_sub(n_frozen + 1)
}

/// Places columns in `width` cells: the first `n_frozen` always, then, from `shift` on, those that fit; at shift zero the
/// most important ones, and what did not fit comes into sight by shifting.
pub fn layout(columns: &[Column], n_frozen: usize, shift: usize, width: u16) -> Layout {
    let gap = if width < 100 { 1 } else { 2 };
    let mut room = width.saturating_sub(1);
    let mut chosen: Vec<(usize, u16)> = Vec::new();
    for (idx, column) in columns.iter().enumerate().take(n_frozen) {
        let taken = column.width.min(room);
        if taken > 0 {
            chosen.push((idx, taken));
        }
        room = room.saturating_sub(taken + gap);
    }
    let sequence = sequence(columns, n_frozen, room, gap);
    let shift = shift.min(most_shift(columns.len(), n_frozen));
    let mut rest = sequence.iter().skip(shift);
    for (n, idx) in rest.by_ref().enumerate() {
        let wanted = columns[*idx].width;
        let taken = if n == 0 { wanted.min(room) } else { wanted };
        if taken == 0 || taken > room {
            break;
        }
        chosen.push((*idx, taken));
        room = room.saturating_sub(taken + gap);
    }
    let n_shown = chosen.len().saturating_sub(n_frozen);
    let gaps = gap.saturating_mul(u16::try_from(chosen.len().saturating_sub(1)).unwrap_or(u16::MAX));
    let used: u16 = chosen.iter().map(|(_, width)| *width).sum();
    grow(columns, &mut chosen, width.saturating_sub(1).saturating_sub(used).saturating_sub(gaps));
    let mut x = 1;
    let placed = chosen.iter().map(|(column, width)| {
        let placed = Placed { column: *column, x, width: *width };
        x += width + gap;
        placed
    });
    Layout { placed: placed.collect(), more_left: shift > 0, more_right: shift + n_shown < sequence.len() }
}

/// All columns that are not frozen: first the most important that fit together, in their order, then the others.
fn sequence(columns: &[Column], n_frozen: usize, mut room: u16, gap: u16) -> Vec<usize> {
    let mut by_priority: Vec<usize> = (n_frozen..columns.len()).collect();
    by_priority.sort_by_key(|idx| columns[*idx].priority);
    let (mut first, mut others): (Vec<_>, Vec<_>) = by_priority.into_iter().partition(|idx| {
        let fits = columns[*idx].width <= room;
        if fits {
            room = room.saturating_sub(columns[*idx].width + gap);
        }
        fits
    });
    first.sort_unstable();
    others.sort_unstable();
    first.extend(others);
    first
}

/// Gives the room that is left to those who can use it, the most important first.
fn grow(columns: &[Column], chosen: &mut [(usize, u16)], mut room: u16) {
    let mut order: Vec<usize> = (0..chosen.len()).collect();
    order.sort_by_key(|idx| columns[chosen[*idx].0].priority);
    for idx in order {
        let (column, width) = &mut chosen[idx];
        let more = columns[*column].most.saturating_sub(*width).min(room);
        *width += more;
        room -= more;
    }
}

/// What is drawn once for the whole table.
#[derive(Debug)]
pub struct Frame<'a> {
    pub columns: &'a [Column],
    pub layout: &'a Layout,
    /// The column that rows are sorted by, and whether upwards.
    pub sort: Option<(usize, Order)>,
    /// The selected row, counted from the first in sight.
    pub selected: Option<usize>,
    /// Marked rows, counted in the same way.
    pub marked: &'a [usize],
}

/// Which way rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Ascending,
    Descending,
}

impl Order {
    /// The other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Order::Ascending => Order::Descending,
            Order::Descending => Order::Ascending,
        }
    }
}

/// Draws a header line and the rows in sight; `cell` is asked for what stands on the screen alone.
pub fn draw<R>(
    frame: &Frame<'_>,
    rows: impl Iterator<Item = R>,
    cell: impl Fn(&R, usize) -> Cell,
    theme: &Theme,
    (area, buffer): (Rect, &mut Buffer),
) {
    if area.is_empty() {
        return;
    }
    draw_header(frame, theme, area, buffer);
    for (y, (n, row)) in (area.top() + 1..area.bottom()).zip(rows.enumerate()) {
        for placed in &frame.layout.placed {
            let cell = cell(&row, placed.column);
            let column = &frame.columns[placed.column];
            put(column, *placed, &cell, theme, (Rect { y, height: 1, ..area }, buffer));
        }
        if frame.marked.contains(&n) {
            buffer.set_stringn(area.x, y, "*", 1, theme.style(Tone::Warn));
        }
        if frame.selected == Some(n) {
            let mark = if frame.marked.contains(&n) { "*" } else { ">" };
            buffer.set_stringn(area.x, y, mark, 1, theme.style(Tone::Accent));
            buffer.set_style(Rect { y, height: 1, ..area }, Style::new().patch(theme.selected));
        }
    }
}

fn draw_header(frame: &Frame<'_>, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let line = Rect { height: 1, ..area };
    for placed in &frame.layout.placed {
        let column = &frame.columns[placed.column];
        let mark = match frame.sort {
            Some((sorted, Order::Ascending)) if sorted == placed.column => theme.glyph("↑", "^"),
            Some((sorted, Order::Descending)) if sorted == placed.column => theme.glyph("↓", "v"),
            Some(_) | None => "",
        };
        let tone = if mark.is_empty() { Tone::Dim } else { Tone::Title };
        let title = Cell::own(format!("{}{mark}", column.title), tone);
        put(column, *placed, &title, theme, (line, buffer));
    }
    if frame.layout.more_left {
        buffer.set_stringn(area.x, area.y, theme.glyph("‹", "<"), 1, theme.style(Tone::Title));
    }
    if frame.layout.more_right {
        buffer.set_stringn(area.right() - 1, area.y, theme.glyph("›", ">"), 1, theme.style(Tone::Title));
    }
}

fn put(column: &Column, placed: Placed, cell: &Cell, theme: &Theme, (line, buffer): (Rect, &mut Buffer)) {
    let width = placed.width.min(line.width.saturating_sub(placed.x));
    let text = fit(&cell.text, usize::from(width), column.cut);
    let gap = usize::from(width).saturating_sub(text.width());
    let indent = match column.align {
        Align::Left => 0,
        Align::Right => u16::try_from(gap).unwrap_or(0),
    };
    let x = line.x.saturating_add(placed.x).saturating_add(indent);
    if width > 0 {
        buffer.set_stringn(x, line.y, text, usize::from(width), theme.style(cell.tone));
    }
}

/// The text in `width` columns, with `…` where something was cut.
pub fn fit(text: &str, width: usize, cut: Cut) -> std::borrow::Cow<'_, str> {
    if text.width() <= width {
        return text.into();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= room;
        room = room.saturating_sub(wide);
        if !fits {
            room = 0;
        }
        fits
    };
    match cut {
        _ if width == 0 => "".into(),
        Cut::End => {
            let mut kept: String = text.chars().take_while(fits).collect();
            kept.push('…');
            kept.into()
        }
        Cut::Start => {
            let kept: Vec<char> = text.chars().rev().take_while(fits).collect();
            std::iter::once('…').chain(kept.into_iter().rev()).collect::<String>().into()
        }
    }
}

#[cfg(test)]
mod tests;
