//! What the user may do, by feature of pgdeck, and which versions answer.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::client::Server;
use super::collect;
use crate::fault::Fault;
use crate::id::Text;
use crate::work::probe::{Access, Right, Versions};

/// A right and the feature that needs it.
struct Needed {
    feature: &'static str,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
}

const fn needed(feature: &'static str, verb: &'static str, group: &'static str, resource: &'static str) -> Needed {
    Needed { feature, verb, group, resource, subresource: "" }
}

const ACID: &str = "acid.zalan.do";

/// Newer API servers ask for `create` on a port-forward, older ones for `get`: both are probed.
const NEEDED: &[Needed] = &[
    needed("clusters", "list", ACID, "postgresqls"),
    needed("clusters", "watch", ACID, "postgresqls"),
    needed("the operator's labels and names", "list", ACID, "operatorconfigurations"),
    needed("members", "list", "", "pods"),
    needed("members", "watch", "", "pods"),
    needed("members", "list", "apps", "statefulsets"),
    needed("members", "watch", "apps", "statefulsets"),
    needed("leader, lag and failovers", "list", "", "configmaps"),
    needed("leader, lag and failovers", "watch", "", "configmaps"),
    needed("leader, lag and failovers", "list", "", "endpoints"),
    needed("leader, lag and failovers", "watch", "", "endpoints"),
    needed("events", "list", "", "events"),
    needed("events", "watch", "", "events"),
    Needed { subresource: "log", ..needed("logs", "get", "", "pods") },
    needed("SQL", "get", "", "secrets"),
    Needed { subresource: "portforward", ..needed("SQL", "get", "", "pods") },
    Needed { subresource: "portforward", ..needed("SQL", "create", "", "pods") },
    needed("services, volumes, backups", "list", "", "services"),
    needed("services, volumes, backups", "list", "", "persistentvolumeclaims"),
    needed("services, volumes, backups", "list", "policy", "poddisruptionbudgets"),
    needed("services, volumes, backups", "list", "apps", "deployments"),
    needed("services, volumes, backups", "list", "batch", "cronjobs"),
    needed("namespaces by name", "list", "", "namespaces"),
];

/// Asks for each right once, some at a time.
pub async fn rights(server: &Server, namespace: Option<&str>) -> Vec<Right> {
    let mut rights = Vec::with_capacity(NEEDED.len());
    for some in NEEDED.chunks(4) {
        let mut asks = Vec::with_capacity(some.len());
        for needed in some {
            asks.push(one(server, needed, namespace).boxed());
        }
        rights.extend(futures::future::join_all(asks).await);
    }
    rights
}

async fn one(server: &Server, needed: &Needed, namespace: Option<&str>) -> Right {
    let resource = match needed.subresource {
        "" => needed.resource.to_owned(),
        subresource => format!("{}/{subresource}", needed.resource),
    };
    let allowed = ask(server, needed, namespace).await;
    Right { feature: needed.feature.into(), right: format!("{} {resource}", needed.verb).into(), allowed }
}

/// Whether the user may do that.
pub async fn may(server: &Server, access: &Access, namespace: &str) -> Result<bool, Fault> {
    let (resource, subresource) = access.resource.split_once('/').unwrap_or((access.resource, ""));
    let needed = Needed { subresource, ..needed("", access.verb, access.group, resource) };
    ask(server, &needed, Some(namespace)).await
}

async fn ask(server: &Server, needed: &Needed, namespace: Option<&str>) -> Result<bool, Fault> {
    let mut attributes = json!({"verb": needed.verb, "group": needed.group, "resource": needed.resource});
    if !needed.subresource.is_empty() {
        attributes["subresource"] = needed.subresource.into();
    }
    if let Some(namespace) = namespace {
        attributes["namespace"] = namespace.into();
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                        "spec": {"resourceAttributes": attributes}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answered = server.post(path, &review).await?;
    let answer: Value = super::client::parse(path, &answered.body)?;
    Ok(answer["status"]["allowed"].as_bool().unwrap_or(false))
}

/// Which versions answer. Only an API server that does not answer at all is a fault.
pub async fn versions(server: &Server) -> Result<Versions, Fault> {
    let version = server.get_json("/version").await?;
    let crd = server.get_json("/apis/acid.zalan.do").await;
    let crd = match crd {
        Ok(group) => {
            let versions = group["versions"].as_array().into_iter().flatten();
            let named: Vec<&str> = versions.filter_map(|version| version["version"].as_str()).collect();
            Some(Text::from(format!("postgresqls.acid.zalan.do {}", named.join(", "))))
        }
        Err(_) => None,
    };
    let operator = operator(server).await;
    let configuration = match collect::settings(server).await {
        Ok((settings, None)) => settings.found,
        Ok((_, Some(why))) => Some(format!("defaults assumed: {why}").into()),
        Err(why) => Some(format!("– {why}").into()),
    };
    Ok(Versions { server: version["gitVersion"].as_str().map(Text::from), crd, operator, configuration })
}

/// The tag of the operator's image, where a Deployment of its usual name can be seen.
async fn operator(server: &Server) -> Option<Text> {
    let container = operators(server).await.into_iter().next()?;
    container["image"].as_str()?.rsplit_once(':').map(|(_, tag)| Text::from(tag))
}

/// The ids that operators go by, of those that can be seen: each acts on the CRs alone that name it.
pub async fn controllers(server: &Server) -> Vec<Text> {
    let id = |container: &Value| {
        let variable = container["env"].as_array()?.iter().find(|variable| variable["name"] == "CONTROLLER_ID")?;
        variable["value"].as_str().map(Text::from)
    };
    operators(server).await.iter().filter_map(id).collect()
}

/// The containers of Deployments that run an operator's image; none where they may not be listed.
async fn operators(server: &Server) -> Vec<Value> {
    let deployments = server.items("/apis/apps/v1/deployments").await.unwrap_or_default();
    let containers = deployments
        .iter()
        .flat_map(|item| item["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default());
    containers
        .filter(|container| container["image"].as_str().is_some_and(|image| image.contains("postgres-operator:")))
        .collect()
}
