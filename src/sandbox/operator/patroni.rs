//! Patroni's REST API, as far as the operator calls it.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::sandbox::error::{Error, Result};

/// A switchover may take two loops of Patroni.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes the dynamic configuration of the cluster that the member at `ip` belongs to.
pub async fn configure(ip: &str, patch: &Value) -> Result<()> {
    send(ip, "PATCH", "/config", patch).await.map(drop)
}

pub async fn switch_over(ip: &str, leader: &str, candidate: &str) -> Result<()> {
    // The operator says "member" where Patroni's documentation says "candidate".
    let body = json!({ "leader": leader, "member": candidate, "scheduled_at": "" });
    send(ip, "POST", "/switchover", &body).await.map(drop)
}

/// The members that the Patroni at `ip` knows.
pub async fn members(ip: &str) -> Result<Vec<Value>> {
    let cluster = read(ip, "/cluster").await?;
    Ok(cluster["members"].as_array().cloned().unwrap_or_default())
}

/// What the member at `ip` says of itself.
pub async fn member(ip: &str) -> Result<Value> {
    read(ip, "/patroni").await
}

/// The dynamic configuration as it stands.
pub async fn configuration(ip: &str) -> Result<Value> {
    read(ip, "/config").await
}

/// Restarts the Postgres of the member at `ip` if it waits for that; returns when it is done.
pub async fn restart(ip: &str) -> Result<()> {
    send(ip, "POST", "/restart", &json!({ "restart_pending": true })).await.map(drop)
}

async fn read(ip: &str, path: &str) -> Result<Value> {
    let text = send(ip, "GET", path, &Value::Null).await?;
    serde_json::from_str(&text).map_err(|error| Error::failed(format!("GET http://{ip}:8008{path}"), error))
}

async fn send(ip: &str, method: &str, path: &str, body: &Value) -> Result<String> {
    let what = format!("{method} http://{ip}:8008{path}");
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://{ip}:8008{path}"))
        .header("content-type", "application/json")
        .body(Full::new(if body.is_null() { Bytes::new() } else { body.to_string().into() }))
        .map_err(|error| Error::failed(&*what, error))?;
    let answer = async {
        let response = client.request(request).await.map_err(|error| Error::failed(&*what, error))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| Error::failed(&*what, error))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() { Ok(text) } else { Err(Error::Patroni { what: what.clone(), said: text }) }
    };
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_elapsed| Error::failed(&*what, "no answer within 30 s"))?
}
