//! What the terminal shows now, and the least that must be written to show something else.

use std::io::{self, BufWriter, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use crate::app::Size;

/// Terminals drop longer clipboards; tmux and xterm among them.
const CLIPBOARD: usize = 75 * 1024;

/// The screen: what it shows, and a buffer to draw the next picture in.
#[derive(Debug)]
pub struct Glass<W: Write> {
    backend: CrosstermBackend<BufWriter<W>>,
    shown: Buffer,
    next: Buffer,
    /// The terminal shows something else than `shown`.
    strange: bool,
    colors: Colors,
}

/// Whether colors reach the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    Shown,
    /// `NO_COLOR`: bold, dim and reverse remain.
    Stripped,
}

/// What does not fit on the clipboard.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    pub bytes: usize,
}

impl<W: Write> Glass<W> {
    /// A screen of that size, not drawn yet.
    pub fn new(out: W, size: Size, colors: Colors) -> Self {
        let area = Rect::new(0, 0, size.columns, size.rows);
        Glass {
            backend: CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, out)),
            shown: Buffer::empty(area),
            next: Buffer::empty(area),
            strange: true,
            colors,
        }
    }

    /// The terminal has another size now, or somebody else wrote on it: everything is drawn anew.
    pub fn resize(&mut self, size: Size) {
        let area = Rect::new(0, 0, size.columns, size.rows);
        self.next.resize(area);
        self.shown.resize(area);
        self.strange = true;
    }

    /// Draws a picture and writes what differs from the last one; not a byte if nothing does. Returns whether it wrote.
    pub fn paint(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<bool> {
        self.next.reset();
        draw(self.next.area, &mut self.next);
        if self.colors == Colors::Stripped {
            self.next.content.iter_mut().for_each(|cell| {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
                cell.underline_color = Color::Reset;
            });
        }
        if self.strange {
            self.shown.reset();
        }
        let changes = self.shown.diff(&self.next);
        if changes.is_empty() && !self.strange {
            return Ok(false);
        }
        let frame = Frame::begin(&mut self.backend)?;
        if self.strange {
            queue!(frame.0, Clear(ClearType::All))?;
        }
        frame.0.draw(changes.into_iter())?;
        frame.end()?;
        self.strange = false;
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(true)
    }

    /// Puts a text on the clipboard of the terminal (OSC 52), through tmux too.
    pub fn yank(&mut self, text: &str, in_tmux: bool) -> io::Result<Result<(), TooLong>> {
        if text.len() > CLIPBOARD {
            return Ok(Err(TooLong { bytes: text.len() }));
        }
        let sequence = format!("\x1b]52;c;{}\x07", STANDARD.encode(text));
        self.backend.write_all(sequence.as_bytes())?;
        if in_tmux {
            // tmux takes one or the other, by its settings.
            write!(self.backend, "\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b"))?;
        }
        Write::flush(&mut self.backend)?;
        Ok(Ok(()))
    }
}

/// A frame under way: the terminal shows it whole when it ends, and ends with it whatever happens.
struct Frame<'a, W: Write>(&'a mut CrosstermBackend<W>);

impl<'a, W: Write> Frame<'a, W> {
    fn begin(backend: &'a mut CrosstermBackend<W>) -> io::Result<Self> {
        queue!(backend, BeginSynchronizedUpdate)?;
        Ok(Frame(backend))
    }

    fn end(self) -> io::Result<()> {
        let backend = &mut *self.0;
        queue!(backend, EndSynchronizedUpdate)?;
        Write::flush(backend)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl<W: Write> Drop for Frame<'_, W> {
    fn drop(&mut self) {
        // Only a failed or panicking draw comes here; if this write fails too, the terminal is gone.
        drop(queue!(self.0, EndSynchronizedUpdate).and_then(|()| Write::flush(self.0)));
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn glass(out: &mut Vec<u8>) -> Glass<&mut Vec<u8>> {
        Glass::new(out, Size { columns: 20, rows: 3 }, Colors::Shown)
    }

    fn text(text: &'static str) -> impl FnOnce(Rect, &mut Buffer) {
        move |_, buffer| {
            buffer.set_string(0, 0, text, Style::new().fg(Color::Red));
        }
    }

    fn written(paint: impl FnOnce(&mut Glass<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        paint(&mut glass(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_unchanged_picture_writes_nothing() {
        let once = written(|glass| {
            glass.paint(text("hello")).unwrap();
        });
        let thrice = written(|glass| {
            assert!(glass.paint(text("hello")).unwrap());
            assert!(!glass.paint(text("hello")).unwrap());
            assert!(!glass.paint(text("hello")).unwrap());
        });
        assert_eq!(once, thrice);
    }

    #[test]
    fn a_changed_cell_writes_little_and_whole() {
        let first = written(|glass| {
            glass.paint(text("hello")).unwrap();
        });
        let both = written(|glass| {
            glass.paint(text("hello")).unwrap();
            glass.paint(text("hellO")).unwrap();
        });
        let change = &both[first.len()..];
        assert!(change.starts_with("\x1b[?2026h") && change.ends_with("\x1b[?2026l"), "{change:?}");
        assert!(change.contains('O') && !change.contains("hell"), "{change:?}");
    }

    #[test]
    fn after_a_resize_everything_is_drawn() {
        let all = written(|glass| {
            glass.paint(text("hello")).unwrap();
            glass.resize(Size { columns: 10, rows: 2 });
            glass.paint(text("hello")).unwrap();
        });
        assert_eq!((all.matches("hello").count(), all.matches("\x1b[2J").count()), (2, 2));
    }

    #[test]
    fn without_color_no_color_is_written() {
        let mut out = Vec::new();
        let mut glass = Glass::new(&mut out, Size { columns: 20, rows: 3 }, Colors::Stripped);
        glass.paint(text("hello")).unwrap();
        drop(glass);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("hello") && !out.contains("[38;") && !out.contains("[31"), "{out:?}");
    }

    #[test]
    fn a_yank_passes_through_tmux_and_too_long_a_text_is_refused() {
        let plain = written(|glass| assert_eq!(glass.yank("hi", false).unwrap(), Ok(())));
        assert_eq!(plain, "\x1b]52;c;aGk=\x07");
        let tmux = written(|glass| assert_eq!(glass.yank("hi", true).unwrap(), Ok(())));
        assert_eq!(tmux, "\x1b]52;c;aGk=\x07\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\");
        let long = "x".repeat(CLIPBOARD + 1);
        let refused = written(|glass| {
            assert_eq!(glass.yank(&long, false).unwrap(), Err(TooLong { bytes: CLIPBOARD + 1 }));
        });
        assert_eq!(refused, "");
    }
}
