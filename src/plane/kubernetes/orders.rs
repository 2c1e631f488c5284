//! What orders and the questions before and after them need of the API server: fresh objects, a patch, a call to a member's
//! Patroni.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;

use super::client::Server;
use super::parts::{Index, Kind, Object, Reach};
use super::settings::Settings;
use super::watch::encode;
use super::{Options, access, dialect, reach, slim, zalando};
use crate::fault::Fault;
use crate::id::{ClusterId, InstanceId, PlaneId, Text};
use crate::pg::Stream;
use crate::work::patroni::PatroniView;
use crate::work::probe::Objects;

/// Where Patroni's REST interface listens.
const PORT: u16 = 8008;
/// Patroni answers a switchover or a restart when it is done, and watches it for two of its loops.
const ANSWER: Duration = Duration::from_secs(50);
/// A question it answers at once, unless it hangs: then another member is asked.
const TOLD: Duration = Duration::from_secs(8);

/// The cluster's objects as they stand this moment.
pub async fn objects(
    server: &Server,
    plane: &PlaneId,
    settings: &Settings,
    id: &ClusterId,
    now: Timestamp,
) -> Result<Objects, Fault> {
    let labels = encode(&format!("{}={}", settings.cluster_name_label, id.name));
    let list =
        |root: &str, kind: &str| format!("{root}/namespaces/{}/{kind}?labelSelector={labels}", encode(&id.namespace));
    let (pods, sets) = (list("/api/v1", "pods"), list("/apis/apps/v1", "statefulsets"));
    let (maps, endpoints) = (list("/api/v1", "configmaps"), list("/api/v1", "endpoints"));
    let resource = dialect::usual().path(id);
    let (resource, pods, sets, maps, endpoints) = futures::join!(
        server.get_json(&resource),
        server.items(&pods),
        server.items(&sets),
        server.items(&maps),
        server.items(&endpoints),
    );
    let resource = resource?;
    let mut index = Index::new(plane.clone(), settings.clone());
    for kind in [Kind::Pods, Kind::ConfigMaps, Kind::Endpoints] {
        index.reach(kind, None, Reach::End);
    }
    // Patroni's objects may be forbidden: pods tell enough then.
    let listed = [
        (Kind::Pods, pods?),
        (Kind::StatefulSets, sets?),
        (Kind::ConfigMaps, maps.unwrap_or_default()),
        (Kind::Endpoints, endpoints.unwrap_or_default()),
    ];
    index.put(Kind::Resources, object(Kind::Resources, resource.clone(), &id.name)?, now, None);
    for (kind, items) in listed {
        for item in items {
            let what = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            index.put(kind, object(kind, item, &what)?, now, None);
        }
    }
    let told = index.take_changed(true).into_iter().find(|(told, _)| told == id);
    let cluster = told.and_then(|(_, cluster)| cluster).ok_or_else(|| Fault::Gone { what: id.to_string() })?;
    let annotations = resource["metadata"]["annotations"].as_object().into_iter().flatten();
    let text = |value: &Value| Text::from(value.as_str().unwrap_or_default());
    let annotations: BTreeMap<Text, Text> =
        annotations.map(|(key, value)| (Text::from(key.as_str()), text(value))).collect();
    let version = text(&resource["metadata"]["resourceVersion"]);
    let finalizers = resource["metadata"]["finalizers"].as_array().into_iter().flatten().map(text).collect();
    let members = cluster.members.iter().filter_map(|member| Some((member.name.clone(), member.uid.clone()?)));
    let pods = members.collect();
    let mut rules = settings.rules.clone();
    if annotations.contains_key(zalando::CONTROLLER) {
        rules.controllers = access::controllers(server).await;
    }
    Ok(Objects { cluster, version, resource: bare(resource), annotations, finalizers, pods, rules })
}

fn bare(mut resource: Value) -> Value {
    if let Some(fields) = resource.as_object_mut() {
        fields.remove("status");
        if let Some(meta) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("managedFields");
        }
    }
    resource
}

