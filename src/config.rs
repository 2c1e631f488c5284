//! What the user wants: flags over environment over file over defaults. Everything that is wrong comes back at once.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::cli::{Globals, Reach};
use crate::keymap::{Keymap, KeymapError};

pub use file::KEYS;

/// What holds for this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Contexts to watch; empty for the kubeconfig's current one.
    pub contexts: Vec<String>,
    /// Namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// The kubeconfig to read, where one was named; else the usual places.
    pub kubeconfig: Option<PathBuf>,
    /// Whether there is any Kubernetes to watch.
    pub kubernetes: bool,
    pub hosts: Option<PathBuf>,
    pub dsn: Option<String>,
    /// Whether `PGHOST` names a plain host, and nothing else was asked for.
    pub libpq: bool,
    pub reach: Reach,
    pub theme: String,
    pub ascii: bool,
    pub no_color: bool,
    pub readonly: bool,
    /// The console begins armed.
    pub write: bool,
    /// Contexts and host clusters that are marked as protected.
    pub protected: Vec<String>,
    /// By context: the role whose secret is used to look, instead of the superuser's.
    pub roles: BTreeMap<String, String>,
    /// Columns of the fleet view, in order; empty for the usual ones.
    pub columns: Vec<String>,
    /// Action → keys.
    pub keys: BTreeMap<String, Vec<String>>,
    /// At most this many instances are sampled at once.
    pub tunnels: usize,
    /// How long arming lasts, in minutes.
    pub armed_min: u32,
}

/// One thing that is wrong: what, where, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub thing: String,
    /// `config.toml:3`, `--theme`, `$PGDECK_HOSTS`.
    pub place: String,
    pub why: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}; {}", self.place, self.thing, self.why, self.remedy)
    }
}

/// What the surroundings say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The file of the configuration, whether or not it exists.
    pub config: PathBuf,
    /// Where logs go.
    pub state: PathBuf,
    /// `$KUBECONFIG` is set.
    pub kubeconfig_named: bool,
    /// `~/.kube/config` exists.
    pub kubeconfig_usual: bool,
    /// `$PGHOST` is set.
    pub pghost: bool,
    /// `$NO_COLOR` is set and not empty.
    pub no_color: bool,
}

impl Surroundings {
    /// Looks around: the environment and the usual folders.
    pub fn look() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let xdg = etcetera::base_strategy::Xdg::new().ok();
        let below = |folder: Option<PathBuf>| folder.unwrap_or_else(|| PathBuf::from(".")).join("pgdeck");
        Surroundings {
            config: below(xdg.as_ref().map(BaseStrategy::config_dir)).join("config.toml"),
            state: below(xdg.as_ref().and_then(BaseStrategy::state_dir)),
            kubeconfig_named: set("KUBECONFIG"),
            kubeconfig_usual: xdg.is_some_and(|xdg| xdg.home_dir().join(".kube/config").exists()),
            pghost: set("PGHOST"),
            no_color: set("NO_COLOR"),
        }
    }
}

/// Puts flags, surroundings and file together.
pub fn load(globals: &Globals, around: &Surroundings) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let path = globals.config.as_ref().unwrap_or(&around.config);
    let written = match read(path, globals.config.is_some()) {
        Ok(text) => file::parse(&path.display().to_string(), &text, &mut problems),
        Err(problem) => {
            problems.push(problem);
            file::Written::default()
        }
    };
    check_keys(&written, path, &mut problems);
    let config = merged(globals, around, &written);
    check_sources(globals, &config, &mut problems);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Whether there is any fleet to look at; the problem says what to do otherwise.
pub fn check_anything_to_watch(config: &Config) -> Result<(), Problem> {
    if config.kubernetes || config.hosts.is_some() || config.dsn.is_some() || config.libpq {
        return Ok(());
    }
    Err(Problem {
        thing: "a fleet to look at".into(),
        place: "command line".into(),
        why: "is not named: there is no kubeconfig ($KUBECONFIG, ~/.kube/config) and no hosts file".into(),
        remedy:
            "run `pgdeck demo` for a small real fleet on this machine, or name yours: --kubeconfig FILE, --hosts FILE \
                 or --dsn DSN"
                .into(),
    })
}

