//! The picture: header, the view on top, notices and hints, and a dialog over them.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Model;
use crate::screen::{Dialog, chrome};
use crate::view::Look;

/// Draws the model as of `now`. Views catch up with the state first; nothing else changes.
pub fn draw(model: &mut Model, now: Timestamp, area: Rect, buffer: &mut Buffer) {
    let look = Look { state: &model.state, now, theme: &model.theme, keymap: &model.keymap };
    buffer.set_style(area, look.theme.ground());
    if area.width < chrome::LEAST.0 || area.height < chrome::LEAST.1 {
        return chrome::too_small(&look, area, buffer);
    }
    let places = chrome::places(&look, area);
    model.screen.body = places.body;
    if let Some(view) = model.screen.views.last_mut() {
        view.refresh(&look, places.body);
        view.draw(&look, places.body, buffer);
    }
    chrome::draw(&look, &model.screen, &places, buffer);
    if let Some(Dialog::Palette(palette)) = &mut model.screen.dialog {
        palette.refresh(area);
        palette.draw(look.theme, area, buffer);
    }
    if let Some(Dialog::Order(confirm)) = &mut model.screen.dialog {
        confirm.draw(look.state, now, look.theme, area, buffer);
    }
    if let Some(Dialog::Bulk(bulk)) = &mut model.screen.dialog {
        bulk.draw(look.state, now, look.theme, area, buffer);
    }
    if look.theme.ascii {
        crate::theme::ascii::spell(buffer, area);
    }
}
