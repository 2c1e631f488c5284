//! What may differ between the real operator's work and the sandbox's: the lines of `differences.txt`, each with its reason.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::plain::Lines;

const LISTED: &str = include_str!("differences.txt");

/// How the sandbox's work differs from the real one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Missing,
    Extra,
    Other,
}

impl How {
    const ALL: [(How, &'static str); 3] = [(How::Missing, "missing"), (How::Extra, "extra"), (How::Other, "other")];
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub how: How,
    /// Kind, name and path.
    pub place: String,
    /// What both have there.
    pub seen: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = How::ALL.iter().find(|(how, _)| *how == self.how).map_or("", |(_, word)| word);
        write!(out, "{word} {}: {}", self.place, self.seen)
    }
}

/// One line of the file.
#[derive(Debug)]
struct Meant {
    how: How,
    pattern: &'static str,
    /// Whether it shows in each run, not by a race or on some versions alone.
    is_certain: bool,
    is_used: Cell<bool>,
}

/// The file.
#[derive(Debug)]
pub struct Listed(Vec<Meant>);

impl Listed {
    pub fn read() -> Listed {
        let lines = LISTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Listed(lines.map(meant).collect())
    }

    fn is_meant(&self, difference: &Difference) -> bool {
        let mut meant = self.0.iter().filter(|meant| meant.how == difference.how);
        meant.any(|meant| fits(meant.pattern, &difference.place))
    }

    /// Those that are meant by no line.
    pub fn unmeant<'a>(&self, found: &'a [Difference]) -> Vec<&'a Difference> {
        found.iter().filter(|difference| !self.is_meant(difference)).collect()
    }

    /// Marks the lines by which these are meant.
    pub fn mark(&self, found: &[Difference]) {
        for meant in &self.0 {
            let fits = found.iter().any(|found| found.how == meant.how && fits(meant.pattern, &found.place));
            meant.is_used.set(meant.is_used.get() || fits);
        }
    }

    /// Lines that nothing was found for.
    pub fn unused(&self) -> Vec<&str> {
        let unused = self.0.iter().filter(|meant| meant.is_certain && !meant.is_used.get());
        unused.map(|meant| meant.pattern).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// `HOW PLACE: WHY`; a reason that begins with "by race" or "by version" belongs to what is not seen in each run.
fn meant(line: &'static str) -> Meant {
    let parts = || {
        let (word, rest) = line.split_once(' ')?;
        let (pattern, why) = rest.split_once(": ")?;
        let (how, _) = How::ALL.into_iter().find(|(_, known)| *known == word)?;
        (!why.is_empty()).then_some((how, pattern, why))
    };
    let (how, pattern, why) = parts().unwrap_or_else(|| panic!("differences.txt: HOW PLACE: WHY, not {line:?}"));
    Meant {
        how,
        pattern,
        is_certain: !["by race", "by version"].iter().any(|word| why.starts_with(word)),
        is_used: Cell::new(false),
    }
}

/// Whether a text is as a pattern says, where `*` stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(before) else { return false };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| fits(rest, &text[at..]))
}

/// What differs between two sets of things with lines; of a thing that one side lacks its name alone.
pub fn between(real: &BTreeMap<String, Lines>, sandbox: &BTreeMap<String, Lines>) -> Vec<Difference> {
    let titles: BTreeSet<&String> = real.keys().chain(sandbox.keys()).collect();
    let mut found = Vec::new();
    let mut find = |how: How, place: String, seen: String| found.push(Difference { how, place, seen });
    // Nothing told is a word less for each, not a thing that is not there.
    let silence = Lines::new();
    for title in titles {
        let silent = title.starts_with("told/").then_some(&silence);
        let (real, sandbox) = match (real.get(title).or(silent), sandbox.get(title).or(silent)) {
            (Some(real), Some(sandbox)) => (real, sandbox),
            (Some(_), None) => {
                find(How::Missing, title.clone(), "the real operator leaves it".into());
                continue;
            }
            (None, _) => {
                find(How::Extra, title.clone(), "the sandbox leaves it".into());
                continue;
            }
        };
        let paths: BTreeSet<&String> = real.keys().chain(sandbox.keys()).collect();
        for path in paths {
            let place = format!("{title} {path}");
            match (real.get(path), sandbox.get(path)) {
                (Some(real), None) => find(How::Missing, place, real.clone()),
                (None, Some(sandbox)) => find(How::Extra, place, sandbox.clone()),
                (Some(real), Some(sandbox)) if real != sandbox => {
                    find(How::Other, place, format!("really {real}, in the sandbox {sandbox}"));
                }
                (Some(_) | None, _) => {}
            }
        }
    }
    found
}
