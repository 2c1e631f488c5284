//! The shape of the code, checked: who imports whom, how long files and functions are, where clocks and prints stand.
//!
//! Each check is a function from source text to complaints, tried on small bad inputs below, then run on the tree.

mod source;
mod tables;

use std::path::{Path, PathBuf};

use source::{Source, sources};

/// The layers of `src/`, nouns first. A module may name modules of earlier layers, and earlier ones of its own line.
const ORDER: &[&[&str]] = &[
    &["fault", "id", "metric", "fleet", "work"],
    &["run", "operation", "migration", "diagnosis", "state", "action", "keymap"],
    &["present", "theme", "widget", "view", "screen", "app"],
];
/// They see nouns, and each other through their doors; never machines or faces.
const WORLD: &[&str] = &["plane", "pg", "journal", "term", "sandbox"];
/// What pure modules never name.
const IMPURE: &[&str] = &[
    "tokio::",
    "kube::",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Timestamp::now",
    "SystemTime",
    "Instant::now",
    "Zoned::now",
];
/// Where a terminal library may be named.
const DRAWING: &[&str] = &["theme", "widget", "view", "screen", "app", "head", "term"];

/// No file is longer than this without its tests.
const FILE_LINES: usize = 400;
/// No function is longer than this.
const FUNCTION_LINES: usize = 70;

fn rank(module: &str) -> Option<(usize, usize)> {
    ORDER.iter().enumerate().find_map(|(layer, row)| Some((layer, row.iter().position(|name| *name == module)?)))
}

/// Imports against the order of the layers.
fn imports(source: &Source) -> Vec<String> {
    let own = source.module();
    let named = source.crate_paths();
    let bad = |target: &str| -> Option<&'static str> {
        if own == target {
            return None;
        }
        if let (Some(mine), Some(theirs)) = (rank(own), rank(target)) {
            return (theirs > mine)
                .then_some("imports run leftward: fault < id < metric < fleet < work < machines < faces");
        }
        if rank(own).is_some() {
            return Some("pure modules never see the world or the edges");
        }
        if WORLD.contains(&own) {
            let allowed = rank(target).is_some_and(|(layer, _)| layer == 0) || WORLD.contains(&target);
            return (!allowed).then_some("the world sees nouns and its own doors alone");
        }
        (own == "head" && WORLD.contains(&target) && target != "term")
            .then_some("heads reach the world through the runtime")
    };
    let complaints = named.iter().filter_map(|(line, target)| Some((line, target, bad(target)?)));
    complaints.map(|(line, target, why)| format!("{}:{line}: {own} names {target}: {why}", source.path)).collect()
}

/// Clocks, networks and terminals in pure code; clocks anywhere but in the runtime's own.
fn purity(source: &Source) -> Vec<String> {
    let own = source.module();
    let pure = rank(own).is_some();
    let mut complaints = Vec::new();
    for (line, text) in source.code_lines() {
        let mut complain = |what: &str, why: &str| complaints.push(format!("{}:{line}: {what}: {why}", source.path));
        for word in IMPURE.iter().filter(|word| pure && text.contains(**word)) {
            complain(word, "pure modules neither wait, nor read a clock, nor reach out");
        }
        let clock = ["Timestamp::now", "Zoned::now", "SystemTime::now"].iter().any(|word| text.contains(word));
        let sandbox_or_clock = own == "sandbox" || source.path == "src/runtime/clock.rs";
        if !pure && clock && !sandbox_or_clock {
            complain("a clock", "only runtime/clock.rs reads it; others are given it");
        }
        if text.contains("ratatui::") && !DRAWING.contains(&own) {
            complain("ratatui", "only faces draw");
        }
        let terminal = matches!(source.path.as_str(), "src/term.rs" | "src/head/tui.rs")
            || source.path.starts_with("src/head/tui/");
        if text.contains("crossterm::") && !terminal {
            complain("crossterm", "only head::tui and term speak to the terminal");
        }
    }
    complaints
}

/// Files and functions that do not fit in a head.
fn size(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = source.code_lines().count();
    if lines > FILE_LINES {
        complaints.push(format!(
            "{}: {lines} lines of code; at most {FILE_LINES} without tests: split it by noun",
            source.path
        ));
    }
    for function in source.functions() {
        if function.lines > FUNCTION_LINES {
            let (line, name, lines) = (function.line, &function.name, function.lines);
            complaints.push(format!("{}:{line}: {name} has {lines} lines; at most {FUNCTION_LINES}", source.path));
        }
    }
    complaints
}

