//! Commands in a member's container (`v5.channel.k8s.io`, `v4.channel.k8s.io`): what `kubectl exec` does, without a terminal.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::SplitStream;
use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::call::Call;
use super::kinds::KINDS;
use super::logs;
use super::refusal::Refusal;
use super::reply::Reply;
use super::socket::{self, Socket, framed};
use super::store::Store;
use crate::sandbox::node::Host;
use crate::sandbox::node::exit_code;

/// What both sides may speak: with the fifth a client can say that its input is over.
const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: usize = 1;
const STDERR: usize = 2;
/// Here the last word is spoken: a `Status`.
const ERROR: usize = 3;
/// A message on this channel closes the one that it names.
const CLOSE: u8 = 255;

/// So long a client may take to close a connection whose command has ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// Starts a command in the container of a member that runs on this machine.
pub fn exec(
    store: &Arc<Store>,
    host: Option<&Host>,
    call: &Call,
    request: &mut Request<Incoming>,
) -> Result<Reply, Refusal> {
    let (namespace, name) = (call.namespace.as_deref().unwrap_or_default(), call.name.as_deref().unwrap_or_default());
    let stored = store.get(call.kind, namespace, name).ok_or_else(|| Refusal::not_found(&KINDS[call.kind], name))?;
    let pod = stored.value();
    let container = logs::container(&pod, call.query.get("container"), name)?;
    let argv: Vec<&str> = call.query.all("command").collect();
    let wants = ["stdin", "stdout", "stderr"].map(|stream| call.query.flag(stream));
    if argv.is_empty() {
        return Err(Refusal::bad_request("you must specify at least one command for the container"));
    }
    if call.query.flag("tty") {
        return Err(Refusal::bad_request("this API has no terminals to offer: leave tty out"));
    }
    if wants == [false; 3] {
        return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    let command =
        host.filter(|_| container == "postgres").and_then(|host| host.exec((namespace, name), address, &argv));
    let Some(mut command) = command else {
        return Err(Refusal::internal(format!("unable to upgrade connection: container not found (\"{container}\")")));
    };
    let upgraded = socket::upgrade(request, &[V5, V4])?;
    let pipe = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::null() };
    command.stdin(pipe(wants[0])).stdout(pipe(wants[1])).stderr(pipe(wants[2]));
    let child = command.spawn().map_err(|error| Refusal::internal(format!("error executing command: {error}")))?;
    if let (Some(host), Some(pid)) = (host, child.id()) {
        host.record(pid, &format!("exec {namespace}/{name} {}", argv[0]));
    }
    let can_close = upgraded.protocol == V5;
    tokio::spawn(async move {
        if let Some(socket) = upgraded.socket.await {
            carry(socket, child, can_close).await;
        }
    });
    Ok(upgraded.reply)
}

/// Carries the streams until the command has ended, or until the client is gone: the command then goes on by itself, as it
/// does in a real container.
async fn carry(socket: Socket, mut child: Child, can_close: bool) {
    let (mut to_client, from_client) = socket.split();
    let (sender, mut outgoing) = mpsc::channel::<Message>(64);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let running = async {
        // An empty message tells the client that all is set up.
        if sender.send(framed(STDOUT, &[])).await.is_err() {
            return;
        }
        tokio::join!(copy(stdout, STDOUT, sender.clone()), copy(stderr, STDERR, sender.clone()));
        let status = status(&child.wait().await);
        // Whoever does not listen any more misses the end.
        let _ = sender.send(framed(ERROR, status.to_string().as_bytes())).await;
        drop(sender);
    };
    let writing = async {
        while let Some(message) = outgoing.recv().await {
            if to_client.send(message).await.is_err() {
                return;
            }
        }
        // The client may be gone: closing is a courtesy.
        let _ = to_client.send(socket::closed()).await;
    };
    let mut reading = std::pin::pin!(feed(from_client, stdin, can_close));
    tokio::select! {
        // What the client says is dropped when the command has ended, the command's words when the client is gone.
        ((), ()) = async { tokio::join!(running, writing) } => {
            // Input that nobody reads must not tear down the connection before the client has read the end.
            let _ = tokio::time::timeout(FAREWELL, reading).await;
        }
        () = &mut reading => {}
    }
}

/// Sends what the command says to the client.
async fn copy(source: Option<impl AsyncRead + Unpin>, channel: usize, sender: mpsc::Sender<Message>) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(n) = source.read(&mut buffer).await {
        if n == 0 || sender.send(framed(channel, &buffer[..n])).await.is_err() {
            return;
        }
    }
}

/// Gives the command what the client says, until the client is gone.
async fn feed(mut from_client: SplitStream<Socket>, mut stdin: Option<ChildStdin>, can_close: bool) {
    while let Some(Ok(message)) = from_client.next().await {
        let frame = match message {
            Message::Binary(frame) => frame,
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        match frame.split_first() {
            Some((&CLOSE, [STDIN])) if can_close => stdin = None,
            Some((&STDIN, data)) => {
                if let Some(input) = &mut stdin
                    && input.write_all(data).await.is_err()
                {
                    // The command reads no more; what it still says is told all the same.
                    stdin = None;
                }
            }
            Some(_) | None => {}
        }
    }
}

/// The last word: how the command ended.
fn status(ended: &std::io::Result<ExitStatus>) -> Value {
    let failure = |reason: &str, message: String, code: Option<i32>| {
        let causes = code.map(|code| json!([{"reason": "ExitCode", "message": code.to_string()}]));
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
               "message": message, "details": {"causes": causes}})
    };
    match ended {
        Ok(status) if status.success() => {
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        }
        Ok(status) => {
            let code = exit_code(*status);
            let message =
                format!("command terminated with non-zero exit code: error executing command: exit status {code}");
            failure("NonZeroExitCode", message, Some(code))
        }
        Err(error) => failure("InternalError", format!("the command cannot be waited for: {error}"), None),
    }
}
