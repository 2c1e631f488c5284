use ratatui::style::{Color, Modifier};

use super::*;

fn load(files: &[(&str, &str)], name: &str) -> Result<Theme, ThemeError> {
    let user = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Theme::load(&Wish { name: name.into(), ..Wish::default() }, &user)
}

fn refused(text: &str) -> String {
    load(&[("mine", text)], "mine").unwrap_err().to_string()
}

#[test]
fn the_names_of_tones_stand_in_the_order_of_the_tones() {
    for (idx, (name, tone)) in TONES.iter().enumerate() {
        assert_eq!(*tone as usize, idx, "{name}");
    }
}

#[test]
fn every_theme_we_bring_can_be_read_and_uses_sixteen_colours_alone() {
    for (name, text) in BUILT_IN {
        let wish = Wish { name: name.into(), truecolor: true, ..Wish::default() };
        let full = Theme::load(&wish, &BTreeMap::new()).unwrap();
        let reduced = load(&[], name).unwrap();
        assert_eq!(full, reduced, "{name}");
        assert!(text.contains("doc = "), "{name} says what it is for");
        assert_ne!(full.selected, Style::new(), "{name}: the selected row stands out");
    }
}

#[test]
fn mono_and_no_color_have_no_colour_at_all() {
    let wish = Wish { name: "default".into(), no_color: true, ..Wish::default() };
    let theme = Theme::load(&wish, &BTreeMap::new()).unwrap();
    let styles = TONES.map(|(_, tone)| theme.style(tone));
    for style in styles.into_iter().chain([theme.selected, theme.header, theme.ground()]) {
        assert_eq!((style.fg, style.bg), (None, None));
    }
}

#[test]
fn a_theme_builds_on_another_and_changes_what_it_names() {
    let theme = load(&[("mine", "inherits = \"default\"\n[tones]\nwarn = \"bold blue on black\"")], "mine").unwrap();
    let expected = Style::new().fg(Color::Blue).bg(Color::Black).add_modifier(Modifier::BOLD);
    assert_eq!(theme.style(Tone::Warn), expected);
    assert_eq!(theme.style(Tone::Bad), Theme::default().style(Tone::Bad));
}

#[test]
fn truecolor_becomes_its_nearest_of_sixteen_unless_declared() {
    let user = BTreeMap::from([("mine".to_owned(), "[tones]\nbad = \"#fa0a05\"".to_owned())]);
    let mut wish = Wish { name: "mine".into(), ..Wish::default() };
    assert_eq!(Theme::load(&wish, &user).unwrap().style(Tone::Bad).fg, Some(Color::LightRed));
    wish.truecolor = true;
    assert_eq!(Theme::load(&wish, &user).unwrap().style(Tone::Bad).fg, Some(Color::Rgb(250, 10, 5)));
}

#[test]
fn errors_name_the_file_the_key_and_what_to_do() {
    let cases = [
        ("[tones]\nwran = \"red\"", "theme mine: tones.wran: is not known; [tones] holds normal, dim"),
        ("[tones]\nwarn = \"rde\"", "theme mine: tones.warn: \"rde\" is neither a colour nor an attribute; write"),
        ("[tones]\nwarn = 3", "theme mine: tones.warn: is no text; write a style"),
        ("colors = 1", "theme mine: colors: is not known here; a theme holds doc, inherits"),
        ("[tones\n", "theme mine: line 1: "),
        ("inherits = \"mine\"", "theme mine: inherits: \"mine\" comes round to itself; name another"),
        ("inherits = \"gone\"", "theme mine: inherits: theme \"gone\" is not known"),
    ];
    for (text, expected) in cases {
        assert!(refused(text).starts_with(expected), "{text}: {}", refused(text));
    }
    assert!(load(&[], "neon").unwrap_err().to_string().contains("there are default, light, high-contrast"));
}
