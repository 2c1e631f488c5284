//! Child processes that end with the sandbox, whatever ends it.
//!
//! Every process is written down with its start time before anyone relies on it, so that a later sandbox can end what a
//! killed supervisor left behind, and never ends a stranger that got the same pid.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::sandbox::error::{During, Error, Result};

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    pub pid: u32,
    /// Clock ticks between the boot and the start of the process.
    pub started: u64,
}

impl Birth {
    /// Identifies the process that has `pid` now; none if there is none, or it has ended and only waits to be reaped.
    pub fn of(pid: u32) -> Option<Birth> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Birth { pid, started })
    }

    pub fn is_alive(self) -> bool {
        Birth::of(self.pid) == Some(self)
    }

    /// Sends a signal, if the process is still the same one.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && self.is_alive()
        {
            // It may have ended since; then there is nothing left to do.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The user and the programs that everything in the sandbox runs as and with.
#[derive(Debug, Clone)]
pub struct Toolbox {
    /// Where `postgres`, `initdb` and the like are.
    pub bin: PathBuf,
    pub patroni: PathBuf,
    setpriv: PathBuf,
    /// Who runs the servers; none if we are not root and it is ourselves.
    pub user: Option<User>,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Toolbox {
    /// Finds the programs on this machine: the newest Postgres, and Patroni by `PATRONI` or in the usual place.
    pub fn find() -> Result<Toolbox> {
        let install = "install it: apt-get install postgresql patroni (elsewhere set PGBIN and PATRONI)";
        let (version, bin) = match std::env::var_os("PGBIN").map(PathBuf::from) {
            Some(bin) => (version_of(&bin).unwrap_or(15), bin),
            None => newest(Path::new("/usr/lib/postgresql"))
                .ok_or_else(|| Error::Missing { what: "a Postgres server".into(), remedy: install.into() })?,
        };
        let patroni = std::env::var_os("PATRONI").map(PathBuf::from).or_else(|| on_path("patroni"));
        let patroni = patroni
            .filter(|path| path.exists())
            .ok_or_else(|| Error::Missing { what: "Patroni".into(), remedy: install.into() })?;
        let setpriv = on_path("setpriv").ok_or_else(|| Error::Missing {
            what: "setpriv".into(),
            remedy: "install the package util-linux".into(),
        })?;
        let user = if rustix::process::geteuid().is_root() { Some(servant("/etc/passwd")?) } else { None };
        Ok(Toolbox { bin, patroni, setpriv, user, version })
    }

    /// A command as the servers' user, with a bare environment, that is told to end when we do.
    pub fn command(&self, program: &Path, folder: &Path) -> Command {
        self.mortal(program, folder, "TERM")
    }

    /// The same for a Postgres server, which waits for its clients unless told otherwise.
    pub fn server(&self, program: &Path, folder: &Path) -> Command {
        self.mortal(program, folder, "QUIT")
    }

    fn mortal(&self, program: &Path, folder: &Path, signal: &str) -> Command {
        let mut command = Command::new(&self.setpriv);
        if let Some(user) = &self.user {
            command.args(["--reuid", &user.name, "--regid", &user.gid.to_string(), "--init-groups"]);
        }
        command.args(["--pdeathsig", signal, "--"]).arg(program);
        command.env_clear().env("PATH", self.path(&[])).env("LANG", "C.UTF-8").env("HOME", folder);
        command.current_dir(folder).process_group(0).stdin(Stdio::null());
        command
    }

    /// A search path with `first` before the servers' programs.
    pub fn path(&self, first: &[&Path]) -> String {
        let mut parts: Vec<String> = first.iter().map(|path| path.display().to_string()).collect();
        parts.push(self.bin.display().to_string());
        parts.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(String::from));
        parts.join(":")
    }

    /// Makes a folder that belongs to the servers' user and that only it can enter.
    pub fn folder(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).during(format!("cannot make the folder {}", path.display()))?;
        self.own(path, 0o700)
    }

    /// Writes a file that belongs to the servers' user; `mode` holds from the first byte on.
    pub fn write(&self, path: &Path, content: &str, mode: u32) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let what = || format!("cannot write {}", path.display());
        if let Err(error) = fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).during(what());
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).during(what())?;
        file.write_all(content.as_bytes()).during(what())?;
        self.own(path, mode)
    }

    fn own(&self, path: &Path, mode: u32) -> Result<()> {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        let what = || format!("cannot set the owner of {}", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).during(what())?;
        match &self.user {
            Some(user) => chown(path, Some(user.uid), Some(user.gid)).during(what()),
            None => Ok(()),
        }
    }
}

