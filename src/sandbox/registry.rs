//! Which sandboxes there are on this machine, where their files are, and which addresses are whose.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::node::Network;
use crate::sandbox::process::{Birth, Ledger};

/// All sandboxes have addresses in 127.77.0.0/16, each in a /24 of its own.
const BLOCK: [u8; 2] = [127, 77];
/// The last byte of the API's address.
pub const API_HOST: u8 = 254;
pub const API_PORT: u16 = 6443;
/// Held by the supervisor for its life: the mark of a used network that even other users see.
const MARK: (u8, u16) = (253, 6443);

/// What is written down about a running sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub name: String,
    pub supervisor: Birth,
    /// The third byte of its addresses.
    pub network: u8,
    /// Whether the API answers.
    pub is_ready: bool,
    pub fleet: String,
    /// How many made-up clusters there are to be, and how many there are: written when all are made.
    pub wanted_crowd: u32,
    pub crowd: u32,
}

/// The folder of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    pub name: String,
}

/// A place that is ours for as long as this lives.
#[derive(Debug)]
pub struct Claim {
    pub place: Place,
    pub record: Record,
    _mark: TcpListener,
}

impl Place {
    pub fn new(name: &str) -> Result<Place> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_plain) {
            let why = "a name is 1 to 32 letters, digits, - and _";
            return Err(Error::failed(format!("the sandbox cannot be called {name:?}"), why));
        }
        let ours = format!("/var/tmp/pgdeck-sandbox-{}", rustix::process::geteuid().as_raw());
        let root = std::env::var_os("PGDECK_SANDBOX_ROOT").map_or_else(|| ours.into(), PathBuf::from);
        Ok(Place { root, name: name.into() })
    }

    pub fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    pub fn hosts(&self) -> PathBuf {
        self.folder().join("hosts.toml")
    }

    /// The passwords of the plain hosts, in libpq's form.
    pub fn pgpass(&self) -> PathBuf {
        self.folder().join("pgpass")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join(format!("{}.log", self.name))
    }

    fn file(&self) -> PathBuf {
        self.folder().join("sandbox.json")
    }

    /// What is written down; none if there is no such sandbox.
    pub fn record(&self) -> Option<Record> {
        serde_json::from_str(&fs::read_to_string(self.file()).ok()?).ok()
    }

    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(record).map_err(|error| Error::failed("cannot write", error))?;
        let next = self.file().with_extension("next");
        fs::write(&next, text).during(format!("cannot write {}", next.display()))?;
        fs::rename(&next, self.file()).during(format!("cannot write {}", self.file().display()))
    }

    /// Makes this place ours: ends what a killed supervisor left, and takes a free network.
    pub fn claim(&self, fleet: &str, wanted_crowd: u32) -> Result<Claim> {
        self.make_root()?;
        let _lock = self.lock()?;
        if let Some(record) = self.record()
            && record.supervisor.is_alive()
        {
            let why = format!("pid {}; end it: pgdeck sandbox down --name {}", record.supervisor.pid, self.name);
            return Err(Error::failed(format!("the sandbox {} is up already", self.name), why));
        }
        self.erase()?;
        let (network, mark) = self.free_network()?;
        fs::create_dir_all(self.folder()).during(format!("cannot make the folder {}", self.folder().display()))?;
        let supervisor = Birth::of(std::process::id()).ok_or_else(|| Error::failed("/proc", "does not know us"))?;
        let (name, fleet) = (self.name.clone(), fleet.to_string());
        let record = Record { name, supervisor, network, is_ready: false, fleet, wanted_crowd, crowd: 0 };
        self.write(&record)?;
        Ok(Claim { place: self.clone(), record, _mark: mark })
    }

    /// Ends a running sandbox: its supervisor first, then whatever is left of it.
    pub fn end(&self) -> Result<bool> {
        let Some(record) = self.record() else {
            self.erase()?;
            return Ok(false);
        };
        record.supervisor.signal(rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(15);
        while record.supervisor.is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        record.supervisor.signal(rustix::process::Signal::KILL);
        let _lock = self.lock()?;
        self.erase()?;
        match fs::remove_file(self.log()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).during(format!("cannot remove {}", self.log().display()))
            }
            _ => Ok(true),
        }
    }

    /// Ends every process and removes every file of this sandbox.
    pub fn erase(&self) -> Result<()> {
        let folder = self.folder();
        if !folder.exists() {
            return Ok(());
        }
        Ledger::of(&folder).sweep()?;
        // A process that was just killed may have made a file in between.
        let removed = fs::remove_dir_all(&folder).or_else(|_again| fs::remove_dir_all(&folder));
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.during(format!("cannot remove {}", folder.display())),
        }
    }

    fn make_root(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt as _;
        let during = || format!("cannot use the folder {}", self.root.display());
        fs::create_dir_all(&self.root).during(during())?;
        let found = fs::symlink_metadata(&self.root).during(during())?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::failed(during(), "it belongs to somebody else; remove it or set PGDECK_SANDBOX_ROOT"));
        }
        Ok(())
    }

    /// One at a time may look for a free network; the lock goes with the file.
    fn lock(&self) -> Result<fs::File> {
        let path = self.root.join("lock");
        let during = || format!("cannot lock {}", path.display());
        fs::create_dir_all(&self.root).during(during())?;
        let file = fs::OpenOptions::new().create(true).append(true).open(&path).during(during())?;
        file.lock().during(during())?;
        Ok(file)
    }

    fn free_network(&self) -> Result<(u8, TcpListener)> {
        let taken: Vec<u8> = self.others().iter().map(|record| record.network).collect();
        for n in (1..=250).filter(|n| !taken.contains(n)) {
            let is_quiet = [5432, 8008].iter().all(|port| TcpListener::bind((network(n).host(1), *port)).is_ok());
            if is_quiet && let Ok(mark) = TcpListener::bind((network(n).host(MARK.0), MARK.1)) {
                return Ok((n, mark));
            }
        }
        Err(Error::failed("no network is free in 127.77.0.0/16", "end a sandbox"))
    }

    fn others(&self) -> Vec<Record> {
        all(&self.root).into_iter().filter(|place| place.name != self.name).filter_map(|place| place.record()).collect()
    }
}

/// The sandboxes that are written down below a folder.
fn all(root: &Path) -> Vec<Place> {
    let entries =
        fs::read_dir(root).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut places: Vec<Place> = entries.map(|name| Place { root: root.to_path_buf(), name }).collect();
    places.retain(|place| place.file().exists());
    places
}

pub fn network(n: u8) -> Network {
    Network([BLOCK[0], BLOCK[1], n])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        for name in ["", "..", "a/b", "a b"] {
            assert!(Place::new(name).is_err(), "{name:?}");
        }
        assert!(Place::new("two_of-them").is_ok());
    }
}