/// Prints outside of heads and main, unfinished work, lints switched off without a reason.
fn manners(source: &Source) -> Vec<String> {
    let may_print = matches!(source.module(), "head" | "main" | "sandbox");
    let mut complaints = Vec::new();
    for (line, text) in source.code_lines() {
        let mut complain = |what: &str| complaints.push(format!("{}:{line}: {what}", source.path));
        if ["println!", "eprintln!", "print!(", "eprint!("].iter().any(|word| text.contains(word)) && !may_print {
            complain("prints: only heads and main speak to the user");
        }
        if ["todo!(", "unimplemented!(", "dbg!("].iter().any(|word| text.contains(word)) {
            complain("unfinished");
        }
    }
    complaints
}

/// The code map in lib.rs names every top-level module, and nothing else.
fn code_map(lib: &str) -> Vec<String> {
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mapped = |module: &str| lib.lines().any(|line| line.trim_start().starts_with(&format!("//! - [`{module}`]")));
    let missing = modules.filter(|module| !mapped(module));
    missing.map(|module| format!("src/lib.rs: the code map has no line `//! - [`{module}`]: …`")).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn check_tree(check: impl Fn(&Source) -> Vec<String>) {
    let complaints: Vec<String> = sources(&root()).iter().flat_map(check).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_run_along_the_layers() {
    check_tree(imports);
}

#[test]
fn pure_modules_are_pure() {
    check_tree(purity);
}

#[test]
fn files_and_functions_fit_in_a_head() {
    check_tree(size);
}

#[test]
fn only_heads_print_and_nothing_is_unfinished() {
    check_tree(manners);
}

#[test]
fn the_code_map_is_complete() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert_eq!(code_map(&lib), Vec::<String>::new());
}

#[test]
fn no_file_names_a_developers_machine() {
    let mut complaints = Vec::new();
    for path in source::tracked(&root()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            if [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")]
                .iter()
                .any(|word| line.contains(word))
            {
                complaints.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Each check complains about bad code and lets good code pass.
mod checks {
    use super::*;

    fn check(check: impl Fn(&Source) -> Vec<String>, path: &str, code: &str, expected: Option<&str>) {
        let complaints = check(&Source::new(Path::new(path), code));
        match expected {
            Some(part) => assert!(complaints.iter().any(|said| said.contains(part)), "{path} {code}: {complaints:?}"),
            None => assert_eq!(complaints, Vec::<String>::new(), "{path} {code}"),
        }
    }

    #[test]
    fn an_import_against_the_order_is_seen() {
        check(imports, "src/fleet/x.rs", "use crate::view::View;", Some("leftward"));
        check(imports, "src/metric/x.rs", "use crate::fleet::Fleet;", Some("leftward"));
        check(imports, "src/app/x.rs", "use crate::plane::Plane;", Some("never see the world"));
        check(imports, "src/plane/x.rs", "fn f() { crate::state::State::default(); }", Some("the world sees nouns"));
        check(imports, "src/plane/x.rs", "use crate::fleet::Fleet;\nuse crate::pg::Reached;", None);
        check(imports, "src/head/x.rs", "use crate::pg::Session;", Some("through the runtime"));
        check(imports, "src/view/x.rs", "use crate::fleet::Fleet; // crate::plane", None);
        check(imports, "src/view/x.rs", "#[cfg(test)]\nmod tests { use crate::plane::Plane; }", None);
    }

    #[test]
    fn impurity_is_seen() {
        check(purity, "src/fleet/x.rs", "let now = Timestamp::now();", Some("neither wait"));
        check(purity, "src/plane/x.rs", "let now = Timestamp::now();", Some("a clock"));
        check(purity, "src/runtime/clock.rs", "let now = Timestamp::now();", None);
        check(purity, "src/fleet/x.rs", "use ratatui::style::Style;", Some("only faces draw"));
        check(purity, "src/view/x.rs", "use crossterm::event;", Some("only head::tui"));
    }

    #[test]
    fn size_and_manners_are_seen() {
        let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES));
        check(size, "src/view/x.rs", &long, Some("f has 72 lines"));
        check(size, "src/view/x.rs", &"use a;\n".repeat(FILE_LINES + 1), Some("401 lines of code"));
        check(manners, "src/view/x.rs", "println!(\"x\");", Some("only heads"));
        check(manners, "src/head/x.rs", "println!(\"x\");", None);
        check(manners, "src/view/x.rs", "todo!()", Some("unfinished"));
    }

    #[test]
    fn a_module_missing_in_the_map_is_seen() {
        assert_eq!(code_map("//! - [`fault`]: x\npub mod fault;\n"), Vec::<String>::new());
        assert_eq!(code_map("pub mod fault;\n").len(), 1);
    }
}
