//! The connection to one API server: built off the loop, rebuilt when its credential ends, every request with a deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::{Body, ConfigExt as _};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tower::ServiceBuilder;
use tower_http::decompression::DecompressionLayer;

use super::credential::{self, Choice, Login};
use super::watch::encode;
use crate::fault::Fault;
use crate::plane::Clock;

/// A request that is answered later has failed.
const ANSWER: Duration = Duration::from_secs(10);
/// A page of a list may take longer.
const PAGE: Duration = Duration::from_secs(30);
/// So many lists and gets at the same time; watches do not count.
const AT_ONCE: usize = 6;
/// Items a page of a list that is asked for once.
const ITEMS: usize = 200;
/// A credential is renewed this long before it ends.
const BEFORE_END: SignedDuration = SignedDuration::from_secs(60);
/// A login that failed is not tried again sooner: many streams ask at once, and a plugin may bother the user.
const AFTER_FAILURE: SignedDuration = SignedDuration::from_secs(3);

/// One API server, shared by all streams of a plane.
#[derive(Debug, Clone)]
pub struct Server {
    pub context: Arc<str>,
    asks: mpsc::UnboundedSender<Ask>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Ask {
    /// A connection that was refused with 401: it is not handed out again.
    refused: Option<u64>,
    reply: oneshot::Sender<Result<Connection, Fault>>,
}

/// A client with the number of the login it stands for.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    pub namespace: Arc<str>,
    /// The API server's URL, for messages.
    address: Arc<str>,
    login: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, login {})", self.namespace, self.login)
    }
}

/// An answer: headers and body.
#[derive(Debug)]
pub struct Answered {
    pub headers: HeaderMap,
    pub body: bytes::Bytes,
}

impl Answered {
    /// The API server's clock.
    pub fn date(&self) -> Option<Timestamp> {
        let text = self.headers.get(http::header::DATE)?.to_str().ok()?;
        Timestamp::strptime("%a, %d %b %Y %H:%M:%S %z", text.replace("GMT", "+0000")).ok()
    }
}

