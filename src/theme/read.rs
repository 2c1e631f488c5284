//! Theme files: what they may hold, how they build on one another, how a style is written.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use toml::{Table, Value};

use super::{BUILT_IN, TONES, Theme, ThemeError};

/// How many themes may stand on one another.
const DEPTH: usize = 8;

/// Makes a theme of its file and of those it inherits from.
pub(super) fn resolve(name: &str, user: &BTreeMap<String, String>) -> Result<Theme, ThemeError> {
    let mut chain: Vec<(String, Table)> = Vec::new();
    let mut next = Some(name.to_owned());
    while let Some(name) = next {
        if chain.len() == DEPTH || chain.iter().any(|(above, _)| *above == name) {
            let file = chain.pop().map(|(file, _)| file).unwrap_or_default();
            return Err(ThemeError::Inherits { file, why: format!("{name:?} comes round to itself") });
        }
        let text = find(&name, user).map_err(|error| match chain.last() {
            Some((file, _)) => ThemeError::Inherits { file: file.clone(), why: error.to_string() },
            None => error,
        })?;
        let table = parse(&name, text)?;
        next = parent(&name, &table)?;
        chain.push((name, table));
    }
    let mut theme = Theme::plain(name);
    for (file, table) in chain.iter().rev() {
        apply(&mut theme, file, table)?;
    }
    Ok(theme)
}

fn find<'a>(name: &str, user: &'a BTreeMap<String, String>) -> Result<&'a str, ThemeError> {
    let built_in = || BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    user.get(name).map(String::as_str).or_else(built_in).ok_or_else(|| {
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).chain(user.keys().map(String::as_str)).collect();
        ThemeError::NoSuchTheme { name: name.to_owned(), known: known.join(", ") }
    })
}

fn parse(file: &str, text: &str) -> Result<Table, ThemeError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        malformed(file, &format!("line {line}"), &format!("{}; correct the TOML there", error.message()))
    })
}

fn malformed(file: &str, place: &str, why: &str) -> ThemeError {
    ThemeError::Malformed { file: file.into(), place: place.into(), why: why.into() }
}

fn parent(file: &str, table: &Table) -> Result<Option<String>, ThemeError> {
    match table.get("inherits") {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(malformed(file, "inherits", "is no text; write the name of a theme")),
    }
}

fn apply(theme: &mut Theme, file: &str, table: &Table) -> Result<(), ThemeError> {
    for (key, value) in table {
        match (key.as_str(), value) {
            ("doc" | "inherits", Value::String(_)) => {}
            ("tones" | "screen", Value::Table(section)) => {
                for (name, value) in section {
                    let place = format!("{key}.{name}");
                    let style = written(value).map_err(|why| malformed(file, &place, &why))?;
                    *slot(theme, key, name).ok_or_else(|| malformed(file, &place, &unknown_key(key)))? = style;
                }
            }
            _ => {
                let why = "is not known here; a theme holds doc, inherits, [tones] and [screen]";
                return Err(malformed(file, key, why));
            }
        }
    }
    Ok(())
}

fn slot<'a>(theme: &'a mut Theme, section: &str, name: &str) -> Option<&'a mut Style> {
    match (section, name) {
        ("screen", "selected") => Some(&mut theme.selected),
        ("screen", "header") => Some(&mut theme.header),
        ("screen", "ground") => Some(&mut theme.ground),
        ("tones", name) => {
            let (_, tone) = TONES.iter().find(|(known, _)| *known == name)?;
            theme.styles.get_mut(*tone as usize)
        }
        _ => None,
    }
}

fn unknown_key(section: &str) -> String {
    let tones = || TONES.map(|(name, _)| name).join(", ");
    let known = if section == "screen" { "selected, header, ground".to_owned() } else { tones() };
    format!("is not known; [{section}] holds {known}")
}

/// Reads a style: `bold red on bright-black`, `#ff8800`, `plain`.
fn written(value: &Value) -> Result<Style, String> {
    let text = value.as_str().ok_or("is no text; write a style such as \"bold red on black\"")?;
    let mut style = Style::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        style = match word {
            "plain" => Style::new(),
            "on" => style.bg(color(words.next().unwrap_or_default())?),
            "bold" => style.add_modifier(Modifier::BOLD),
            "dim" => style.add_modifier(Modifier::DIM),
            "italic" => style.add_modifier(Modifier::ITALIC),
            "underlined" => style.add_modifier(Modifier::UNDERLINED),
            "reversed" => style.add_modifier(Modifier::REVERSED),
            name => style.fg(color(name)?),
        };
    }
    Ok(style)
}

/// The sixteen colours with what a terminal usually makes of them.
const SIXTEEN: [(&str, Color, (u8, u8, u8)); 16] = [
    ("black", Color::Black, (0, 0, 0)),
    ("red", Color::Red, (205, 0, 0)),
    ("green", Color::Green, (0, 205, 0)),
    ("yellow", Color::Yellow, (205, 205, 0)),
    ("blue", Color::Blue, (0, 0, 238)),
    ("magenta", Color::Magenta, (205, 0, 205)),
    ("cyan", Color::Cyan, (0, 205, 205)),
    ("white", Color::Gray, (229, 229, 229)),
    ("bright-black", Color::DarkGray, (127, 127, 127)),
    ("bright-red", Color::LightRed, (255, 0, 0)),
    ("bright-green", Color::LightGreen, (0, 255, 0)),
    ("bright-yellow", Color::LightYellow, (255, 255, 0)),
    ("bright-blue", Color::LightBlue, (92, 92, 255)),
    ("bright-magenta", Color::LightMagenta, (255, 0, 255)),
    ("bright-cyan", Color::LightCyan, (0, 255, 255)),
    ("bright-white", Color::White, (255, 255, 255)),
];

fn color(name: &str) -> Result<Color, String> {
    let named = || SIXTEEN.iter().find(|(known, ..)| *known == name).map(|(_, color, _)| *color);
    let hex = || {
        let digits = name.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Color::Rgb(red, green, blue))
    };
    let fallback = (name == "default").then_some(Color::Reset);
    named().or_else(hex).or(fallback).ok_or_else(|| {
        let known = SIXTEEN.map(|(name, ..)| name).join(", ");
        format!(
            "{name:?} is neither a colour nor an attribute; write default, #rrggbb, bold, dim, italic, underlined, \
             reversed, on COLOUR, or one of {known}"
        )
    })
}

/// The style with its nearest of sixteen colours.
pub(super) fn reduced(mut style: Style) -> Style {
    style.fg = style.fg.map(nearest);
    style.bg = style.bg.map(nearest);
    style
}

fn nearest(color: Color) -> Color {
    let Color::Rgb(red, green, blue) = color else { return color };
    let part = |one: u8, other: u8| u32::from(one.abs_diff(other)).pow(2);
    let distance = |(r, g, b): (u8, u8, u8)| part(red, r) + part(green, g) + part(blue, b);
    SIXTEEN.iter().min_by_key(|(_, _, usual)| distance(*usual)).map_or(color, |(_, color, _)| *color)
}
