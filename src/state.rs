//! All that is known: the fleet, and what there is to tell the user.

pub mod notice;

use crate::fleet::Fleet;
use notice::Notices;

/// Everything views project.
#[derive(Debug, Default)]
pub struct State {
    pub fleet: Fleet,
    pub notices: Notices,
    pub settings: Settings,
}

/// What the user chose at start and views need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Draw with ASCII alone.
    pub ascii: bool,
    /// Names of contexts or host clusters that are marked as protected.
    pub protected: Vec<String>,
    /// Columns of the fleet, in order; empty for all.
    pub columns: Vec<String>,
    /// Nothing may be changed.
    pub read_only: bool,
}
