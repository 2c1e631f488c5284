//! Keys to actions: the defaults of the registry, overridden by the configuration. Clashes are errors at start.

pub mod chord;

use std::collections::BTreeMap;

use crate::action::{ACTIONS, Action, Scope, ViewId};
use chord::{Chord, NotAKey};

/// Which keys do what, by scope.
#[derive(Debug)]
pub struct Keymap {
    bindings: BTreeMap<Scope, BTreeMap<Vec<Chord>, &'static Action>>,
    keys: BTreeMap<&'static str, Vec<Vec<Chord>>>,
}

/// What keys typed so far mean.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// They do this.
    Does(&'static Action),
    /// More keys are needed.
    Begun,
    /// Nothing.
    Nothing,
}

/// Why a keymap cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    #[error("keys.{action}: no such action; `pgdeck` help (?) lists them")]
    NoSuchAction { action: String },
    #[error("keys.{action}: {source}")]
    NotAKey { action: String, source: NotAKey },
    #[error("key {key:?} means both {one} and {other}; give one of them another key under [keys]")]
    Clash { key: String, one: &'static str, other: &'static str },
}

impl Keymap {
    /// The defaults with `overrides` (action id → keys) in their place; all problems at once.
    pub fn new(overrides: &BTreeMap<String, Vec<String>>) -> Result<Self, Vec<KeymapError>> {
        let mut problems: Vec<_> = overrides
            .keys()
            .filter(|id| crate::action::action(id).is_none())
            .map(|id| KeymapError::NoSuchAction { action: id.clone() })
            .collect();
        let mut keymap = Keymap { bindings: BTreeMap::new(), keys: BTreeMap::new() };
        for action in ACTIONS {
            let written: Vec<&str> = match overrides.get(action.id) {
                Some(keys) => keys.iter().map(String::as_str).collect(),
                None => action.keys.to_vec(),
            };
            for text in written {
                match sequence(text) {
                    Ok(keys) => keymap.bind(action, keys, &mut problems),
                    Err(source) => problems.push(KeymapError::NotAKey { action: action.id.into(), source }),
                }
            }
        }
        if problems.is_empty() { Ok(keymap) } else { Err(problems) }
    }

    fn bind(&mut self, action: &'static Action, keys: Vec<Chord>, problems: &mut Vec<KeymapError>) {
        let overlaps = |bound: &[Chord]| bound.starts_with(&keys) || keys.starts_with(bound);
        for (scope, bound) in &self.bindings {
            if !meet(*scope, action.on) {
                continue;
            }
            if let Some((_, other)) = bound.iter().find(|(bound, other)| overlaps(bound) && other.id != action.id) {
                problems.push(KeymapError::Clash { key: spelled(&keys), one: other.id, other: action.id });
                return;
            }
        }
        self.keys.entry(action.id).or_default().push(keys.clone());
        self.bindings.entry(action.on).or_default().insert(keys, action);
    }

    /// What the keys mean in a view.
    pub fn meaning(&self, view: ViewId, typed: &[Chord]) -> Meaning {
        let tables = || self.bindings.iter().filter(|(scope, _)| scope.holds_in(view)).map(|(_, bound)| bound);
        if let Some(action) = tables().find_map(|table| table.get(typed)) {
            return Meaning::Does(action);
        }
        let begun = tables().any(|table| table.keys().any(|keys| keys.len() > typed.len() && keys.starts_with(typed)));
        if begun { Meaning::Begun } else { Meaning::Nothing }
    }

    /// The keys of an action, as they are written: `ctrl-d`, `g g`.
    pub fn spelled(&self, action: &str) -> Vec<String> {
        self.keys.get(action).map(|all| all.iter().map(|keys| spelled(keys)).collect()).unwrap_or_default()
    }
}

fn sequence(text: &str) -> Result<Vec<Chord>, NotAKey> {
    let chords: Result<Vec<Chord>, _> = text.split_whitespace().map(str::parse).collect();
    chords.and_then(|chords| if chords.is_empty() { Err(NotAKey(text.into())) } else { Ok(chords) })
}

fn spelled(keys: &[Chord]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Whether two scopes can be active at once.
fn meet(one: Scope, other: Scope) -> bool {
    match (one, other) {
        (Scope::In(one), Scope::In(other)) => one.iter().any(|view| other.contains(view)),
        (Scope::Everywhere | Scope::Rows, _) | (_, Scope::Everywhere | Scope::Rows) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_do_not_clash_and_no_ctrl_key_changes_anything() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        assert_eq!(keymap.spelled("top"), ["home", "g g"]);
    }

    #[test]
    fn a_sequence_is_begun_then_does() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let g = "g".parse().unwrap();
        assert!(matches!(keymap.meaning(ViewId::Fleet, &[g]), Meaning::Begun));
        assert!(matches!(keymap.meaning(ViewId::Fleet, &[g, g]), Meaning::Does(action) if action.id == "top"));
        assert!(matches!(keymap.meaning(ViewId::Fleet, &["Z".parse().unwrap()]), Meaning::Nothing));
    }

    #[test]
    fn a_clash_names_the_key_and_both_actions() {
        let overrides = BTreeMap::from([("help".to_owned(), vec!["j".to_owned()])]);
        let problems = Keymap::new(&overrides).unwrap_err();
        assert_eq!(problems, [KeymapError::Clash { key: "j".into(), one: "down", other: "help" }]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let overrides = BTreeMap::from([
            ("frobnicate".to_owned(), vec!["x".to_owned()]),
            ("up".to_owned(), vec!["nokey".to_owned()]),
        ]);
        assert_eq!(Keymap::new(&overrides).unwrap_err().len(), 2);
    }
}
