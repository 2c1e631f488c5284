//! Container logs: what a node writes to the file that the pod's annotation names, followed on demand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};
use tokio::sync::mpsc;

use super::call::Call;
use super::kinds::KINDS;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::store::Store;

/// Where a node writes the log of a pod's container `postgres`, in CRI form (`TIME stdout F TEXT`).
pub const LOG_PATH: &str = "pgdeck.sandbox/log-path";
/// A followed file is looked at this often.
const LOOK: Duration = Duration::from_millis(150);
/// So much of a file is read at its end, at most.
const TAIL: u64 = 4 << 20;

#[derive(Debug, Clone)]
struct Asked {
    timestamps: bool,
    tail: Option<usize>,
    since: Option<Timestamp>,
}

/// Answers a request for a pod's log.
pub async fn log(store: &Arc<Store>, call: &Call, now: Timestamp) -> Result<Reply, Refusal> {
    let (namespace, name) = (call.namespace.clone().unwrap_or_default(), call.name.clone().unwrap_or_default());
    let stored = store.get(call.kind, &namespace, &name).ok_or_else(|| Refusal::not_found(&KINDS[call.kind], &name))?;
    let pod = stored.value();
    let container = container(&pod, call.query.get("container"), &name)?;
    let Some(path) = pod["metadata"]["annotations"][LOG_PATH].as_str() else {
        let message = format!("container \"{container}\" in pod \"{name}\" is waiting to start: ContainerCreating");
        return Err(Refusal::bad_request(message));
    };
    let path =
        if call.query.flag("previous") { PathBuf::from(format!("{path}.previous")) } else { PathBuf::from(path) };
    if call.query.flag("previous") && !path.exists() {
        let message = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
        return Err(Refusal::bad_request(message));
    }
    let ago = call.query.number("sinceSeconds").map(|seconds| now - SignedDuration::from_secs(seconds.cast_signed()));
    let asked = Asked {
        timestamps: call.query.flag("timestamps"),
        tail: call.query.number("tailLines").and_then(|lines| usize::try_from(lines).ok()),
        since: ago.or_else(|| call.query.get("sinceTime").parse().ok()),
    };
    let (text, at) = read_so_far(&path, &asked).await;
    if !call.query.flag("follow") {
        return Ok(reply::text(200, "text/plain", text));
    }
    let (sender, receiver) = mpsc::channel(16);
    let uid = pod["metadata"]["uid"].clone();
    let exists = {
        let (store, kind) = (store.clone(), call.kind);
        move || store.get(kind, &namespace, &name).is_some_and(|stored| stored.value()["metadata"]["uid"] == uid)
    };
    tokio::spawn(follow(path, text, at, asked.timestamps, exists, sender));
    let chunks = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    Ok(reply::stream("text/plain", chunks))
}

/// The container that a request is about.
pub fn container(pod: &Value, asked: &str, name: &str) -> Result<String, Refusal> {
    let names: Vec<&str> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    match (asked, names.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", names) if names.contains(&"postgres") => Ok("postgres".into()),
        ("", names) => {
            let all = names.join(" ");
            Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{all}]"
            )))
        }
        (asked, names) if names.contains(&asked) => Ok(asked.to_owned()),
        (asked, _) => Err(Refusal::bad_request(format!("container {asked} is not valid for pod {name}"))),
    }
}

/// What stands in the file, and up to where it was read. Only whole lines are taken.
async fn read_so_far(path: &Path, asked: &Asked) -> (String, u64) {
    let Ok((text, end)) = read_from(path, None).await else { return (String::new(), 0) };
    let mut lines: Vec<&str> =
        text.lines().filter(|line| asked.since.is_none_or(|since| is_after(line, since))).collect();
    if let Some(tail) = asked.tail {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    (lines.iter().map(|line| plain(line, asked.timestamps)).collect(), end)
}

/// Reads whole lines from a position (`None`: from near the end), and tells where the next begins.
async fn read_from(path: &Path, at: Option<u64>) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let start = match at {
        Some(at) if at <= length => at,
        // The file was cut or replaced.
        Some(_) => 0,
        None => length.saturating_sub(TAIL),
    };
    file.seek(SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.take(length - start).read_to_end(&mut bytes).await?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |idx| idx + 1);
    bytes.truncate(whole);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), start + whole as u64))
}

async fn follow(
    path: PathBuf,
    first: String,
    mut at: u64,
    timestamps: bool,
    exists: impl Fn() -> bool,
    sender: mpsc::Sender<Bytes>,
) {
    let mut next = first;
    loop {
        if !next.is_empty() && sender.send(next.into()).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = sender.closed() => return,
        }
        let last = !exists();
        next = match read_from(&path, Some(at)).await {
            Ok((text, end)) => {
                at = end;
                text.lines().map(|line| plain(line, timestamps)).collect()
            }
            // Gone with its pod, or not written yet.
            Err(_) => String::new(),
        };
        if last && next.is_empty() {
            return;
        }
    }
}

/// A line without its CRI head, with the time if asked.
fn plain(line: &str, timestamps: bool) -> String {
    let mut parts = line.splitn(4, ' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(time), Some("stdout" | "stderr"), Some("F" | "P"), Some(text)) if timestamps => {
            format!("{time} {text}\n")
        }
        (Some(_), Some("stdout" | "stderr"), Some("F" | "P"), Some(text)) => format!("{text}\n"),
        _ => format!("{line}\n"),
    }
}

fn is_after(line: &str, since: Timestamp) -> bool {
    line.split(' ').next().and_then(|time| time.parse::<Timestamp>().ok()).is_none_or(|time| time >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cri_head_goes_and_other_lines_stay() {
        let line = "2026-11-24T10:00:00.5Z stdout F INFO: no action";
        assert_eq!(plain(line, false), "INFO: no action\n");
        assert_eq!(plain(line, true), "2026-11-24T10:00:00.5Z INFO: no action\n");
        assert_eq!(plain("odd", false), "odd\n");
        assert!(!is_after(line, "2026-11-24T10:00:01Z".parse().unwrap()));
    }
}
