//! Connections and routes: TLS, who asks, what is asked, what was asked (for the request log).

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::access::{self, Attempt, Tokens, User};
use super::call::Call;
use super::kinds::KINDS;
use super::refusal::Refusal;
use super::reply::{self, Reply};
use super::store::Store;
use super::verbs::{self, Manner};
use super::{discovery, exec, forward, logs, removal, review, watching};
use crate::sandbox::node::Host;

/// A longer body is refused.
const LONGEST_BODY: usize = 8 << 20;

/// What every connection shares.
#[derive(Debug)]
pub struct Shared {
    pub store: Arc<Store>,
    pub tokens: Tokens,
    /// One JSON line a request, when it was answered (a watch: begun).
    pub requests: Mutex<File>,
    /// Where commands in containers run; nowhere until it is set.
    pub host: Arc<OnceLock<Host>>,
}

/// Takes connections until the future is dropped; then all of them end.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Both branches are cancel-safe.
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Without it only slower.
                let _ = stream.set_nodelay(true);
                let (tls, shared) = (tls.clone(), shared.clone());
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    let mut server = auto::Builder::new(TokioExecutor::new());
                    server.http1().keep_alive(true);
                    // How a connection ends is the client's business.
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let text = |name: header::HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let token = text(header::AUTHORIZATION).strip_prefix("Bearer ").map(str::to_owned).unwrap_or_default();
    let user = shared.tokens.user(&token);
    let asked = json!({
        "at": Timestamp::now().to_string(), "method": request.method().as_str(),
        "path": request.uri().path(), "query": request.uri().query().unwrap_or(""),
        "user": user.map_or("", User::name), "agent": text(header::USER_AGENT),
    });
    let reply = if let Some(user) = user {
        route(&shared, user, request, &asked).await.unwrap_or_else(|refusal| reply::refuse(&refusal))
    } else {
        note(&shared, &asked, "", 401);
        reply::refuse(&Refusal::unauthorized())
    };
    Ok(with_date(reply))
}

fn with_date(mut reply: Reply) -> Reply {
    let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&date) {
        reply.headers_mut().insert(header::DATE, value);
    }
    reply
}

fn note(shared: &Shared, asked: &Value, verb: &str, code: u16) {
    let mut line = asked.clone();
    line["verb"] = verb.into();
    line["code"] = code.into();
    let mut file = shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
    // A log that cannot be written must not stop the API: the sandbox's folder is gone only when it is going down.
    let _ = writeln!(file, "{line}");
}

async fn route(shared: &Arc<Shared>, user: User, request: Request<Incoming>, asked: &Value) -> Result<Reply, Refusal> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or("").to_owned());
    let text = |name: header::HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let manner = Manner {
        accept: text(header::ACCEPT),
        content_type: text(header::CONTENT_TYPE),
        gzip: text(header::ACCEPT_ENCODING).contains("gzip"),
    };
    if path.starts_with("/apis/authorization.k8s.io/v1/selfsubject") {
        let body = body(request).await?;
        let reply = review::answer(user, &path, &manner.content_type, &body);
        note(
            shared,
            asked,
            "create",
            reply.as_ref().map_or_else(|refusal| refusal.code, |reply| reply.status().as_u16()),
        );
        return reply;
    }
    let Some(call) = Call::parse(request.method(), &path, &query) else {
        note(shared, asked, "get", 200);
        return discovery::answer(&path, &manner.accept).ok_or_else(Refusal::no_such_path);
    };
    let reply = perform(shared, user, &call, &manner, request).await;
    let code = reply.as_ref().map_or_else(|refusal| refusal.code, |reply| reply.status().as_u16());
    note(shared, asked, call.verb, code);
    reply
}

async fn perform(
    shared: &Arc<Shared>,
    user: User,
    call: &Call,
    manner: &Manner,
    mut request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let kind = &KINDS[call.kind];
    let store = &shared.store;
    let subresource = call.subresource.as_deref();
    // A WebSocket begins with a GET, and does what takes the right to create.
    let opens = matches!(subresource, Some("exec" | "portforward"));
    for verb in [call.verb, "create"].into_iter().take(if opens { 2 } else { 1 }) {
        if !access::allowed(user, &Attempt::on(verb, kind, subresource)) {
            let (namespace, name) = (call.namespace.as_deref(), call.name.as_deref().unwrap_or_default());
            return Err(Refusal::forbidden(user.name(), verb, kind, subresource, namespace, name));
        }
    }
    let now = Timestamp::now();
    match (subresource, call.verb) {
        (Some("log"), "get") => return logs::log(store, call, now).await,
        (Some("exec"), "get" | "create") => return exec::exec(store, shared.host.get(), call, &mut request),
        (Some("portforward"), "get" | "create") => return forward::forward(store, call, &mut request),
        (Some("status"), "get" | "update" | "patch") if kind.status => {}
        (Some(_), _) => return Err(Refusal::no_such_path()),
        (None, _) => {}
    }
    match call.verb {
        "watch" => watching::watch(store, call, manner, Timestamp::now),
        "list" => verbs::list(store, call, manner, now),
        "get" => verbs::get(store, call, manner, now),
        "create" => verbs::create(store, call, &body(request).await?, now),
        "update" | "patch" => verbs::change(store, call, manner, &body(request).await?, now),
        "delete" => removal::delete(store, call, &body(request).await?, now),
        "deletecollection" => removal::delete_all(store, call, &body(request).await?, now),
        _ => Err(Refusal::method()),
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let collected = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
    let collected = collected.map_err(|error| Refusal::bad_request(format!("the body cannot be read: {error}")))?;
    Ok(collected.to_bytes())
}
