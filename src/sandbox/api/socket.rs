//! Connections by `WebSocket` whose messages begin with the number of a channel: how exec and port-forward go on.

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::refusal::Refusal;
use super::reply::Reply;

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A connection that changes its protocol when `reply` is sent.
pub struct Upgrade<F> {
    pub reply: Reply,
    pub protocol: &'static str,
    /// The socket; none if the client goes away before.
    pub socket: F,
}

/// Takes the first protocol that the client offers and we speak.
pub fn upgrade(
    request: &mut Request<Incoming>,
    spoken: &[&'static str],
) -> Result<Upgrade<impl Future<Output = Option<Socket>> + use<>>, Refusal> {
    let headers = request.headers();
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let find = |offer: &str| spoken.iter().find(|protocol| **protocol == offer.trim()).copied();
    let protocol = offers.flat_map(|offers| offers.split(',')).find_map(find).ok_or_else(|| {
        Refusal::bad_request(format!("unable to upgrade: this API speaks {} alone", spoken.join(" and ")))
    })?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let accept = derive_accept_key(key);
    let upgrade = hyper::upgrade::on(request);
    let socket = async move {
        let upgraded = upgrade.await.ok()?;
        Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
    };
    let mut reply = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    if let Ok(value) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    Ok(Upgrade { reply, protocol, socket })
}

/// A message on a channel.
pub fn framed(channel: usize, data: &[u8]) -> Message {
    let mut frame = Vec::with_capacity(data.len() + 1);
    frame.push(u8::try_from(channel).unwrap_or(u8::MAX));
    frame.extend_from_slice(data);
    Message::Binary(frame.into())
}

/// The last message of a connection that did what it was for.
pub fn closed() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}
