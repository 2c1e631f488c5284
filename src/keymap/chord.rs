//! One press of a key with its modifiers, and how it is written.

use std::fmt;
use std::str::FromStr;

/// A key, without modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    Char(char),
    Enter,
    Esc,
    Tab,
    Backspace,
    Delete,
    Insert,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
}

/// A key with its modifiers. A letter's case carries shift; `shift` is set for other keys alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chord {
    pub code: Code,
    pub ctrl: bool,
    pub alt: bool,
    pub shift: bool,
}

impl Chord {
    /// The key alone.
    pub const fn plain(code: Code) -> Self {
        Chord { code, ctrl: false, alt: false, shift: false }
    }

    /// The key with ctrl.
    pub const fn ctrl(code: Code) -> Self {
        Chord { code, ctrl: true, alt: false, shift: false }
    }

    /// The character it types into a text field, if it does.
    pub fn typed(self) -> Option<char> {
        match self.code {
            Code::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }
}

const NAMES: &[(&str, Code)] = &[
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("backspace", Code::Backspace),
    ("delete", Code::Delete),
    ("insert", Code::Insert),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("home", Code::Home),
    ("end", Code::End),
    ("pageup", Code::PageUp),
    ("pagedown", Code::PageDown),
    ("space", Code::Char(' ')),
];

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, name) in [(self.ctrl, "ctrl-"), (self.alt, "alt-"), (self.shift, "shift-")] {
            if held {
                f.write_str(name)?;
            }
        }
        match (NAMES.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Code::Char(c)) => write!(f, "{c}"),
            (None, Code::F(n)) => write!(f, "f{n}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

/// The text names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a key: write a character, a name such as enter, esc, pageup or f5, with ctrl-, alt- or shift- before it"
)]
pub struct NotAKey(pub String);

impl FromStr for Chord {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut chord = Chord::plain(Code::Esc);
        let mut rest = text;
        loop {
            let (flag, after) = match rest {
                _ if rest.len() > 5 && rest.starts_with("ctrl-") => (&mut chord.ctrl, &rest[5..]),
                _ if rest.len() > 4 && rest.starts_with("alt-") => (&mut chord.alt, &rest[4..]),
                _ if rest.len() > 6 && rest.starts_with("shift-") => (&mut chord.shift, &rest[6..]),
                _ => break,
            };
            *flag = true;
            rest = after;
        }
        let function = || rest.strip_prefix('f')?.parse::<u8>().ok().filter(|n| (1..=24).contains(n)).map(Code::F);
        let single = || {
            let mut chars = rest.chars();
            chars.next().filter(|_| chars.next().is_none()).map(Code::Char)
        };
        let named = NAMES.iter().find(|(name, _)| *name == rest).map(|(_, code)| *code);
        chord.code = named.or_else(single).or_else(function).ok_or_else(|| NotAKey(text.into()))?;
        Ok(chord)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_they_are_written() {
        for text in ["a", "G", "ctrl-d", "esc", "shift-tab", "f5", "alt-ctrl-x", "space", "?", ":", "-", "ctrl--"] {
            let chord: Chord = text.parse().unwrap();
            assert_eq!(chord.to_string().parse::<Chord>().unwrap(), chord, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "ctrl-", "escape", "f99", "meta-x"] {
            assert!(text.parse::<Chord>().is_err(), "{text}");
        }
    }
}
