//! What pgdeck does, written down: to a file in the state folder, never to the screen.

use std::fs;
use std::path::Path;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// A longer log of earlier runs is put aside at start.
const LONG: u64 = 8 * 1024 * 1024;
/// So many lines wait for a slow disk at most; room for them is taken at start.
const LINES_WAITING: usize = 4096;

/// Starts logging into `pgdeck.log`; what is logged is set by `$PGDECK_LOG` and usually little. The guard writes the rest
/// when it is dropped. Without a folder to write to there is no log: a full disk must not end a cockpit.
pub fn start(folder: &Path) -> Option<WorkerGuard> {
    fs::create_dir_all(folder).ok()?;
    let file = folder.join("pgdeck.log");
    if fs::metadata(&file).is_ok_and(|log| log.len() > LONG) {
        fs::rename(&file, folder.join("pgdeck.log.1")).ok()?;
    }
    let file = fs::OpenOptions::new().create(true).append(true).open(file).ok()?;
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(file);
    let filter =
        EnvFilter::try_from_env("PGDECK_LOG").unwrap_or_else(|_| EnvFilter::new("warn,pgdeck=info,kube_client=error"));
    let logged = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).try_init();
    logged.is_ok().then_some(guard)
}
