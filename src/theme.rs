//! Tones to styles: themes are TOML files that may build on one another. Sixteen colours of the terminal's own palette
//! unless a terminal declares more.

pub mod ascii;
mod read;

use std::collections::BTreeMap;

use ratatui::style::Style;

use crate::present::Tone;

/// How tones look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    pub name: String,
    /// The row under the cursor: patched over the cell's own style.
    pub selected: Style,
    /// The line at the top.
    pub header: Style,
    /// Behind everything.
    ground: Style,
    styles: [Style; TONES.len()],
    /// Draw with ASCII alone.
    pub ascii: bool,
}

/// The tones by the names that theme files give them, in the order of the enum.
pub const TONES: [(&str, Tone); 10] = [
    ("normal", Tone::Normal),
    ("dim", Tone::Dim),
    ("good", Tone::Good),
    ("warn", Tone::Warn),
    ("bad", Tone::Bad),
    ("unknown", Tone::Unknown),
    ("accent", Tone::Accent),
    ("title", Tone::Title),
    ("key", Tone::Key),
    ("border", Tone::Border),
];

/// The themes that pgdeck brings, by name.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("default", include_str!("../themes/default.toml")),
    ("light", include_str!("../themes/light.toml")),
    ("high-contrast", include_str!("../themes/high-contrast.toml")),
    ("colour-blind", include_str!("../themes/colour-blind.toml")),
    ("mono", include_str!("../themes/mono.toml")),
];

/// Which theme is wanted, and what the terminal can show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// A built-in theme, or one of the user's.
    pub name: String,
    /// `NO_COLOR` is set: `mono`, whatever the name.
    pub no_color: bool,
    /// The terminal declares truecolor (`COLORTERM`); else such colours become their nearest of sixteen.
    pub truecolor: bool,
    pub ascii: bool,
}

/// Why a theme cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThemeError {
    #[error("theme {name:?} is not known; there are {known}, or put {name}.toml into the themes folder")]
    NoSuchTheme { name: String, known: String },
    #[error("theme {file}: {place}: {why}")]
    Malformed { file: String, place: String, why: String },
    #[error("theme {file}: inherits: {why}; name another theme there, or leave it out")]
    Inherits { file: String, why: String },
}

impl Theme {
    /// Makes the theme that is wanted of the built-in ones and the user's (name → text of the file).
    pub fn load(wish: &Wish, user: &BTreeMap<String, String>) -> Result<Self, ThemeError> {
        let name = if wish.no_color { "mono" } else { &wish.name };
        let mut theme = read::resolve(name, user)?;
        theme.ascii = wish.ascii;
        if !wish.truecolor {
            theme.each(read::reduced);
        }
        Ok(theme)
    }

    /// The style of a tone.
    pub fn style(&self, tone: Tone) -> Style {
        self.styles[tone as usize]
    }

    /// Behind everything.
    pub fn ground(&self) -> Style {
        self.ground
    }

    /// A mark for a severity or state, fit for the terminal: `unicode` or its ASCII stand-in.
    pub fn glyph(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    /// No style at all: what every theme starts from.
    fn plain(name: &str) -> Self {
        let plain = Style::new();
        Theme {
            name: name.to_owned(),
            selected: plain,
            header: plain,
            ground: plain,
            styles: [plain; TONES.len()],
            ascii: false,
        }
    }

    fn each(&mut self, change: fn(Style) -> Style) {
        let Theme { selected, header, ground, styles, name: _, ascii: _ } = self;
        for style in [selected, header, ground].into_iter().chain(styles) {
            *style = change(*style);
        }
    }
}

impl Default for Theme {
    fn default() -> Self {
        read::resolve("default", &BTreeMap::new()).unwrap_or_else(|_| Theme::plain("default"))
    }
}

#[cfg(test)]
mod tests;
