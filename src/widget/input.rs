//! One line of text to type into: editing keys, paste, and what was typed before.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use tui_input::{Input, InputRequest};

use crate::keymap::chord::{Chord, Code};
use crate::present::Tone;
use crate::theme::Theme;

/// A line that is being typed.
#[derive(Debug, Default)]
pub struct Field {
    input: Input,
    /// What was typed into such fields before, oldest first.
    history: Vec<String>,
    /// How far back in it we are, and what stood there before we went.
    back: usize,
    draft: String,
}

impl Field {
    /// A field that holds `text`, with the cursor behind it.
    pub fn new(text: &str, history: &[String]) -> Self {
        Field { input: Input::new(text.to_owned()), history: history.to_vec(), back: 0, draft: String::new() }
    }

    /// What it holds.
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// Takes a key. True if the text changed.
    pub fn key(&mut self, chord: Chord) -> bool {
        if let Some(c) = chord.typed() {
            return self.handle(InputRequest::InsertChar(c));
        }
        match request(chord) {
            Some(request) => self.handle(request),
            None => match chord {
                Chord { code: Code::Up, .. } => self.recall(self.back + 1),
                Chord { code: Code::Down, .. } if self.back > 0 => self.recall(self.back - 1),
                _ => false,
            },
        }
    }

    /// Puts in pasted text, without its control characters.
    pub fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            self.handle(InputRequest::InsertChar(c));
        }
    }

    fn handle(&mut self, request: InputRequest) -> bool {
        self.input.handle(request).is_some_and(|changed| changed.value)
    }

    fn recall(&mut self, back: usize) -> bool {
        if back > self.history.len() {
            return false;
        }
        if self.back == 0 {
            self.input.value().clone_into(&mut self.draft);
        }
        self.back = back;
        let text = match back {
            0 => self.draft.clone(),
            back => self.history[self.history.len() - back].clone(),
        };
        self.input = Input::new(text);
        true
    }

    /// Draws it behind a prompt, scrolled so that the cursor is in sight.
    pub fn draw(&self, prompt: &str, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let width = usize::from(area.width);
        let (x, _) = buffer.set_stringn(area.x, area.y, prompt, width, theme.style(Tone::Key));
        let room = area.right().saturating_sub(x);
        if room == 0 {
            return;
        }
        let scroll = self.input.visual_scroll(usize::from(room).saturating_sub(1));
        let shown = crate::present::clean(self.text());
        let shown = skip(&shown, scroll);
        buffer.set_stringn(x, area.y, shown, usize::from(room), theme.style(Tone::Normal));
        let at = u16::try_from(self.input.visual_cursor().saturating_sub(scroll)).unwrap_or(0).min(room - 1);
        buffer.set_style(Rect::new(x + at, area.y, 1, 1), Style::new().add_modifier(Modifier::REVERSED));
    }
}

fn skip(text: &str, columns: usize) -> &str {
    let mut left = columns;
    let mut rest = text.chars();
    while left > 0 {
        let Some(c) = rest.next() else { break };
        left = left.saturating_sub(unicode_width::UnicodeWidthChar::width(c).unwrap_or(0));
    }
    rest.as_str()
}

fn request(chord: Chord) -> Option<InputRequest> {
    use InputRequest as Ask;
    let Chord { code, ctrl, alt, .. } = chord;
    Some(match (code, ctrl, alt) {
        (Code::Backspace, false, false) | (Code::Char('h'), true, false) => Ask::DeletePrevChar,
        (Code::Delete, ..) => Ask::DeleteNextChar,
        (Code::Left, true, _) | (Code::Char('b'), false, true) => Ask::GoToPrevWord,
        (Code::Right, true, _) | (Code::Char('f'), false, true) => Ask::GoToNextWord,
        (Code::Left, ..) | (Code::Char('b'), true, false) => Ask::GoToPrevChar,
        (Code::Right, ..) | (Code::Char('f'), true, false) => Ask::GoToNextChar,
        (Code::Home, ..) | (Code::Char('a'), true, false) => Ask::GoToStart,
        (Code::End, ..) | (Code::Char('e'), true, false) => Ask::GoToEnd,
        (Code::Char('w'), true, false) | (Code::Backspace, ..) => Ask::DeletePrevWord,
        (Code::Char('d'), false, true) => Ask::DeleteNextWord,
        (Code::Char('u'), true, false) => Ask::DeleteFromStart,
        (Code::Char('k'), true, false) => Ask::DeleteTillEnd,
        (Code::Char('y'), true, false) => Ask::Yank,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(field: &mut Field, keys: &str) {
        for key in keys.split(' ') {
            field.key(key.parse().unwrap());
        }
    }

    #[test]
    fn it_edits_as_a_shell_does() {
        let mut field = Field::new("team:shop x acid", &[]);
        typed(&mut field, "ctrl-w backspace backspace backspace ctrl-a ! ctrl-e");
        assert_eq!(field.text(), "!team:shop");
        typed(&mut field, "ctrl-u x");
        assert_eq!(field.text(), "x");
        field.paste("a\u{1b}]52;c\nb");
        assert_eq!(field.text(), "xa]52;cb");
    }

    #[test]
    fn it_goes_back_through_what_was_typed_and_forth_to_the_draft() {
        let mut field = Field::new("dr", &["one".to_owned(), "two".to_owned()]);
        typed(&mut field, "up up up");
        assert_eq!(field.text(), "one");
        typed(&mut field, "down down");
        assert_eq!(field.text(), "dr");
    }

    #[test]
    fn the_end_that_is_typed_stays_in_sight() {
        let area = Rect::new(0, 0, 6, 1);
        let mut buffer = Buffer::empty(area);
        Field::new("abcdefgh", &[]).draw("/", &Theme::default(), area, &mut buffer);
        let line: String = (0..6).map(|x| buffer[(x, 0)].symbol()).collect();
        assert_eq!(line, "/efgh ");
    }
}
