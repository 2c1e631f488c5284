//! Port-forward over a WebSocket (`v4.channel.k8s.io`): each port has a data channel and an error channel.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::call::Call;
use super::kinds::KINDS;
use super::refusal::Refusal;
use super::reply::Reply;
use super::socket::{self, Socket, framed};
use super::store::Store;

const PROTOCOL: &str = "v4.channel.k8s.io";
/// A port that does not take the connection within this is refused.
const CONNECT: Duration = Duration::from_secs(5);

/// Opens a forward to ports of a pod's own address.
pub fn forward(store: &Arc<Store>, call: &Call, request: &mut Request<Incoming>) -> Result<Reply, Refusal> {
    let (namespace, name) = (call.namespace.as_deref().unwrap_or_default(), call.name.as_deref().unwrap_or_default());
    let stored = store.get(call.kind, namespace, name).ok_or_else(|| Refusal::not_found(&KINDS[call.kind], name))?;
    let pod = stored.value();
    let Some(ip) = pod["status"]["podIP"].as_str().map(str::to_owned) else {
        return Err(Refusal::bad_request(format!(
            "unable to forward port because pod is not running. Current status={}",
            pod["status"]["phase"]
        )));
    };
    let ports: Vec<u16> = call.query.get("ports").split(',').filter_map(|port| port.parse().ok()).collect();
    if ports.is_empty() {
        return Err(Refusal::bad_request("query parameter \"ports\" is required"));
    }
    let upgraded = socket::upgrade(request, &[PROTOCOL])?;
    tokio::spawn(async move {
        // A client that goes away before the upgrade has nothing to be told.
        if let Some(socket) = upgraded.socket.await {
            carry(socket, &ip, &ports).await;
        }
    });
    Ok(upgraded.reply)
}

/// Carries bytes both ways until either side is done.
async fn carry(socket: Socket, ip: &str, ports: &[u16]) {
    let (mut to_client, mut from_client) = socket.split();
    let (sender, mut outgoing) = mpsc::channel::<Message>(64);
    let mut writers: Vec<Option<OwnedWriteHalf>> = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (idx, port) in ports.iter().enumerate() {
        for channel in [2 * idx, 2 * idx + 1] {
            if sender.send(framed(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
        writers.push(connect(ip, *port, idx, &sender, &mut tasks).await);
    }
    drop(sender);
    loop {
        tokio::select! {
            // Both branches are cancel-safe: a message is taken whole or not at all.
            message = outgoing.recv() => match message {
                Some(message) => if to_client.send(message).await.is_err() { break },
                None => break,
            },
            message = from_client.next() => match message {
                Some(Ok(Message::Binary(frame))) => {
                    let Some((channel, data)) = frame.split_first() else { continue };
                    let Some(Some(writer)) = writers.get_mut(usize::from(*channel) / 2) else { continue };
                    if channel % 2 == 0 && writer.write_all(data).await.is_err() { break }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    // The client may be gone: closing is a courtesy.
    let _ = to_client.send(socket::closed()).await;
    tasks.shutdown().await;
}

/// Connects to a port and sends what it says to the client; a refusal goes to the error channel, as a kubelet does it.
async fn connect(
    ip: &str,
    port: u16,
    idx: usize,
    sender: &mpsc::Sender<Message>,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Option<OwnedWriteHalf> {
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect((ip, port))).await;
    let error = match connected {
        Ok(Ok(stream)) => {
            // Latency matters more than packets here; without it everything still works.
            let _ = stream.set_nodelay(true);
            let (mut reader, writer) = stream.into_split();
            let sender = sender.clone();
            tasks.spawn(async move {
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(n) = reader.read(&mut buffer).await {
                    if n == 0 || sender.send(framed(2 * idx, &buffer[..n])).await.is_err() {
                        break;
                    }
                }
            });
            return Some(writer);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "connection timed out".to_owned(),
    };
    let text = format!("an error occurred forwarding {port} -> {port}: failed to connect to {ip}:{port}: {error}");
    let sender = sender.clone();
    tasks.spawn(async move {
        // The data channel stays open, as on a real API server, until the client leaves.
        if sender.send(framed(2 * idx + 1, text.as_bytes())).await.is_ok() {
            sender.closed().await;
        }
    });
    None
}
