//! A member's folder: what its volume, its image and its mounted files would hold in a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::{self, Env, Place};
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::process::Toolbox;

/// What Spilo's own `post_init` makes before the operator can make its roles.
const POST_INIT: &str = "#!/bin/sh
exec psql -v ON_ERROR_STOP=1 -d \"$1\" -c 'create role admin createdb nologin; create role robot_zmon nologin'
";
/// The tools that Spilo calls by name, as small as a folder of this machine needs them.
const STAND_INS: &[(&str, &str)] = &[
    ("envdir", include_str!("stand_ins/envdir.sh")),
    ("postgres_backup.sh", include_str!("stand_ins/postgres_backup.sh")),
    ("su", include_str!("stand_ins/su.sh")),
    ("wal-g", include_str!("stand_ins/wal-g.sh")),
];

/// Puts them where the members' search path finds them.
pub fn write_stand_ins(tools: &Toolbox, base: &Path) -> Result<()> {
    let bin = stand_ins(base);
    fs::create_dir_all(&bin).during(format!("cannot make the folder {}", bin.display()))?;
    STAND_INS.iter().try_for_each(|(name, script)| tools.write(&bin.join(name), script, 0o755))
}

pub fn stand_ins(base: &Path) -> PathBuf {
    base.join("bin")
}

/// Empties the data if they belong to another volume than the pod's: a volume made anew is empty.
pub fn mount(tools: &Toolbox, home: &Path, volume: &str) -> Result<()> {
    tools.folder(home)?;
    let mark = home.join("volume");
    if fs::read_to_string(&mark).is_ok_and(|known| known != volume) {
        for part in ["pgdata", "pg_log", "archive"] {
            let path = home.join(part);
            if path.exists() {
                fs::remove_dir_all(&path).during(format!("cannot empty {}", path.display()))?;
            }
        }
    }
    tools.write(&mark, volume, 0o600)?;
    tools.folder(&home.join("archive"))
}

/// Writes what Patroni reads: its configuration with the passwords, a way to the API, a certificate.
pub fn furnish(tools: &Toolbox, env: &Env, place: &Place<'_>, kubeconfig: &Path) -> Result<()> {
    let home = place.home;
    if !home.join("tls.key").exists() {
        let made = rcgen::generate_simple_self_signed(["spilo.dummy.org".to_string()])
            .map_err(|error| Error::failed("cannot make a certificate", error))?;
        tools.write(&home.join("tls.crt"), &made.cert.pem(), 0o644)?;
        tools.write(&home.join("tls.key"), &made.signing_key.serialize_pem(), 0o600)?;
    }
    let access = fs::read_to_string(kubeconfig).during(format!("cannot read {}", kubeconfig.display()))?;
    tools.write(&home.join("kubeconfig"), &access, 0o600)?;
    tools.write(&home.join("post_init"), POST_INIT, 0o755)?;
    let variables = home.join("wal-e.d");
    if config::is_archiving(env) {
        tools.folder(&variables)?;
        tools.folder(&variables.join("env"))?;
    } else if variables.exists() {
        fs::remove_dir_all(&variables).during(format!("cannot remove {}", variables.display()))?;
    }
    // JSON is YAML.
    let patroni: Value = config::patroni(env, place);
    tools.write(&home.join("patroni.yml"), &format!("{patroni:#}\n"), 0o600)
}