impl Server {
    /// One owner of the login, told by messages; it ends when nobody can ask any more.
    pub fn new(choice: Choice, clock: Clock) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (asks, asked) = mpsc::unbounded_channel();
        let context: Arc<str> = choice.context.as_str().into();
        let server = Server { context, asks, turns: Arc::new(Semaphore::new(AT_ONCE)) };
        (server, keep_login(choice, clock, asked))
    }

    async fn connection(&self, refused: Option<u64>) -> Result<Connection, Fault> {
        let (reply, answer) = oneshot::channel();
        let gone = || Fault::Unreachable { what: self.what(), why: "pgdeck is ending".into() };
        self.asks.send(Ask { refused, reply }).map_err(|_closed| gone())?;
        answer.await.map_err(|_closed| gone())?
    }

    /// A client for what has no request of its own here (port-forwards).
    pub async fn client(&self) -> Result<Connection, Fault> {
        self.connection(None).await
    }

    fn what(&self) -> String {
        format!("the API server of {}", self.context)
    }

    /// GET, within its deadline.
    pub async fn get(&self, path: &str) -> Result<Answered, Fault> {
        self.send("GET", path, None, ANSWER).await
    }

    /// A page of a list.
    pub async fn page(&self, path: &str) -> Result<Answered, Fault> {
        self.send("GET", path, None, PAGE).await
    }

    /// POST of a review.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answered, Fault> {
        self.send("POST", path, Some(body.to_string()), ANSWER).await
    }

    /// A merge patch, sent once.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answered, Fault> {
        self.send("PATCH", path, Some(body.to_string()), ANSWER).await
    }

    /// DELETE with its options, sent once.
    pub async fn delete(&self, path: &str, options: &Value) -> Result<Answered, Fault> {
        self.send("DELETE", path, Some(options.to_string()), ANSWER).await
    }

    /// The answer as JSON.
    pub async fn get_json(&self, path: &str) -> Result<Value, Fault> {
        let answered = self.get(path).await?;
        parse(path, &answered.body)
    }

    /// All items of a list, page after page. `path` has no `limit`.
    pub async fn items(&self, path: &str) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let before = if path.contains('?') { '&' } else { '?' };
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", encode(&next)) };
            let mut page = self.get_json(&format!("{path}{before}limit={ITEMS}{more}")).await?;
            if let Some(listed) = page["items"].as_array_mut() {
                items.append(listed);
            }
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => return Ok(items),
            }
        }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
        deadline: Duration,
    ) -> Result<Answered, Fault> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let mut refused = None;
        loop {
            let connection = self.connection(refused).await?;
            let request = request(method, path, body.clone())?;
            let sent = async {
                let response =
                    connection.client.send(request).await.map_err(|error| self.broken(path, &connection, &error))?;
                let (head, body) = response.into_parts();
                let body = body.collect().await.map_err(|error| self.broken(path, &connection, &error))?.to_bytes();
                Ok::<_, Fault>((head.status, head.headers, body))
            };
            let timed = tokio::time::timeout(deadline, sent).await;
            let (status, headers, body) =
                timed.map_err(|_elapsed| Fault::TimedOut { what: self.what(), after: deadline })??;
            if status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(connection.login);
                continue;
            }
            if !status.is_success() {
                let fault = self.refusal(path, status, &headers, &body);
                return Err(if method != "GET" && status.is_server_error() { self.in_doubt(fault) } else { fault });
            }
            return Ok(Answered { headers, body });
        }
    }

    /// Opens a stream of lines (a watch, a log) and hands them out as they come; the caller keeps the time.
    pub async fn lines(&self, path: &str) -> Result<BoxStream<'static, Result<bytes::Bytes, Fault>>, Fault> {
        let mut refused = None;
        loop {
            let connection = self.connection(refused).await?;
            let request = request("GET", path, None)?;
            let sent = tokio::time::timeout(ANSWER, connection.client.send(request)).await;
            let response = sent
                .map_err(|_elapsed| Fault::TimedOut { what: self.what(), after: ANSWER })?
                .map_err(|error| self.broken(path, &connection, &error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(connection.login);
                continue;
            }
            let (head, body) = response.into_parts();
            if !status.is_success() {
                let body = tokio::time::timeout(ANSWER, body.collect()).await;
                let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
                return Err(self.refusal(path, status, &head.headers, &body));
            }
            let what = self.what();
            let chunks = body.into_data_stream().map_err(std::io::Error::other);
            let reader = tokio_util::io::StreamReader::new(chunks);
            let lines = tokio_util::codec::FramedRead::with_capacity(
                reader,
                tokio_util::codec::AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), 16 << 20),
                16 * 1024,
            );
            let broken = move |error: tokio_util::codec::AnyDelimiterCodecError| Fault::Unreachable {
                what: what.clone(),
                why: format!("the stream broke: {error}"),
            };
            return Ok(lines.map_err(broken).boxed());
        }
    }

    fn broken(&self, path: &str, connection: &Connection, error: &dyn std::error::Error) -> Fault {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        tracing::debug!(path, why, "request failed");
        Fault::Unreachable { what: format!("{} at {}", self.what(), connection.address), why }
    }

    /// A server that broke over a change (its store was too slow, say) may have made it: only the effect tells. A webhook that
    /// cannot be asked comes before any change.
    fn in_doubt(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused { why, .. } if !why.contains("webhook") => Fault::Unreachable { what: self.what(), why },
            fault => fault,
        }
    }

    fn refusal(&self, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let why = said["message"].as_str().map_or_else(|| status.to_string(), |said| reason(said).to_owned());
        let what = || format!("{} on {}", path.split('?').next().unwrap_or(path), self.context);
        match status.as_u16() {
            401 => Fault::AuthExpired { what: self.what(), why },
            403 => Fault::Forbidden { what: what(), needs: needs(path, &why) },
            409 => Fault::Conflict { what: what(), why },
            404 | 410 => Fault::Gone { what: what() },
            429 => {
                let seconds =
                    headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Fault::Throttled { what: self.what(), retry_after: Duration::from_secs(seconds.unwrap_or(1)) }
            }
            _ => Fault::Refused { what: what(), why },
        }
    }
}

