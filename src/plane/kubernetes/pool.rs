//! Strings that many objects share, kept once.

use std::collections::HashSet;

use crate::id::Text;

/// So many are kept at most; beyond that, texts are simply not shared.
const KEPT: usize = 50_000;

/// Shared strings.
#[derive(Debug, Default)]
pub struct Pool(HashSet<Text>);

impl Pool {
    /// The text, shared if it was seen before.
    pub fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new = Text::from(text);
        if self.0.len() < KEPT {
            self.0.insert(new.clone());
        }
        new
    }
}