/// The newest Postgres of Debian's layout: `ROOT/VERSION/bin`.
fn newest(root: &Path) -> Option<(u32, PathBuf)> {
    let versions = fs::read_dir(root).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version = path.file_name()?.to_str()?.parse().ok()?;
        path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
    });
    versions.max()
}

fn version_of(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin"), PathBuf::from("/bin")]);
    places.map(|folder| folder.join(program)).find(|path| path.exists())
}

/// The user that root runs servers as: `postgres`, else `nobody`.
fn servant(passwd: &str) -> Result<User> {
    let users = fs::read_to_string(passwd).during(format!("cannot read {passwd}"))?;
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&name)).then_some(())?;
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            Some(User { name: name.into(), uid, gid })
        })
    };
    find("postgres").or_else(|| find("nobody")).ok_or_else(|| Error::Missing {
        what: "a user that servers can run as".into(),
        remedy: "install the package postgresql, or run as an ordinary user".into(),
    })
}

/// The written list of the processes of one sandbox.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Child {
    #[serde(flatten)]
    pub birth: Birth,
    pub what: String,
}

impl Ledger {
    pub fn of(folder: &Path) -> Ledger {
        Ledger { folder: folder.to_path_buf() }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("children.jsonl")
    }

    /// Writes a process down. The file belongs to us alone: it says what a later sandbox may kill.
    pub fn record(&self, pid: u32, what: &str) -> Result<()> {
        let Some(birth) = Birth::of(pid) else { return Ok(()) };
        let during = || format!("cannot write {}", self.file().display());
        let line = serde_json::to_string(&Child { birth, what: what.into() })
            .map_err(|error| Error::failed(during(), error))?;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.file()).during(during())?;
        file.write_all(format!("{line}\n").as_bytes()).during(during())
    }

    /// The recorded processes that are still alive.
    pub fn living(&self) -> Vec<Child> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let children = text.lines().filter_map(|line| serde_json::from_str::<Child>(line).ok());
        children.filter(|child| child.birth.is_alive()).collect()
    }

    /// Ends every process of this sandbox at once and waits until none is left.
    ///
    /// Servers have sessions of their own and survive the one who started them: they are found by their working folder.
    pub fn sweep(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut left: Vec<Birth> = self.living().into_iter().map(|child| child.birth).collect();
            left.extend(working_below(&self.folder));
            if left.is_empty() {
                return Ok(());
            }
            for birth in &left {
                birth.signal(Signal::KILL);
            }
            if Instant::now() > deadline {
                let pids: Vec<String> = left.iter().map(|birth| birth.pid.to_string()).collect();
                return Err(Error::failed("processes survive being killed", pids.join(", ")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What servers and their helpers are called; a shell that stands in the folder is left alone.
const SERVERS: &[&str] = &[
    "postgres",
    "postmaster",
    "patroni",
    "python",
    "initdb",
    "pg_basebackup",
    "pg_dump",
    "pg_recvlogical",
    "pg_rewind",
    "pg_ctl",
    "wal-g",
];

fn working_below(folder: &Path) -> Vec<Birth> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        SERVERS.iter().any(|server| comm.starts_with(server))
            && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    })
    .filter_map(Birth::of)
    .collect()
}

/// The postmaster of a data folder, if it runs.
pub fn postmaster(data: &Path) -> Option<Birth> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let birth = Birth::of(text.lines().next()?.trim().parse().ok()?)?;
    let cwd = fs::read_link(format!("/proc/{}/cwd", birth.pid)).ok()?;
    (cwd == data).then_some(birth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_of_another_birth_is_not_alive() {
        let ourselves = Birth::of(std::process::id()).unwrap();
        assert!(ourselves.is_alive());
        assert!(!Birth { started: ourselves.started + 1, ..ourselves }.is_alive());
    }

    #[test]
    fn root_serves_as_postgres() {
        let users = std::env::temp_dir().join(format!("pgdeck-passwd-{}", std::process::id()));
        fs::write(&users, "root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/:/bin/sh\n").unwrap();
        let user = servant(users.to_str().unwrap()).unwrap();
        fs::remove_file(&users).unwrap();
        assert_eq!(user, User { name: "postgres".into(), uid: 101, gid: 104 });
    }
}
