//! A TLS proxy in front of an API server, with faults to switch on and off.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use pgdeck::id::{ClusterId, PlaneId};
use pgdeck::plane::kubernetes::Options;
use pgdeck::sandbox::command;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::kube::stage::{Stage, eventually};

type Chunks = StreamBody<BoxStream<'static, Result<Frame<Bytes>, kube::Error>>>;

/// What happens to a request instead of being passed on.
#[derive(Debug, Clone)]
pub enum Trouble {
    Refused {
        code: u16,
        message: &'static str,
        retry_after: Option<&'static str>,
    },
    Late(Duration),
    /// It arrives and is carried out; the answer never comes back.
    AnswerLost,
    /// A word of the answer is another one.
    Misspelt {
        word: &'static str,
        instead: &'static str,
    },
}

impl Trouble {
    pub fn status(code: u16, message: &'static str) -> Trouble {
        Trouble::Refused { code, message, retry_after: None }
    }
}

struct Rule {
    is_for: Box<dyn Fn(&str) -> bool + Send>,
    trouble: Trouble,
    /// So many more requests; none for all.
    left: Option<usize>,
}

struct Shared {
    upstream: Client,
    tls: TlsAcceptor,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
    connections: Mutex<Vec<AbortHandle>>,
    hole: AtomicBool,
}

/// The proxy. What it serves looks like the API server behind it; everything ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    authority: String,
    folder: PathBuf,
    context: String,
    namespace: String,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Stands in front of a stage's API server.
    pub async fn before(stage: &Stage) -> Proxy {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let tls = rustls::ServerConfig::builder().with_no_client_auth();
        let tls = tls.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let shared = Arc::new(Shared {
            upstream: command::client(&stage.kubeconfig).await.unwrap().0,
            tls: TlsAcceptor::from(Arc::new(tls)),
            rules: Mutex::default(),
            requests: Mutex::default(),
            connections: Mutex::default(),
            hole: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = Mutex::new(Some(tokio::spawn(accept(listener, shared.clone()))));
        let (folder, namespace) = (stage.folder.clone(), stage.namespace.clone());
        let context = format!("before-{}", stage.context);
        let proxy = Proxy { address, authority: made.cert.pem(), folder, context, namespace, shared, accepting };
        proxy.log_in(&json!({"token": "any"}));
        proxy
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join(format!("proxied-{}", self.address.port()))
    }

    /// Writes the kubeconfig anew with that user.
    pub fn log_in(&self, user: &serde_json::Value) {
        let name = &self.context;
        let cluster = json!({"server": format!("https://{}", self.address),
                             "certificate-authority-data": STANDARD.encode(&self.authority)});
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": self.namespace}}],
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
        });
        std::fs::write(self.kubeconfig(), config.to_string()).unwrap();
    }

    /// How the plane is told to look through the proxy.
    pub fn options(&self) -> Options {
        Options {
            context: self.context.clone(),
            kubeconfig: Some(self.kubeconfig()),
            namespaces: vec![self.namespace.clone()],
            direct: false,
            role: None,
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A cluster as it is called through the proxy.
    pub fn id(&self, name: &str) -> ClusterId {
        let plane = PlaneId::Kubernetes(self.context.as_str().into());
        ClusterId { plane, namespace: self.namespace.as_str().into(), name: name.into() }
    }

    /// Every request so far: path and query.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until the requests are so.
    pub async fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        eventually(what, async || holds(&self.requests())).await;
    }

    /// Requests whose path is so get into trouble, until healed.
    pub fn trouble(&self, trouble: Trouble, is_for: impl Fn(&str) -> bool + Send + 'static) {
        self.add(trouble, None, is_for);
    }

    /// The next of such requests gets into trouble.
    pub fn trouble_once(&self, trouble: Trouble, is_for: impl Fn(&str) -> bool + Send + 'static) {
        self.add(trouble, Some(1), is_for);
    }

    fn add(&self, trouble: Trouble, left: Option<usize>, is_for: impl Fn(&str) -> bool + Send + 'static) {
        self.shared.rules.lock().unwrap().push(Rule { is_for: Box::new(is_for), trouble, left });
    }

    /// No trouble any more.
    pub fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
        self.shared.hole.store(false, Ordering::SeqCst);
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// From now on takes connections and requests, and answers nothing; open streams fall silent.
    pub fn swallow(&self) {
        self.shared.hole.store(true, Ordering::SeqCst);
    }

    /// Refuses connections, and breaks those there are.
    pub async fn down(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // An aborted task ends with an error that says so; the listener is closed then.
            let _ = accepting.await;
        }
        self.cut();
    }

    /// Listens again, at the same address.
    pub async fn up(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        *self.accepting.lock().unwrap() = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = tokio::spawn(serve(stream, shared.clone()));
        shared.connections.lock().unwrap().push(connection.abort_handle());
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    wait_in_hole(&shared).await;
    let Ok(stream) = shared.tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    // A client that goes away is no news.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Never returns for what came into the hole: its connection ends by being cut.
async fn wait_in_hole(shared: &Shared) {
    if shared.hole.load(Ordering::SeqCst) {
        futures::future::pending::<()>().await;
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Chunks> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    shared.requests.lock().unwrap().push(path.clone());
    wait_in_hole(shared).await;
    match trouble(shared, &path) {
        Some(Trouble::Refused { code, message, retry_after }) => return refusal(code, message, retry_after),
        Some(Trouble::Late(by)) => tokio::time::sleep(by).await,
        Some(Trouble::Misspelt { word, instead }) => {
            return misspelt(pass_on(shared, request, path).await, word, instead);
        }
        Some(Trouble::AnswerLost) => {
            pass_on(shared, request, path).await;
            futures::future::pending::<()>().await;
            unreachable!("nobody waits that long");
        }
        None => {}
    }
    pass_on(shared, request, path).await
}

fn trouble(shared: &Shared, path: &str) -> Option<Trouble> {
    let mut rules = shared.rules.lock().unwrap();
    let rule = rules.iter_mut().find(|rule| rule.left != Some(0) && (rule.is_for)(path))?;
    rule.left = rule.left.map(|left| left - 1);
    Some(rule.trouble.clone())
}

fn refusal(code: u16, message: &str, retry_after: Option<&str>) -> Response<Chunks> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code});
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        response = response.header(http::header::RETRY_AFTER, seconds);
    }
    response.body(chunks(futures::stream::iter([Ok(Bytes::from(status.to_string()))]).boxed())).unwrap()
}