fn read(path: &Path, named: bool) -> Result<String, Problem> {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| Problem {
            thing: "the configuration".into(),
            place: path.display().to_string(),
            why: format!("is not UTF-8 text: {}", error.utf8_error()),
            remedy: "write it again as text".into(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(String::new()),
        Err(error) => Err(Problem {
            thing: "the configuration".into(),
            place: path.display().to_string(),
            why: format!("cannot be read: {error}"),
            remedy: "check the path and its permissions, or leave it out to use the defaults".into(),
        }),
    }
}

fn check_keys(written: &file::Written, path: &Path, problems: &mut Vec<Problem>) {
    let Err(errors) = Keymap::new(&written.keys) else { return };
    for error in errors {
        let actions: &[&str] = match &error {
            KeymapError::NoSuchAction { action } | KeymapError::NotAKey { action, .. } => &[action],
            KeymapError::Clash { one, other, .. } => &[one, other],
        };
        let line = actions.iter().filter_map(|action| written.key_lines.get(*action)).max();
        let remedy = match &error {
            KeymapError::NoSuchAction { .. } => "use the name of an action as `?` lists it",
            KeymapError::NotAKey { .. } => "write a key such as \"x\", \"ctrl-d\" or \"g g\"",
            KeymapError::Clash { .. } => "give one of the two another key",
        };
        problems.push(Problem {
            thing: "[keys]".into(),
            place: line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display())),
            why: error.to_string(),
            remedy: remedy.into(),
        });
    }
}

fn merged(globals: &Globals, around: &Surroundings, written: &file::Written) -> Config {
    let pick = |flags: &[String], file: &[String]| if flags.is_empty() { file.to_vec() } else { flags.to_vec() };
    let contexts = pick(&globals.context, &written.contexts);
    let namespaces = if globals.all_namespaces { Vec::new() } else { pick(&globals.namespace, &written.namespaces) };
    let hosts = globals.hosts.clone().or_else(|| written.hosts.clone());
    let asked = !contexts.is_empty()
        || globals.kubeconfig.is_some()
        || globals.all_namespaces
        || !globals.namespace.is_empty()
        || around.kubeconfig_named;
    let has_hosts = hosts.is_some() || globals.dsn.is_some();
    let kubernetes = asked || (around.kubeconfig_usual && !has_hosts);
    Config {
        contexts,
        namespaces,
        kubeconfig: globals.kubeconfig.clone(),
        kubernetes,
        libpq: around.pghost && !has_hosts && !kubernetes,
        hosts,
        dsn: globals.dsn.clone(),
        reach: globals.reach.or(written.reach).unwrap_or(Reach::Forward),
        theme: globals.theme.clone().or_else(|| written.theme.clone()).unwrap_or_else(|| "default".into()),
        ascii: globals.ascii || written.ascii,
        no_color: around.no_color,
        readonly: globals.readonly || written.readonly,
        write: globals.write,
        protected: written.protected.clone(),
        roles: written.roles.clone(),
        columns: written.columns.clone(),
        keys: written.keys.clone(),
        tunnels: written.tunnels.unwrap_or(32),
        armed_min: written.armed_minutes.unwrap_or(15),
    }
}

fn check_sources(globals: &Globals, config: &Config, problems: &mut Vec<Problem>) {
    if let Some(path) = globals.kubeconfig.as_ref().filter(|path| !path.exists()) {
        problems.push(Problem {
            thing: format!("kubeconfig {}", path.display()),
            place: "--kubeconfig".into(),
            why: "does not exist".into(),
            remedy: "check the path, or leave the flag out to use $KUBECONFIG or ~/.kube/config".into(),
        });
    }
    if let Some(path) = config.hosts.as_ref().filter(|path| !path.exists()) {
        problems.push(Problem {
            thing: format!("hosts file {}", path.display()),
            place: "--hosts or $PGDECK_HOSTS".into(),
            why: "does not exist".into(),
            remedy: "check the path; README shows what stands in it".into(),
        });
    }
    if config.dsn.as_deref().is_some_and(has_password) {
        problems.push(Problem {
            thing: "the connection string".into(),
            place: "--dsn".into(),
            why: "holds a password, and everybody on this machine can read the command line".into(),
            remedy: "put the password into ~/.pgpass or $PGPASSWORD, and change it".into(),
        });
    }
}

/// Whether a libpq connection string (`key=value …` or a URL) holds a password.
fn has_password(dsn: &str) -> bool {
    let url = dsn.split_once("://").map(|(_, rest)| rest);
    let of_url = |rest: &str| {
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let login = authority.rsplit_once('@').map(|(login, _)| login);
        login.is_some_and(|login| login.contains(':')) || query.split('&').any(|part| part.starts_with("password="))
    };
    let squeezed = || dsn.split_whitespace().collect::<Vec<_>>().join(" ").replace(" =", "=");
    url.map_or_else(|| squeezed().split(' ').any(|word| word.starts_with("password=")), of_url)
}

#[cfg(test)]
mod tests;
