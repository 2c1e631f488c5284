//! The picture: header, the view on top, notices and hints.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Model;
use crate::view::Look;

/// Draws the model as of `now`. Views catch up with the state first; nothing else changes.
pub fn draw(model: &mut Model, now: Timestamp, area: Rect, buffer: &mut Buffer) {
    let look = Look { state: &model.state, now, theme: &model.theme };
    if let Some(view) = model.screen.views.last_mut() {
        view.refresh(&look, area);
        view.draw(&look, area, buffer);
    }
}
