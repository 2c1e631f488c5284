//! The stack of views, a dialog on top, and the keys typed so far.

use crate::keymap::chord::Chord;
use crate::view::View;

/// What is on the glass.
#[derive(Debug)]
pub struct Screen {
    /// Never empty; the last is on top.
    pub views: Vec<Box<dyn View>>,
    pub dialog: Option<Dialog>,
    /// A sequence that has begun.
    pub typed: Vec<Chord>,
}

/// Something that takes the keys before the view does.
#[derive(Debug)]
pub enum Dialog {
    /// One line of text; what for is in `purpose`.
    Filter { text: String, error: Option<String> },
}

impl Screen {
    /// A screen with that view at the bottom.
    pub fn new(first: Box<dyn View>) -> Self {
        Screen { views: vec![first], dialog: None, typed: Vec::new() }
    }
}
