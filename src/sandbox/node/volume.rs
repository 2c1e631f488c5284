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
const ENVDIR: &str = "#!/bin/sh
# Stands in for daemontools' envdir: the folder of variables is not needed here.
shift
exec \"$@\"
";
const WAL_G: &str = "#!/bin/sh
# Stands in for WAL-G: archives into a local folder, in one move, and keeps the newest few.
[ \"$1\" = wal-push ] || { echo \"wal-g: $1 is not known here\" >&2; exit 1; }
name=${2##*/}
cp -- \"$2\" \"$WALG_FILE_PREFIX/.$name\" && mv -- \"$WALG_FILE_PREFIX/.$name\" \"$WALG_FILE_PREFIX/$name\" || exit 1
cd \"$WALG_FILE_PREFIX\" && ls -t | tail -n +9 | while read -r old; do rm -f -- \"$old\"; done
";

/// Puts the tools that Spilo calls by name where the members' search path finds them.
pub fn write_stand_ins(tools: &Toolbox, base: &Path) -> Result<()> {
    let bin = stand_ins(base);
    fs::create_dir_all(&bin).during(format!("cannot make the folder {}", bin.display()))?;
    tools.write(&bin.join("envdir"), ENVDIR, 0o755)?;
    tools.write(&bin.join("wal-g"), WAL_G, 0o755)
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
    // JSON is YAML.
    let patroni: Value = config::patroni(env, place);
    tools.write(&home.join("patroni.yml"), &format!("{patroni:#}\n"), 0o600)
}
