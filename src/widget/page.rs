//! A page of lines with a cursor: scrolls, windows, and draws only what is in sight.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::action::{Deed, Motion};
use crate::present::Tone;
use crate::present::page::Line;
use crate::theme::Theme;

/// Lines with a cursor on one of those that have a key; without keys the page itself scrolls.
#[derive(Debug)]
pub struct Page<K> {
    lines: Vec<Line<K>>,
    /// The key under the cursor; it survives lines coming and going.
    key: Option<K>,
    /// Where the cursor's line was last, for when its key goes.
    at: usize,
    /// The first line in sight.
    offset: usize,
    /// Columns scrolled to the right.
    shift: usize,
    height: usize,
    /// Keeps the last line in sight.
    pub follow: bool,
}

impl<K> Default for Page<K> {
    fn default() -> Self {
        Page { lines: Vec::new(), key: None, at: 0, offset: 0, shift: 0, height: 1, follow: false }
    }
}

impl<K: Clone + PartialEq> Page<K> {
    /// Takes in new lines, keeping the cursor on its key, or near where it was.
    pub fn set(&mut self, lines: Vec<Line<K>>, height: u16) {
        self.lines = lines;
        self.height = usize::from(height).max(1);
        let same = self.key.as_ref().and_then(|key| {
            let keyed = (0..self.lines.len()).filter(|idx| self.lines[*idx].key.as_ref() == Some(key));
            keyed.min_by_key(|idx| idx.abs_diff(self.at))
        });
        let near = || nearest(&self.lines, self.at);
        if let Some(idx) = same.or_else(near) {
            self.at = idx;
            self.key.clone_from(&self.lines[idx].key);
        } else {
            self.key = None;
        }
        if self.follow {
            self.offset = self.last_offset();
        }
        self.offset = self.offset.min(self.last_offset());
    }

    /// As `set`, with long texts in pieces that fit beside the marks of the cursor and of what is out of sight.
    pub fn set_wrapped(&mut self, lines: Vec<Line<K>>, area: Rect) {
        let width = usize::from(area.width).saturating_sub(2);
        self.set(lines.into_iter().flat_map(|line| line.wrapped(width)).collect(), area.height);
    }

    /// What the cursor is on.
    pub fn selected(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// Puts the cursor on that key, if a line has it.
    pub fn select(&mut self, key: &K) {
        if let Some(idx) = self.lines.iter().position(|line| line.key.as_ref() == Some(key)) {
            self.put(idx);
        } else {
            self.key = Some(key.clone());
        }
    }

    /// Carries out a deed that is about the page itself: moving and scrolling. False if it is not.
    pub fn perform(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Move(motion) => self.motion(motion),
            Deed::ColumnsLeft => self.sideways(false),
            Deed::ColumnsRight => self.sideways(true),
            _ => return false,
        }
        true
    }

    /// Moves the cursor over lines with keys, or the page where there are none.
    pub fn motion(&mut self, motion: Motion) {
        let page = self.height.saturating_sub(1).max(1);
        let (steps, down) = match motion {
            Motion::Up => (1, false),
            Motion::Down => (1, true),
            Motion::PageUp => (page, false),
            Motion::PageDown => (page, true),
            Motion::HalfUp => (page.div_ceil(2), false),
            Motion::HalfDown => (page.div_ceil(2), true),
            Motion::Top => (usize::MAX, false),
            Motion::Bottom => (usize::MAX, true),
        };
        self.follow = false;
        if self.lines.iter().any(|line| line.key.is_some()) {
            self.step(steps, down);
        } else {
            self.scroll(steps, down);
        }
    }

    fn step(&mut self, steps: usize, down: bool) {
        let keyed = |idx: &usize| self.lines[*idx].key.is_some();
        let target = self.at;
        let found = if down {
            let wanted = target.saturating_add(steps).min(self.lines.len() - 1);
            if steps == 1 {
                (target + 1..self.lines.len()).find(keyed)
            } else {
                (wanted..self.lines.len()).find(keyed).or_else(|| (0..=wanted).rev().find(keyed))
            }
        } else {
            let wanted = target.saturating_sub(steps);
            if steps == 1 {
                (0..target).rev().find(keyed)
            } else {
                (0..=wanted).rev().find(keyed).or_else(|| (wanted..self.lines.len()).find(keyed))
            }
        };
        match found {
            Some(idx) => self.put(idx),
            // Nothing more for the cursor: what lies beyond comes into sight.
            None => self.scroll(steps, down),
        }
        if steps == usize::MAX {
            self.offset = if down { self.last_offset() } else { 0 };
        }
    }

    fn put(&mut self, idx: usize) {
        self.at = idx;
        self.key.clone_from(&self.lines[idx].key);
        if idx < self.offset {
            self.offset = idx;
        } else if idx >= self.offset + self.height {
            self.offset = idx + 1 - self.height;
        }
    }

    fn scroll(&mut self, steps: usize, down: bool) {
        self.offset = if down {
            self.offset.saturating_add(steps).min(self.last_offset())
        } else {
            self.offset.saturating_sub(steps)
        };
    }

