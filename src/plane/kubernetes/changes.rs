//! Orders beside the patch of a CR: other objects, new ones, the end of a cluster, commands in a member's container.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::client::{Server, parse};
use super::dialect;
use super::settings::Settings;
use super::watch::encode;
use crate::fault::Fault;
use crate::id::{ClusterId, InstanceId, Text};
use crate::work::order::Object;

/// So much of what a command prints is kept, in bytes.
const KEPT: u64 = 256 << 10;

fn path(cluster: &ClusterId, object: &Object) -> String {
    let (root, kind) = object.kind.place();
    format!("{root}/namespaces/{}/{kind}/{}", encode(&cluster.namespace), encode(&object.name))
}

fn dry_run(dry: bool) -> &'static str {
    if dry { "&dryRun=All" } else { "" }
}

/// Patches an object that belongs to a cluster, if it is still that very one.
pub async fn amend(
    server: &Server,
    cluster: &ClusterId,
    object: &Object,
    uid: &str,
    patch: &Value,
    dry: bool,
) -> Result<String, Fault> {
    let mut body = patch.clone();
    body["metadata"]["uid"] = uid.into();
    let path = format!("{}?fieldManager=pgdeck&fieldValidation=Strict{}", path(cluster, object), dry_run(dry));
    let answered = server.patch(&path, &body).await?;
    let answer: Value = parse(&path, &answered.body)?;
    Ok(format!("resourceVersion {}", answer["metadata"]["resourceVersion"].as_str().unwrap_or("unknown")))
}

/// Creates an object.
pub async fn create(
    server: &Server,
    cluster: &ClusterId,
    object: &Object,
    body: &Value,
    dry: bool,
) -> Result<String, Fault> {
    let (root, kind) = object.kind.place();
    let path = format!(
        "{root}/namespaces/{}/{kind}?fieldManager=pgdeck&fieldValidation=Strict{}",
        encode(&cluster.namespace),
        dry_run(dry)
    );
    server.post(&path, body).await?;
    Ok(format!("{} {} is there", object.kind.word(), object.name))
}

/// Deletes the CR: that very one, as it was looked at.
pub async fn delete(
    server: &Server,
    cluster: &ClusterId,
    (uid, version): (&str, &str),
    dry: bool,
) -> Result<String, Fault> {
    let only = json!({ "uid": uid, "resourceVersion": version });
    end(server, &dialect::usual().path(cluster), &only, dry).await
}

/// Deletes an object that belongs to a cluster, if it is still that very one.
pub async fn remove(
    server: &Server,
    cluster: &ClusterId,
    object: &Object,
    uid: &str,
    dry: bool,
) -> Result<String, Fault> {
    match end(server, &path(cluster, object), &json!({ "uid": uid }), dry).await {
        Err(Fault::Gone { .. }) => Ok("it is gone already".into()),
        answered => answered,
    }
}

async fn end(server: &Server, path: &str, only: &Value, dry: bool) -> Result<String, Fault> {
    let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": only });
    if dry {
        options["dryRun"] = json!(["All"]);
    }
    server.delete(path, &options).await?;
    Ok("the API server took it".into())
}

/// The member whose pod is labelled as the primary.
pub async fn leader(server: &Server, settings: &Settings, cluster: &ClusterId) -> Result<InstanceId, Fault> {
    let labels = format!(
        "{},{}={},{} in (master,primary)",
        settings.selector(),
        settings.cluster_name_label,
        cluster.name,
        settings.pod_role_label
    );
    let pods = format!("/api/v1/namespaces/{}/pods?labelSelector={}", encode(&cluster.namespace), encode(&labels));
    let pods = server.items(&pods).await?;
    let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    match names[..] {
        [name] => Ok(InstanceId { cluster: cluster.clone(), member: name.into() }),
        [] => Err(Fault::Unreachable { what: cluster.to_string(), why: "no member leads now".into() }),
        _ => {
            Err(Fault::Refused { what: cluster.to_string(), why: format!("more than one leads: {}", names.join(", ")) })
        }
    }
}

/// Runs a command in the member's container and gives what it printed.
pub async fn exec(server: &Server, instance: &InstanceId, command: &[Text]) -> Result<String, Fault> {
    let what = format!("a command in {instance}");
    let connection = server.client().await?;
    let pods: Api<Pod> = Api::namespaced(connection.client, &instance.cluster.namespace);
    let asked = AttachParams::default().container("postgres").stdin(false).stdout(true).stderr(true);
    let words = command.iter().map(ToString::to_string);
    let mut process = pods.exec(&instance.member, words, &asked).await.map_err(|error| refused(&what, &error))?;
    let status = process.take_status();
    let (out, err) = futures::join!(read(process.stdout()), read(process.stderr()));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let lost = |error: std::io::Error| Fault::Unreachable { what: what.clone(), why: error.to_string() };
    let (out, err) = (out.map_err(lost)?, err.map_err(lost)?);
    match status {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(out),
        Some(status) => {
            let said = if err.trim().is_empty() { out } else { err };
            let why = format!("{}: {}", status.message.unwrap_or_else(|| "it failed".into()), said.trim());
            Err(Fault::Refused { what, why })
        }
        None => Err(Fault::Unreachable { what, why: "the connection broke before it ended".into() }),
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(stream) = stream else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    stream.take(KEPT).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(what: &str, error: &kube::Error) -> Fault {
    match super::reach::code(error) {
        401 => Fault::AuthExpired { what: what.into(), why: error.to_string() },
        403 => Fault::Forbidden { what: what.into(), needs: "the rights to get and create pods/exec".into() },
        404 => Fault::Gone { what: what.into() },
        _ => Fault::Unreachable { what: what.into(), why: error.to_string() },
    }
}
