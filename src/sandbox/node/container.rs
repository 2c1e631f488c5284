//! What runs in a member's container: as whom, where, and with which environment.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{member, volume};
use crate::sandbox::process::{Ledger, Toolbox};

/// The machine whose processes stand for containers.
#[derive(Debug, Clone)]
pub struct Host {
    pub tools: Toolbox,
    /// Where the members' folders are.
    pub base: PathBuf,
}

impl Host {
    /// A command of the container whose volume is `home`.
    pub fn command(&self, home: &Path, program: &Path) -> Command {
        let mut command = self.tools.command(program, home);
        command.env("PATH", self.tools.path(&[&volume::stand_ins(&self.base)]));
        command.env("KUBECONFIG", home.join("kubeconfig"));
        command.env("WALG_FILE_PREFIX", home.join("archive"));
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// A command that somebody runs in a member's container; none if the member does not run here.
    ///
    /// libpq and `patronictl` find the member's own server and configuration, as they do in Spilo.
    pub fn exec(&self, (namespace, name): (&str, &str), address: &str, argv: &[&str]) -> Option<Command> {
        let home = member::folder(&self.base, namespace, name);
        let (program, arguments) = argv.split_first()?;
        if address.is_empty() || !home.is_dir() {
            return None;
        }
        let mut command = self.command(&home, Path::new(program));
        command.args(arguments).env("PGHOST", member::sockets(&self.base, address)).env("PGUSER", "postgres");
        command.env("PATRONICTL_CONFIG_FILE", home.join("patroni.yml"));
        Some(command)
    }

    /// Writes a process down, so that it ends with the sandbox.
    pub fn record(&self, pid: u32, what: &str) {
        if let Err(error) = Ledger::of(&self.base).record(pid, what) {
            tracing::warn!(%error, "a process is not written down");
        }
    }
}
