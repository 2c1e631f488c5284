//! How a fact reads, before colour: cells, tones, and the one gate that outside text passes on its way to the screen.

pub mod activity;
pub mod cluster;
pub mod columns;
pub mod format;
pub mod instance;
pub mod known;
pub mod page;
pub mod sources;
pub mod spark;
pub mod status;
pub mod timeline;
pub mod topology;
pub mod yaml;

use std::borrow::Cow;

use serde_json::Value;

/// What a piece of text means; themes turn it into a style. A tone never carries meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tone {
    Normal,
    /// Stale, secondary, or decoration.
    Dim,
    Good,
    Warn,
    Bad,
    Unknown,
    /// Names and what the cursor is on.
    Accent,
    Title,
    /// A key in a hint.
    Key,
    /// A frame around something.
    Border,
}

/// Which side a column holds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Which end of a text that does not fit is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Start,
    End,
}

/// One cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Already cleaned.
    pub text: Cow<'static, str>,
    pub tone: Tone,
}

impl Cell {
    /// Our own text in that tone.
    pub fn new(text: &'static str, tone: Tone) -> Self {
        Cell { text: Cow::Borrowed(text), tone }
    }

    /// Text made of numbers and our own words.
    pub fn own(text: String, tone: Tone) -> Self {
        Cell { text: Cow::Owned(text), tone }
    }

    /// Text from outside, cleaned.
    pub fn outside(text: &str, tone: Tone) -> Self {
        Cell { text: Cow::Owned(clean(text).into_owned()), tone }
    }

    /// Nothing is known: `–`.
    pub fn unknown() -> Self {
        Cell::new("–", Tone::Unknown)
    }
}

/// Makes text from outside fit for a terminal: control characters (C0, DEL, C1), line and paragraph separators, and
/// bidirectional overrides become `·`; tabs become a space. Everything from outside passes here before it is drawn or printed.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unfit) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if is_unfit(c) {
                    '·'
                } else {
                    c
                }
            })
            .collect(),
    )
}

/// Makes JSON fit for a terminal: what [`clean`] would replace, but line feeds, is escaped as JSON escapes it.
pub fn escaped(json: &str) -> Cow<'_, str> {
    let strange = |c: char| is_unfit(c) && c != '\n';
    if !json.chars().any(strange) {
        return Cow::Borrowed(json);
    }
    let escape = |c: char| if strange(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(json.chars().map(escape).collect())
}

/// Cleans every text in a value, for forms that have no escapes of their own.
pub fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(cleaned).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (clean(&name).into_owned(), cleaned(value))).collect())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => value,
    }
}

fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_passes() {
        let hostile = "a\u{1b}]52;c;aGk=\u{7}b\u{9b}31mc\r\nd\te\u{202e}f";
        assert_eq!(clean(hostile), "a·]52;c;aGk=·b·31mc··d e·f");
        assert!(matches!(clean("acid-shop ü 数"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_is_escaped_where_a_terminal_would_listen() {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "name": "a\u{1b}[2J\u{9b}2J\u{202e}" })).unwrap();
        let escaped = escaped(&text);
        assert_eq!(escaped, "{\n  \"name\": \"a\\u001b[2J\\u009b2J\\u202e\"\n}");
        let cleaned = cleaned(serde_json::json!({ "a": ["b\u{9b}"] }));
        assert_eq!(cleaned, serde_json::json!({ "a": ["b·"] }));
    }
}