async fn pass_on(shared: &Arc<Shared>, request: Request<Incoming>, path: String) -> Response<Chunks> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refusal(400, "the request broke off", None) };
    let mut passed = Request::builder().method(head.method).uri(path);
    if let Some(kind) = head.headers.get(http::header::CONTENT_TYPE) {
        passed = passed.header(http::header::CONTENT_TYPE, kind);
    }
    let passed = passed.body(Body::from(body.to_bytes().to_vec())).unwrap();
    let Ok(answered) = shared.upstream.send(passed).await else { return refusal(502, "nothing answers", None) };
    let (head, body) = answered.into_parts();
    let shared = shared.clone();
    let silenced = body.into_data_stream().then(move |chunk| {
        let shared = shared.clone();
        async move {
            wait_in_hole(&shared).await;
            chunk
        }
    });
    let mut response = Response::new(chunks(silenced.boxed()));
    *response.status_mut() = head.status;
    *response.headers_mut() = end_to_end(head.headers);
    response
}

/// Puts another word into an answer. Each object comes in one piece.
fn misspelt(answered: Response<Chunks>, word: &'static str, instead: &'static str) -> Response<Chunks> {
    let change = move |chunk: Bytes| Bytes::from(String::from_utf8_lossy(&chunk).replace(word, instead));
    answered.map(|body| {
        let pieces = body.into_data_stream().map(move |chunk| chunk.map(change));
        chunks(pieces.boxed())
    })
}

fn chunks(stream: BoxStream<'static, Result<Bytes, kube::Error>>) -> Chunks {
    StreamBody::new(stream.map(|chunk| chunk.map(Frame::data)).boxed())
}

/// Without what speaks of the connection behind the proxy.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION] {
        headers.remove(name);
    }
    headers
}