/// The reason alone: a strict API server puts the whole object before it.
fn reason(said: &str) -> &str {
    said.rfind("strict decoding error: ").map_or(said, |at| &said[at..])
}

/// The right that was missing, out of the refusal's own words where they tell.
fn needs(path: &str, why: &str) -> String {
    let between = |from: &str, to: &str| why.split(from).nth(1)?.split(to).next().map(str::to_owned);
    match (between(" cannot ", " resource"), between("resource \"", "\"")) {
        (Some(verb), Some(resource)) => {
            let place =
                between(" in the namespace \"", "\"").map(|ns| format!(" in namespace {ns}")).unwrap_or_default();
            format!("the right to {verb} {resource}{place}")
        }
        _ => format!("a right on {path}"),
    }
}

fn request(method: &str, path: &str, body: Option<String>) -> Result<Request<Body>, Fault> {
    let mut builder = Request::builder().method(method).uri(path).header(http::header::ACCEPT, "application/json");
    if body.is_some() {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        builder = builder.header(http::header::CONTENT_TYPE, kind);
    }
    let body = body.map_or_else(Body::empty, |text| Body::from(text.into_bytes()));
    builder.body(body).map_err(|error| Fault::Malformed {
        what: "a request".into(),
        place: path.into(),
        why: error.to_string(),
    })
}

/// Parses an answer.
pub fn parse<T: serde::de::DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::Malformed {
        what: format!("the answer to {path}"),
        place: format!("line {} column {}", error.line(), error.column()),
        why: error.to_string(),
    })
}

async fn keep_login(choice: Choice, clock: Clock, mut asked: mpsc::UnboundedReceiver<Ask>) {
    let mut current: Option<(Connection, Option<Timestamp>)> = None;
    let mut failed: Option<(Timestamp, Fault)> = None;
    let mut logins = 0;
    while let Some(ask) = asked.recv().await {
        let usable = current.as_ref().filter(|(connection, ends)| {
            ask.refused != Some(connection.login) && ends.is_none_or(|ends| clock() < ends - BEFORE_END)
        });
        let answer = if let Some((connection, _)) = usable {
            Ok(connection.clone())
        } else if let Some((_, why)) = failed.as_ref().filter(|(at, _)| clock() < *at + AFTER_FAILURE) {
            Err(why.clone())
        } else {
            logins += 1;
            let made = connect(&choice, logins).await;
            failed = made.as_ref().err().map(|why| (clock(), why.clone()));
            made.map(|(connection, ends)| {
                current = Some((connection.clone(), ends));
                connection
            })
        };
        // Who asked may have been dropped meanwhile.
        let _ = ask.reply.send(answer);
    }
}

async fn connect(choice: &Choice, login: u64) -> Result<(Connection, Option<Timestamp>), Fault> {
    let Login { config, ends, namespace } = credential::login(choice).await?;
    let what = format!("context {}", choice.context);
    let address: Arc<str> = config.cluster_url.to_string().trim_end_matches('/').into();
    let malformed =
        move |error: kube::Error| Fault::Malformed { what, place: "the kubeconfig".into(), why: error.to_string() };
    // Certificates and tokens may come from files: not on the threads that keep the streams.
    let built = tokio::task::spawn_blocking(move || client(&config)).await;
    let client = built.map_err(|_cancelled| Fault::Cancelled)?.map_err(malformed)?;
    Ok((Connection { client, namespace: namespace.into(), address, login }, ends))
}

/// A client with TCP keepalive, few idle connections, and no retries of its own.
fn client(config: &kube::Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector.set_keepalive_interval(Some(Duration::from_secs(5)));
    connector.set_keepalive_retries(Some(3));
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(4)
        .build(connector);
    let namespace = config.default_namespace.clone();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(DecompressionLayer::new())
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(Client::new(service, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_strict_refusal_the_reason_alone_is_told() {
        let said = r#" "" is invalid: patch: Invalid value: "{\"kind\":\"postgresql\"}": strict decoding error: unknown field "spec.x""#;
        assert_eq!(reason(said), r#"strict decoding error: unknown field "spec.x""#);
        assert_eq!(reason("spec.volume is required"), "spec.volume is required");
    }
}
