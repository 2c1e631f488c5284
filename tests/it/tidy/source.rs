//! Rust source as the tidy checks read it: lines of code without tests, functions, named modules.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file under `src/`.
#[derive(Debug)]
pub struct Source {
    /// Relative to the repository, as in `src/fleet/health.rs`.
    pub path: String,
    lines: Vec<(usize, String)>,
}

/// A function with its length, signature and braces included.
#[derive(Debug)]
pub struct Function {
    pub line: usize,
    pub name: String,
    pub lines: usize,
}

impl Source {
    /// Reads a file; inline test modules and whole test files count as nothing.
    pub fn new(path: &Path, text: &str) -> Self {
        let path = path.to_string_lossy().replace('\\', "/");
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let lines = if is_test { Vec::new() } else { without_tests(text) };
        Source { path, lines }
    }

    /// The top-level module: `fleet` for `src/fleet/health.rs`.
    pub fn module(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap_or(&self.path);
        rest.split('/').next().unwrap_or(rest).trim_end_matches(".rs")
    }

    /// Lines that hold code, with their numbers: no blank lines, no comments.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = |text: &&(usize, String)| !text.1.trim().is_empty() && !text.1.trim_start().starts_with("//");
        self.lines.iter().filter(code).map(|(number, text)| (*number, without_comment(text)))
    }

    /// Modules named by `crate::…`, with the line.
    pub fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        for (number, text) in self.code_lines() {
            for (at, _) in text.match_indices("crate::") {
                let rest = &text[at + "crate::".len()..];
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some(rest) = rest.strip_prefix('{') {
                    let inside = rest.split('}').next().unwrap_or("");
                    named.extend(inside.split(',').map(|part| (number, first_word(part))));
                } else if !name.is_empty() {
                    named.push((number, name));
                }
            }
        }
        named.retain(|(_, name)| name.chars().next().is_some_and(char::is_lowercase));
        named
    }

    /// Functions, by the indentation of their closing brace: the code is formatted.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (idx, (number, text)) in self.lines.iter().enumerate() {
            let Some(name) = function_name(text) else { continue };
            let indent = text.len() - text.trim_start().len();
            let closing = format!("{}}}", " ".repeat(indent));
            let ends =
                |line: &(usize, String)| line.1.trim_end() == closing || line.1.trim_end() == format!("{closing},");
            if text.trim_end().ends_with(['}', ';']) {
                continue;
            }
            if let Some(length) = self.lines[idx..].iter().position(ends) {
                functions.push(Function { line: *number, name, lines: length + 1 });
            }
        }
        functions
    }
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    loop {
        let before = rest;
        for word in ["pub ", "pub(super) ", "pub(crate) ", "const ", "async "] {
            rest = rest.strip_prefix(word).unwrap_or(rest);
        }
        if rest == before {
            break;
        }
    }
    rest.strip_prefix("fn ").map(first_word)
}

fn without_comment(text: &str) -> &str {
    // A `//` inside of a string literal (an address) is no comment: only one after a space is cut.
    text.find(" // ").map_or(text, |at| &text[..at])
}

/// Lines up to `#[cfg(test)]`-marked inline modules, which run to a closing brace in the first column.
fn without_tests(text: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        if line.starts_with("#[cfg(test)]") {
            let one_line = lines.peek().is_some_and(|(_, next)| next.trim_end().ends_with([';', '}']));
            if one_line {
                lines.next();
            } else {
                lines.by_ref().find(|(_, line)| line.starts_with('}'));
            }
            continue;
        }
        kept.push((number, line.to_owned()));
    }
    kept
}

/// All sources under `src/`.
pub fn sources(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    assert!(files.len() > 10, "no sources found under {}", root.display());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        Source::new(path.strip_prefix(root).unwrap(), &text)
    };
    files.into_iter().map(read).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every file that git tracks; without git, every source.
pub fn tracked(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    match listed {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)).collect()
        }
        Ok(_) | Err(_) => {
            let mut files = Vec::new();
            walk(&root.join("src"), &mut files);
            files
        }
    }
}
