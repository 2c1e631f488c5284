//! What there is: versions, groups, resources, in the old and the aggregated form, and enough OpenAPI for kubectl.

use serde_json::{Value, json};

use super::kinds::{KINDS, Kind, groups};
use super::reply::{self, Reply};

/// The version this API says it is.
const MINOR: &str = "33";

/// Answers a path that is about the API itself; none if it is not.
pub fn answer(path: &str, accept: &str) -> Option<Reply> {
    let aggregated = accept.contains("as=APIGroupDiscoveryList");
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match parts.as_slice() {
        ["version"] => reply::json(200, &version()),
        ["healthz" | "livez" | "readyz"] => reply::text(200, "text/plain", "ok"),
        ["api"] if aggregated => aggregated_reply(accept, str::is_empty),
        ["apis"] if aggregated => aggregated_reply(accept, |group| !group.is_empty()),
        ["api"] => {
            reply::json(200, &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
        }
        ["apis"] => reply::json(200, &group_list()),
        ["api", "v1"] => reply::json(200, &resource_list("", "v1")),
        ["apis", group] if has(group) => reply::json(200, &group_entry(group)),
        ["apis", group, version] if has(group) => reply::json(200, &resource_list(group, version)),
        ["openapi", "v3"] => reply::json(200, &openapi_index()),
        ["openapi", "v3", "api", "v1"] => reply::json(200, &openapi("", "v1")),
        ["openapi", "v3", "apis", group, version] => reply::json(200, &openapi(group, version)),
        _ => return None,
    })
}

fn has(group: &str) -> bool {
    groups().iter().any(|(known, _)| *known == group)
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0-pgdeck"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_entry(group: &str) -> Value {
    let versions: Vec<Value> = groups()
        .into_iter()
        .filter(|(known, _)| *known == group)
        .map(|(group, version)| json!({"groupVersion": group_version(group, version), "version": version}))
        .collect();
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions, "preferredVersion": versions.first()})
}

fn group_list() -> Value {
    let entries: Vec<Value> =
        groups().into_iter().filter(|(group, _)| !group.is_empty()).map(|(group, _)| group_entry(group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": entries})
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn subresources(kind: &Kind) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let mut all = Vec::new();
    if kind.status {
        all.push(("status", kind.kind, vec!["get", "patch", "update"]));
    }
    if kind.plural == "pods" {
        all.push(("exec", "PodExecOptions", vec!["create", "get"]));
        all.push(("log", "Pod", vec!["get"]));
        all.push(("portforward", "PodPortForwardOptions", vec!["create", "get"]));
    }
    all
}

fn resource_list(group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in KINDS.iter().filter(|kind| kind.group == group && kind.version == version) {
        let categories: &[&str] = if kind.in_all { &["all"] } else { &[] };
        resources.push(json!({
            "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": VERBS, "shortNames": kind.short, "categories": categories,
        }));
        for (name, sub_kind, verbs) in subresources(kind) {
            resources.push(json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": sub_kind, "verbs": verbs,
            }));
        }
    }
    if group == "authorization.k8s.io" {
        resources.push(json!({
            "name": "selfsubjectaccessreviews", "singularName": "selfsubjectaccessreview", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"],
        }));
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": resources})
}

fn aggregated_reply(accept: &str, wanted: impl Fn(&str) -> bool) -> Reply {
    let version = if accept.contains("v=v2;") { "v2" } else { "v2beta1" };
    let items: Vec<Value> = groups().into_iter().filter(|(group, _)| wanted(group)).map(aggregated_group).collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items,
    });
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    reply::text(200, &content_type, list.to_string())
}

fn aggregated_group((group, version): (&str, &str)) -> Value {
    let response = |kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut resources: Vec<Value> = KINDS
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .map(|kind| {
            let subs: Vec<Value> = subresources(kind)
                .into_iter()
                .map(|(name, sub_kind, verbs)| json!({"subresource": name, "responseKind": response(sub_kind), "verbs": verbs}))
                .collect();
            let categories: &[&str] = if kind.in_all { &["all"] } else { &[] };
            json!({
                "resource": kind.plural, "responseKind": response(kind.kind), "verbs": VERBS, "shortNames": kind.short,
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "subresources": subs,
                "singularResource": kind.kind.to_lowercase(), "categories": categories,
            })
        })
        .collect();
    if group == "authorization.k8s.io" {
        resources.push(json!({
            "resource": "selfsubjectaccessreviews", "responseKind": response("SelfSubjectAccessReview"), "verbs": ["create"],
            "scope": "Cluster", "singularResource": "selfsubjectaccessreview",
        }));
    }
    let versions = json!([{"version": version, "resources": resources, "freshness": "Current"}]);
    json!({"metadata": {"name": group}, "versions": versions})
}

fn openapi_index() -> Value {
    let path = |group: &str, version: &str| {
        if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
    };
    let entry = |(group, version): (&str, &str)| {
        let path = path(group, version);
        (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}")}))
    };
    json!({"paths": groups().into_iter().map(entry).collect::<serde_json::Map<_, _>>()})
}

/// Only what makes kubectl believe that fields are validated by the server: a PATCH with `fieldValidation` for each kind.
fn openapi(group: &str, version: &str) -> Value {
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    for kind in KINDS.iter().filter(|kind| kind.group == group && kind.version == version) {
        let gvk = json!({"group": group, "version": version, "kind": kind.kind});
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let parameter = json!({"name": "fieldValidation", "in": "query", "schema": {"type": "string"}});
        let patch = json!({"parameters": [parameter], "x-kubernetes-group-version-kind": gvk, "responses": {}});
        paths.insert(format!("{root}{scope}/{}/{{name}}", kind.plural), json!({"patch": patch}));
        schemas.insert(
            format!("{}.{}", kind.group, kind.kind),
            json!({"type": "object", "x-kubernetes-group-version-kind": [gvk], "x-kubernetes-preserve-unknown-fields": true}),
        );
    }
    json!({"openapi": "3.0.0", "info": {"title": "pgdeck sandbox", "version": "v1"}, "paths": paths,
           "components": {"schemas": schemas}})
}
