//! The README's tables come from the registries. `PGDECK_BLESS=1` writes them.

use super::root;

/// A table: its marker, and how it reads now.
type Table = (&'static str, fn() -> String);

const TABLES: &[Table] = &[
    ("views", pgdeck::view::table),
    ("keys", pgdeck::action::table),
    ("operations", pgdeck::operation::table),
    ("columns", pgdeck::present::columns::table),
    ("verdicts", pgdeck::fleet::health::table),
    ("metrics", pgdeck::metric::table),
];

/// The text with what stands between the markers of each table replaced; a missing marker is an error that names it.
fn filled(text: &str, tables: &[Table]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (name, table) in tables {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let begin = text.find(&open).ok_or_else(|| format!("README.md has no {open}"))? + open.len();
        let length = text[begin..].find(&close).ok_or_else(|| format!("README.md has no {close}"))?;
        text.replace_range(begin..begin + length, &format!("{}\n", table().trim_end()));
    }
    Ok(text)
}

#[test]
fn the_readmes_tables_are_fresh() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let fresh = filled(&text, TABLES).unwrap();
    if std::env::var_os("PGDECK_BLESS").is_some() {
        std::fs::write(&path, fresh).unwrap();
        return;
    }
    let stale = text.lines().zip(fresh.lines()).find(|(is, should)| is != should);
    assert!(text == fresh, "README.md is stale (PGDECK_BLESS=1 cargo test --test it tidy writes it): {stale:?}");
}

#[test]
fn a_stale_table_and_a_missing_marker_are_seen() {
    let table: &[Table] = &[("keys", || "| new |\n".to_owned())];
    let stale = "a\n<!-- keys -->\n| old |\n<!-- /keys -->\nb\n";
    assert_eq!(filled(stale, table).unwrap(), "a\n<!-- keys -->\n| new |\n<!-- /keys -->\nb\n");
    assert!(filled("a\n<!-- keys -->\n", table).is_err());
    assert!(filled("a\n", table).is_err());
}