/// The CR's uid; none if there is none.
pub async fn uid(server: &Server, id: &ClusterId) -> Result<Option<Text>, Fault> {
    match server.get_json(&dialect::usual().path(id)).await {
        Ok(resource) => Ok(resource["metadata"]["uid"].as_str().map(Text::from)),
        Err(Fault::Gone { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn object(kind: Kind, value: Value, name: &str) -> Result<Object, Fault> {
    fn of<T: serde::de::DeserializeOwned>(value: Value) -> Result<Box<T>, serde_json::Error> {
        serde_json::from_value(value).map(Box::new)
    }
    let read = match kind {
        Kind::Resources => of(value).map(Object::Resource),
        Kind::Pods => of(value).map(Object::Pod),
        Kind::StatefulSets => of(value).map(Object::StatefulSet),
        Kind::Events => of(value).map(Object::Event),
        Kind::ConfigMaps | Kind::Endpoints => of::<slim::Bare>(value)
            .map(|bare| Object::Dcs { meta: Box::new(bare.metadata), endpoints: kind == Kind::Endpoints }),
    };
    read.map_err(|error| Fault::Malformed {
        what: format!("{} {name}", kind.word()),
        place: "the object".into(),
        why: error.to_string(),
    })
}

/// Patches the CR: only the very one that was looked at, as it was then (409 otherwise), and no field that the schema does
/// not know. `dry`: everything but the writing.
pub async fn patch(
    server: &Server,
    id: &ClusterId,
    (uid, version): (&str, &str),
    patch: &Value,
    dry: bool,
) -> Result<String, Fault> {
    let mut body = patch.clone();
    body["metadata"]["uid"] = uid.into();
    body["metadata"]["resourceVersion"] = version.into();
    let dry = if dry { "&dryRun=All" } else { "" };
    let path = format!("{}?fieldManager=pgdeck&fieldValidation=Strict{dry}", dialect::usual().path(id));
    let answered = server.patch(&path, &body).await?;
    let object: Value = super::client::parse(&path, &answered.body)?;
    kept(patch, &object, "").map_err(|place| Fault::Refused {
        what: format!("the patch of {id}"),
        why: format!("the API server took it and left {place} as it was: its CRD does not know the field"),
    })?;
    Ok(format!("resourceVersion {}", object["metadata"]["resourceVersion"].as_str().unwrap_or("unknown")))
}

/// Whether the object has what the patch asked for; else the first place where not. Old API servers prune without a word.
fn kept(patch: &Value, object: &Value, place: &str) -> Result<(), String> {
    match patch {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            kept(value, &object[name], &place)
        }),
        value if value == object => Ok(()),
        _ => Err(place.to_owned()),
    }
}

/// What a member's Patroni says.
pub async fn view(server: &Server, options: &Options, instance: &InstanceId) -> Result<PatroniView, Fault> {
    let (cluster, config) = futures::join!(
        call(server, options, instance, "GET", "/cluster", &Value::Null),
        call(server, options, instance, "GET", "/config", &Value::Null),
    );
    let read = |text: String, path: &str| super::client::parse::<Value>(path, text.as_bytes());
    Ok(PatroniView::read(&read(cluster?, "/cluster")?, read(config?, "/config")?))
}

/// Calls the REST interface of a member's Patroni, by the way that its Postgres is reached too.
pub async fn call(
    server: &Server,
    options: &Options,
    instance: &InstanceId,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<String, Fault> {
    let what = format!("Patroni of {instance}");
    let called = async {
        match reach::stream(server, options, instance, PORT).await? {
            Stream::Tcp { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), port)).await;
                let tcp = tcp.map_err(|error| Fault::Unreachable { what: what.clone(), why: error.to_string() })?;
                exchange(TokioIo::new(tcp), &what, method, path, body).await
            }
            Stream::Open { io, broken } => {
                let mut broken = broken.unwrap_or_else(|| Box::pin(std::future::pending()));
                // Whichever loses is dropped, and the connection with it.
                tokio::select! {
                    answered = exchange(TokioIo::new(io), &what, method, path, body) => answered,
                    fault = &mut broken => Err(fault),
                }
            }
            Stream::Unix(_) => Err(Fault::Unsupported { what: what.clone(), why: "it has no socket".into() }),
        }
    };
    let patience = if method == "GET" { TOLD } else { ANSWER };
    tokio::time::timeout(patience, called)
        .await
        .map_err(|_elapsed| Fault::TimedOut { what: what.clone(), after: patience })?
}

async fn exchange(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    what: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<String, Fault> {
    let unreachable = |error: hyper::Error| Fault::Unreachable { what: what.into(), why: error.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(unreachable)?;
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::USER_AGENT, concat!("pgdeck/", env!("CARGO_PKG_VERSION")))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(bytes::Bytes::from(text)))
        .map_err(|error| Fault::Malformed { what: what.into(), place: path.into(), why: error.to_string() })?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(unreachable)?.to_bytes();
        Ok::<_, Fault>((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    tokio::pin!(asked);
    tokio::pin!(connection);
    // The connection drives the exchange; it may end, in order, a moment before the answer is taken.
    let (status, said) = tokio::select! {
        answered = &mut asked => answered?,
        ended = &mut connection => {
            ended.map_err(unreachable)?;
            asked.await?
        }
    };
    match status.as_u16() {
        // What is asked for is read; to a change the whole configuration may be the answer, which nobody should keep.
        200..=299 if method != "GET" && said.starts_with('{') => Ok("taken".into()),
        200..=299 => Ok(said),
        401 | 403 => Err(Fault::Forbidden {
            what: what.into(),
            needs: "the user and password of Patroni's REST interface, which pgdeck does not know".into(),
        }),
        // It may go on all the same, or have been done: only its effect tells.
        500..=599 if method != "GET" => Err(Fault::Unreachable { what: what.into(), why: format!("{status}: {said}") }),
        _ => Err(Fault::Refused { what: format!("{method} {path} by {what}"), why: format!("{status}: {said}") }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_was_pruned_is_noticed() {
        let patch = json!({"spec": {"numberOfInstances": 3, "enableWALArchiving": false}});
        let object = json!({"spec": {"numberOfInstances": 3, "teamId": "acid"}});
        assert_eq!(kept(&patch, &object, ""), Err("spec.enableWALArchiving".into()));
        assert_eq!(kept(&json!({"spec": {"numberOfInstances": 3}}), &object, ""), Ok(()));
        // A merge patch takes away what is null.
        assert_eq!(kept(&json!({"spec": {"env": null}}), &object, ""), Ok(()));
    }
}
