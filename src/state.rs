//! All that is known: the fleet, and what there is to tell the user.

pub mod ledger;
pub mod notice;
pub mod rights;

use crate::fleet::Fleet;
use crate::id::Text;
use ledger::Ledger;
use notice::Notices;
use rights::Rights;

/// Everything views project.
#[derive(Debug, Default)]
pub struct State {
    pub fleet: Fleet,
    pub notices: Notices,
    pub ledger: Ledger,
    pub rights: Rights,
    pub settings: Settings,
}

/// What the user chose at start and views need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Draw with ASCII alone.
    pub ascii: bool,
    /// Names of contexts or host clusters that are marked as protected.
    pub protected: Vec<String>,
    /// Columns of the fleet, in order; empty for all.
    pub columns: Vec<String>,
    /// Nothing may be changed.
    pub read_only: bool,
    /// How long arming lasts, in minutes.
    pub armed_min: u32,
    /// The key that arms, as it is written.
    pub arm_key: Text,
    /// The kubeconfig, where one was named: commands by hand need it too.
    pub kubeconfig: Option<Text>,
    /// The user of the operating system, for the journal.
    pub who: Text,
    /// This pgdeck's process id: whose orders they are, where several run.
    pub process: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let (protected, columns) = (Vec::new(), Vec::new());
        let (read_only, armed_min, process) = (false, 15, 0);
        Settings {
            ascii: false,
            protected,
            columns,
            read_only,
            armed_min,
            arm_key: "W".into(),
            kubeconfig: None,
            who: "".into(),
            process,
        }
    }
}
