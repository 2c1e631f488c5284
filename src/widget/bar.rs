//! A line with something at its left and something at its right. Where both do not fit, the right one stays whole.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::table::fit;
use crate::present::Cut;
use crate::present::page::Span;
use crate::theme::Theme;

/// Draws both sides of a line.
pub fn draw(left: &[Span], right: &[Span], theme: &Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let wanted: usize = right.iter().map(|span| span.text.width()).sum();
    let right_width = u16::try_from(wanted).unwrap_or(u16::MAX).min(area.width);
    let start = area.right() - right_width;
    let end = if right_width == 0 { area.right() } else { start.saturating_sub(1).max(area.x) };
    spans(left, theme, Rect { width: end - area.x, ..area }, buffer);
    spans(right, theme, Rect { x: start, width: right_width, ..area }, buffer);
}

/// Draws spans one after the other, cut with `…` where they do not fit.
pub fn spans(spans: &[Span], theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let mut x = area.x;
    for span in spans {
        let room = usize::from(area.right().saturating_sub(x));
        if room == 0 {
            break;
        }
        (x, _) = buffer.set_stringn(x, area.y, fit(&span.text, room, Cut::End), room, theme.style(span.tone));
    }
}
