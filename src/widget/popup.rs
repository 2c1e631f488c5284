//! A frame in the middle of the screen, over whatever is there.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Clear, Widget};

use crate::present::Tone;
use crate::theme::Theme;

/// Clears a place of at most that size in the middle, frames it, and returns its inside.
pub fn open(title: &str, (width, height): (u16, u16), theme: &Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    Clear.render(place, buffer);
    let block =
        Block::bordered().border_style(theme.style(Tone::Border)).title(title).title_style(theme.style(Tone::Title));
    let inside = block.inner(place);
    block.render(place, buffer);
    inside
}
