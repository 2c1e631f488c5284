//! The subset of the Kubernetes API that pgdeck, Patroni and everyday kubectl use, in process, on loopback.
//!
//! TLS by a certificate authority of its own, users by tokens, objects in memory. No controller runs inside: the sandbox's
//! operator and node are ordinary clients.

mod access;
mod call;
mod definition;
mod discovery;
mod exec;
mod forward;
mod kinds;
mod logs;
mod patch;
mod refusal;
mod removal;
mod reply;
mod review;
mod seed;
mod select;
mod serve;
mod socket;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod validation;
mod verbs;
mod watching;

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use access::User;
pub use logs::LOG_PATH;

use access::Tokens;
use serve::Shared;
use store::Store;

use crate::sandbox::node::Host;

/// How an API is started.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where its request log goes (`requests.jsonl`). It must exist.
    pub folder: PathBuf,
}

/// A running API. Dropping it ends it and all its connections.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    authority: String,
    tokens: Tokens,
    store: Arc<Store>,
    host: Arc<OnceLock<Host>>,
    server: JoinHandle<()>,
}

/// Why an API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the sandbox's API cannot listen on {address}: {source}; is another sandbox using it?")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the sandbox's request log {} cannot be written: {source}", .path.display())]
    Log { path: PathBuf, source: std::io::Error },
    #[error("the sandbox's certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the sandbox's TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the sandbox's API cannot be filled with what every cluster has: {0}")]
    Seed(String),
    #[error("the system gives no random numbers for the sandbox's tokens")]
    Random,
}

impl Api {
    /// Starts it; it answers when this returns.
    pub async fn start(options: ApiOptions) -> Result<Api, ApiError> {
        let failed = |source| ApiError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let path = options.folder.join("requests.jsonl");
        let requests = OpenOptions::new().create(true).append(true).open(&path);
        let requests = Mutex::new(requests.map_err(|source| ApiError::Log { path, source })?);
        let provider = rustls::crypto::ring::default_provider();
        let tokens = Tokens::random(&provider).map_err(|_no_detail| ApiError::Random)?;
        let (authority, tls) = certificates(address)?;
        let store = Arc::new(Store::new());
        seed::fill(&store, address, Timestamp::now()).map_err(|refusal| ApiError::Seed(refusal.message))?;
        let host = Arc::new(OnceLock::new());
        let shared = Shared { store: store.clone(), tokens: tokens.clone(), requests, host: host.clone() };
        let shared = Arc::new(shared);
        let server = tokio::spawn(serve::serve(listener, TlsAcceptor::from(Arc::new(tls)), shared));
        Ok(Api { address, authority, tokens, store, host, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig for a user, with one context of that name. It holds the user's token: keep it in a 0600 file.
    pub fn kubeconfig(&self, user: User, context: &str) -> String {
        let authority = STANDARD.encode(&self.authority);
        let (address, token, name) = (self.address, self.tokens.of(user), user.name());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\ncontexts:\n- name: {context}\n  context: \
             {{cluster: {context}, user: {context}-{name}, namespace: default}}\nclusters:\n- name: {context}\n  cluster: \
             {{server: \"https://{address}\", certificate-authority-data: {authority}}}\nusers:\n- name: {context}-{name}\n  \
             user: {{token: \"{token}\"}}\n"
        )
    }

    /// From now on commands can be run in the containers of the members on this machine.
    pub fn exec_on(&self, host: Host) {
        // A second host would be told of the same machine.
        let _ = self.host.set(host);
    }

    /// Forgets all changes, as etcd's compaction does: resumed watches and old versions are told 410 Gone.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// Ends it and all its connections.
    pub async fn stop(mut self) {
        self.server.abort();
        // An aborted task ends with an error that says so.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A certificate authority as PEM, and the server's side of TLS by it.
fn certificates(address: SocketAddr) -> Result<(String, ServerConfig), ApiError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "pgdeck sandbox");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let names = vec![address.ip().to_string(), "localhost".into(), "kubernetes.default.svc".into()];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((authority.pem(), tls))
}