    /// Shifts sideways by so many columns, never beyond the widest line.
    pub fn sideways(&mut self, right: bool) {
        const STEP: usize = 8;
        let widest = self.lines.iter().map(Line::width).max().unwrap_or(0);
        self.shift =
            if right { (self.shift + STEP).min(widest.saturating_sub(STEP)) } else { self.shift.saturating_sub(STEP) };
    }

    fn last_offset(&self) -> usize {
        self.lines.len().saturating_sub(self.height)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Draws the lines in sight; marks on the right edge say that there is more above or below.
    pub fn draw(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let marked = self.lines.iter().any(|line| line.key.is_some());
        for (row, (idx, line)) in (area.top()..area.bottom()).zip(self.lines.iter().enumerate().skip(self.offset)) {
            let selected = marked && line.key.is_some() && line.key == self.key && idx == self.at;
            self.draw_line(theme, line, selected, marked, Rect { y: row, height: 1, ..area }, buffer);
        }
        let mark = |up: bool| if up { theme.glyph("▲", "^") } else { theme.glyph("▼", "v") };
        if area.width > 2 && area.height > 1 {
            let x = area.right() - 1;
            if self.offset > 0 {
                buffer.set_string(x, area.y, mark(true), theme.style(Tone::Dim));
            }
            if self.offset + usize::from(area.height) < self.lines.len() {
                buffer.set_string(x, area.bottom() - 1, mark(false), theme.style(Tone::Dim));
            }
        }
    }

    fn draw_line(&self, theme: &Theme, line: &Line<K>, selected: bool, marked: bool, area: Rect, buffer: &mut Buffer) {
        let mut x = area.x;
        if marked {
            let mark = if selected { ">" } else { " " };
            buffer.set_stringn(x, area.y, mark, usize::from(area.width), theme.style(Tone::Accent));
            x = x.saturating_add(1).min(area.right());
        }
        let mut skip = self.shift;
        for span in &line.spans {
            let text = skip_columns(&span.text, &mut skip);
            let left = usize::from(area.right().saturating_sub(x));
            if left == 0 {
                break;
            }
            (x, _) = buffer.set_stringn(x, area.y, text, left, theme.style(span.tone));
        }
        if selected {
            buffer.set_style(
                Rect { x: area.x, y: area.y, width: area.width, height: 1 },
                Style::new().patch(theme.selected),
            );
        }
    }
}

fn nearest<K>(lines: &[Line<K>], at: usize) -> Option<usize> {
    let keyed = |idx: &usize| lines.get(*idx).is_some_and(|line| line.key.is_some());
    (at..lines.len()).find(keyed).or_else(|| (0..at.min(lines.len())).rev().find(keyed))
}

/// What is left of `text` after `skip` columns; `skip` counts down what is still to be skipped.
fn skip_columns<'a>(text: &'a str, skip: &mut usize) -> &'a str {
    let mut rest = text.char_indices();
    while *skip > 0 {
        let Some((_, c)) = rest.next() else { return "" };
        *skip = skip.saturating_sub(unicode_width::UnicodeWidthChar::width(c).unwrap_or(0));
    }
    rest.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[Option<u8>], height: u16) -> Page<u8> {
        let mut page = Page::default();
        page.set(lines(keys), height);
        page
    }

    fn lines(keys: &[Option<u8>]) -> Vec<Line<u8>> {
        keys.iter().map(|key| Line { spans: Vec::new(), key: *key }).collect()
    }

    #[test]
    fn the_cursor_passes_over_lines_without_a_key() {
        let mut page = page(&[None, Some(1), None, Some(2), None], 3);
        assert_eq!(page.selected(), Some(&1));
        page.motion(Motion::Down);
        assert_eq!(page.selected(), Some(&2));
        page.motion(Motion::Top);
        assert_eq!((page.selected(), page.offset), (Some(&1), 0));
    }

    #[test]
    fn the_cursor_stays_on_its_key_when_lines_move_and_near_when_it_goes() {
        let mut page = page(&[Some(1), Some(2), Some(3)], 3);
        page.motion(Motion::Down);
        page.set(lines(&[Some(9), Some(1), Some(2), Some(3)]), 3);
        assert_eq!(page.selected(), Some(&2));
        page.set(lines(&[Some(9), Some(1), Some(3)]), 3);
        assert_eq!(page.selected(), Some(&3));
        page.set(Vec::new(), 3);
        assert_eq!(page.selected(), None);
    }

    #[test]
    fn a_key_that_stands_twice_keeps_the_cursor_where_it_was() {
        let keys = [Some(1), Some(2), None, Some(1), Some(2)];
        let mut page = page(&keys, 5);
        (0..3).for_each(|_| page.motion(Motion::Down));
        page.set(lines(&keys), 5);
        assert_eq!((page.selected(), page.at), (Some(&2), 4));
    }

    #[test]
    fn a_page_without_keys_scrolls() {
        let mut page = page(&[None; 10], 4);
        page.motion(Motion::PageDown);
        assert_eq!(page.offset, 3);
        page.motion(Motion::Bottom);
        assert_eq!(page.offset, 6);
        page.follow = true;
        page.set(lines(&[None; 20]), 4);
        assert_eq!(page.offset, 16);
    }
}
