//! What a server does with fields that it does not know, and with changes that are only tried.

use http_body_util::BodyExt as _;
use kube::client::Body;
use pgdeck::sandbox::objects::POSTGRESQL;
use serde_json::{Value, json};

use super::stage::{self, Stage};

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

/// What came back: the code, the warnings, the object or the refusal.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    value: Value,
}

/// Asks for something of the stage's postgresqls: `what` is a method, and the rest of the path with its query.
async fn ask(stage: &Stage, what: (&str, &str), content_type: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let root = format!("/apis/acid.zalan.do/v1/namespaces/{}/postgresqls", stage.namespace);
    let request = http::Request::builder()
        .method(what.0)
        .uri(format!("{root}{}", what.1))
        .header("content-type", content_type)
        .body(Body::from(body));
    let response = stage.store.client.send(request.unwrap()).await.unwrap();
    let warnings = response.headers().get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned());
    let (code, warnings) = (response.status().as_u16(), warnings.collect());
    let text = response.into_body().collect().await.unwrap().to_bytes();
    Answer { code, warnings, value: serde_json::from_slice(&text).unwrap() }
}

async fn stands(stage: &Stage, name: &str) -> Value {
    stage.store.get(&POSTGRESQL.at(&stage.namespace, name)).await.unwrap().unwrap_or_default()
}

fn unknown() -> Value {
    json!({"spec": {"numberOfInstances": 2, "enableWALArchiving": false}})
}

#[tokio::test]
async fn a_strict_change_with_an_unknown_field_is_refused_and_changes_nothing() {
    let stage = Stage::new().await;
    let before = stage.cluster("shop").await;
    let end = "strict decoding error: unknown field \"spec.enableWALArchiving\"";
    let mut whole = before.clone();
    whole["spec"]["enableWALArchiving"] = json!(false);
    let mut new = stage::cluster("new");
    new["spec"]["enableWALArchiving"] = json!(false);
    (new["apiVersion"], new["kind"]) = (json!("acid.zalan.do/v1"), json!("postgresql"));
    let step = json!([{"op": "add", "path": "/spec/enableWALArchiving", "value": false}]);

    for (method, path, content_type, body, code) in [
        ("PATCH", "/shop?fieldValidation=Strict", MERGE, unknown(), 422),
        ("PATCH", "/shop?fieldValidation=Strict", JSON_PATCH, step, 422),
        ("PATCH", "/shop?fieldValidation=Strict&dryRun=All", MERGE, unknown(), 422),
        ("PUT", "/shop?fieldValidation=Strict", JSON, whole, 400),
        ("POST", "?fieldValidation=Strict", JSON, new, 400),
    ] {
        let answer = ask(&stage, (method, path), content_type, &body).await;
        assert_eq!(answer.code, code, "{method} {path} {content_type}: {}", answer.value);
        assert!(answer.value["message"].as_str().unwrap().ends_with(end), "{}", answer.value);
    }

    assert_eq!(stands(&stage, "shop").await["spec"], before["spec"]);
    assert_eq!(stands(&stage, "new").await, Value::Null);
}

#[tokio::test]
async fn an_unknown_field_is_left_out_with_a_warning_unless_none_is_wanted() {
    let stage = Stage::new().await;
    stage.cluster("shop").await;

    let warned = ask(&stage, ("PATCH", "/shop"), MERGE, &unknown()).await;
    let silent = ask(&stage, ("PATCH", "/shop?fieldValidation=Ignore"), MERGE, &unknown()).await;

    assert_eq!((warned.code, silent.code), (200, 200));
    assert_eq!(warned.warnings, [r#"299 - "unknown field \"spec.enableWALArchiving\"""#]);
    assert_eq!(silent.warnings, Vec::<String>::new());
    let spec = stands(&stage, "shop").await["spec"].take();
    assert_eq!((&spec["numberOfInstances"], spec.get("enableWALArchiving")), (&json!(2), None));
}

#[tokio::test]
async fn what_is_only_tried_changes_nothing() {
    let stage = Stage::new().await;
    let before = stage.cluster("shop").await;
    let mut whole = before.clone();
    whole["spec"]["numberOfInstances"] = json!(3);
    let patch = json!({"spec": {"numberOfInstances": 3}});

    for (method, body) in [("PATCH", &patch), ("PUT", &whole)] {
        let content_type = if method == "PUT" { JSON } else { MERGE };
        let answer = ask(&stage, (method, "/shop?dryRun=All"), content_type, body).await;
        assert_eq!((answer.code, &answer.value["spec"]["numberOfInstances"]), (200, &json!(3)), "{method}");
    }
    let deleted = ask(&stage, ("DELETE", "/shop"), JSON, &json!({"dryRun": ["All"]})).await;
    let by_query = ask(&stage, ("DELETE", "/shop?dryRun=All"), JSON, &Value::Null).await;
    let mut again = stage::cluster("shop");
    (again["apiVersion"], again["kind"]) = (json!("acid.zalan.do/v1"), json!("postgresql"));
    let taken = ask(&stage, ("POST", "?dryRun=All"), JSON, &again).await;

    assert_eq!((deleted.code, by_query.code, taken.code), (200, 200, 409));
    let after = stands(&stage, "shop").await;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert!(after["metadata"]["deletionTimestamp"].is_null());

    // A body speaks for the whole request: what the query says beside it is not even read.
    ask(&stage, ("DELETE", "/shop?dryRun=All"), JSON, &json!({"propagationPolicy": "Background"})).await;
    assert_eq!(stands(&stage, "shop").await, Value::Null);
}
