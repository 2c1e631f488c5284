//! Text laid out in lines: labelled facts, grids, trees. What inner views are made of, before colour and scrolling.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use super::{Align, Cell, Tone, clean};

/// A run of text in one tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub text: Cow<'static, str>,
    pub tone: Tone,
}

/// One line; `key` is what the cursor is on when it stands here. Lines without a key are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<K> {
    pub spans: Vec<Span>,
    pub key: Option<K>,
}

impl<K> Line<K> {
    /// An empty line.
    pub fn blank() -> Self {
        Line { spans: Vec::new(), key: None }
    }

    /// A section's title.
    pub fn title(text: impl Into<Cow<'static, str>>) -> Self {
        Line::blank().with(text, Tone::Title)
    }

    /// Adds our own text.
    #[must_use]
    pub fn with(mut self, text: impl Into<Cow<'static, str>>, tone: Tone) -> Self {
        self.spans.push(Span { text: text.into(), tone });
        self
    }

    /// Adds text from outside, cleaned.
    #[must_use]
    pub fn outside(self, text: &str, tone: Tone) -> Self {
        let cleaned = clean(text).into_owned();
        self.with(cleaned, tone)
    }

    /// Adds a cell.
    #[must_use]
    pub fn cell(mut self, cell: Cell) -> Self {
        self.spans.push(Span { text: cell.text, tone: cell.tone });
        self
    }

    /// Makes it a line for the cursor.
    #[must_use]
    pub fn keyed(mut self, key: K) -> Self {
        self.key = Some(key);
        self
    }

    /// Its text without tones.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| &*span.text).collect()
    }

    /// Columns it takes on the screen.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|span| span.text.width()).sum()
    }

    /// The line in pieces that fit, if it is a head and its text; those after the first stand under the text. Any other is left as it
    /// is.
    pub fn wrapped(self, width: usize) -> Vec<Self> {
        let [head, body] = &self.spans[..] else { return vec![self] };
        if self.width() <= width {
            return vec![self];
        }
        let (indent, tone) = (head.text.width(), body.tone);
        let pieces = pieces(&body.text, width.saturating_sub(indent).max(10));
        let mut lead = Some((head.clone(), self.key));
        let put = |piece: String| {
            let under = || (Span { text: " ".repeat(indent).into(), tone: Tone::Normal }, None);
            let (head, key) = lead.take().unwrap_or_else(under);
            Line { spans: vec![head, Span { text: piece.into(), tone }], key }
        };
        pieces.into_iter().map(put).collect()
    }
}

/// Text in pieces of at most so many columns, cut between words where that can be.
fn pieces(text: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        if used > 0 && used + word.trim_end().width() > room {
            pieces.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            // A blank at the end needs no room.
            if used + wide > room && c != ' ' {
                pieces.push(String::new());
                used = 0;
            }
            used += wide;
            if let Some(piece) = pieces.last_mut() {
                piece.push(c);
            }
        }
    }
    pieces
}

/// A labelled fact: the label padded to `label_width`, then the value.
pub fn fact<K>(label: &'static str, label_width: usize, value: Cell) -> Line<K> {
    Line::blank().with(pad(label, label_width, Align::Left), Tone::Dim).cell(value)
}

/// A column of a grid.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub align: Align,
    /// Wider cells are cut to this width, with `…`.
    pub most: usize,
}

/// A column that holds to the left.
pub const fn left(title: &'static str, most: usize) -> Column {
    Column { title, align: Align::Left, most }
}

/// A column of numbers.
pub const fn right(title: &'static str, most: usize) -> Column {
    Column { title, align: Align::Right, most }
}

/// One row of a grid: what the cursor is on there, and a cell for each column.
pub type GridRow<K> = (Option<K>, Vec<Cell>);

/// Lays rows out under a header, every column as wide as its widest cell. The last column is not padded.
pub fn grid<K>(columns: &[Column], rows: Vec<GridRow<K>>, indent: usize) -> Vec<Line<K>> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.title.width()).collect();
    for (_, cells) in &rows {
        for ((width, cell), column) in widths.iter_mut().zip(cells).zip(columns) {
            *width = (*width).max(cell.text.width().min(column.most));
        }
    }
    let header = columns.iter().map(|column| Cell::new(column.title, Tone::Dim)).collect();
    std::iter::once((None, header))
        .chain(rows)
        .map(|(key, cells)| Line { spans: grid_line(columns, &widths, cells, indent), key })
        .collect()
}

fn grid_line(columns: &[Column], widths: &[usize], cells: Vec<Cell>, indent: usize) -> Vec<Span> {
    let last = columns.len().saturating_sub(1);
    let mut spans = vec![Span { text: " ".repeat(indent).into(), tone: Tone::Normal }];
    for (idx, (cell, (column, width))) in cells.into_iter().zip(columns.iter().zip(widths)).enumerate() {
        let text = cut(&cell.text, column.most);
        let padded = match (idx == last, column.align) {
            (true, Align::Left) => text,
            _ => pad(&text, *width, column.align),
        };
        spans.push(Span { text: padded.into(), tone: cell.tone });
        if idx != last {
            spans.push(Span { text: "  ".into(), tone: Tone::Normal });
        }
    }
    spans
}

/// Pads to a width in columns of the screen.
pub fn pad(text: &str, width: usize, align: Align) -> String {
    let gap = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{gap}"),
        Align::Right => format!("{gap}{text}"),
    }
}

/// Cuts to a width in columns of the screen, with `…` in place of what was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_lines_its_columns_up() {
        let rows = vec![
            (Some(1), vec![Cell::new("acid-shop-0", Tone::Normal), Cell::new("0 B", Tone::Normal)]),
            (Some(2), vec![Cell::new("b", Tone::Normal), Cell::new("48.0 MiB", Tone::Warn)]),
        ];
        let lines = grid(&[left("MEMBER", 20), right("LAG", 10)], rows, 1);
        let text: Vec<_> = lines.iter().map(Line::text).collect();
        assert_eq!(text, [" MEMBER            LAG", " acid-shop-0       0 B", " b            48.0 MiB"]);
        assert_eq!((lines[0].key, lines[2].key), (None, Some(2)));
    }

    #[test]
    fn a_long_text_goes_on_under_itself() {
        let line = |text: &'static str| Line::<()>::blank().with("  say: ", Tone::Dim).with(text, Tone::Normal);
        let told = |text: &'static str, width: usize| -> Vec<String> {
            line(text).wrapped(width).iter().map(|line| line.text().trim_end().to_owned()).collect()
        };
        assert_eq!(told("one two three", 20), ["  say: one two three"]);
        assert_eq!(told("one two three", 19), ["  say: one two", "       three"]);
        assert_eq!(told("0123456789abcdef x", 17), ["  say: 0123456789", "       abcdef x"]);
        assert_eq!(told("数据库名字", 17), ["  say: 数据库名字"]);
        assert_eq!(told("数据库名字数", 17), ["  say: 数据库名字", "       数"]);
        let grid = line("a").with("b", Tone::Normal);
        assert_eq!(grid.clone().wrapped(3), [grid]);
    }

    #[test]
    fn cutting_counts_columns_not_characters() {
        assert_eq!(cut("数据库名字", 5), "数据…");
        assert_eq!(cut("short", 5), "short");
    }
}
