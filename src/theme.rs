//! Tones to styles. Sixteen colours from the terminal's own palette by default.

use ratatui::style::{Color, Modifier, Style};

use crate::present::Tone;

/// How tones look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    pub name: String,
    /// The row under the cursor: patched over the cell's own style.
    pub selected: Style,
    /// The line at the top.
    pub header: Style,
    styles: [Style; 10],
    /// Draw with ASCII alone.
    pub ascii: bool,
}

impl Theme {
    /// The style of a tone.
    pub fn style(&self, tone: Tone) -> Style {
        self.styles[tone as usize]
    }

    /// A mark for a severity or state, fit for the terminal: `unicode` or its ASCII stand-in.
    pub fn glyph(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }
}

impl Default for Theme {
    fn default() -> Self {
        let plain = Style::new();
        let mut styles = [plain; 10];
        let mut set = |tone: Tone, style: Style| styles[tone as usize] = style;
        set(Tone::Dim, plain.add_modifier(Modifier::DIM));
        set(Tone::Good, plain.fg(Color::Green));
        set(Tone::Warn, plain.fg(Color::Yellow));
        set(Tone::Bad, plain.fg(Color::Red).add_modifier(Modifier::BOLD));
        set(Tone::Unknown, plain.fg(Color::Magenta));
        set(Tone::Accent, plain.add_modifier(Modifier::BOLD));
        set(Tone::Title, plain.fg(Color::Cyan).add_modifier(Modifier::BOLD));
        set(Tone::Key, plain.fg(Color::Cyan));
        set(Tone::Border, plain.add_modifier(Modifier::DIM));
        Theme {
            name: "default".into(),
            selected: plain.add_modifier(Modifier::REVERSED),
            header: plain.add_modifier(Modifier::BOLD),
            styles,
            ascii: false,
        }
    }
}
