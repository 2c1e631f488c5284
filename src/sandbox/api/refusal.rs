//! What the API says instead of doing it: a `Status` object.

use serde_json::{Value, json};

use super::kinds::Kind;

/// A refusal with its HTTP code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Value>,
}

impl Refusal {
    fn about(code: u16, reason: &'static str, kind: &Kind, name: &str, message: String) -> Self {
        Refusal {
            code,
            reason,
            message,
            details: Some(json!({"name": name, "group": kind.group, "kind": kind.plural})),
        }
    }

    /// 404.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Refusal::about(404, "NotFound", kind, name, format!("{} \"{name}\" not found", kind.qualified()))
    }

    /// 409: there is one of that name.
    pub fn exists(kind: &Kind, name: &str) -> Self {
        Refusal::about(409, "AlreadyExists", kind, name, format!("{} \"{name}\" already exists", kind.qualified()))
    }

    /// 409: the version is not the newest.
    pub fn conflict(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the \
             latest version and try again",
            kind.qualified()
        );
        Refusal::about(409, "Conflict", kind, name, message)
    }

    /// 403, in the words of Kubernetes' authorizer.
    pub fn forbidden(
        user: &str,
        verb: &str,
        kind: &Kind,
        subresource: Option<&str>,
        namespace: Option<&str>,
        name: &str,
    ) -> Self {
        let resource = subresource.map_or_else(|| kind.plural.to_owned(), |sub| format!("{}/{sub}", kind.plural));
        let place =
            namespace.map_or_else(|| "at the cluster scope".to_owned(), |ns| format!("in the namespace \"{ns}\""));
        let about = if name.is_empty() { kind.qualified() } else { format!("{} \"{name}\"", kind.qualified()) };
        let message = format!(
            "{about} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}",
            kind.group
        );
        Refusal::about(403, "Forbidden", kind, name, message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Refusal { code: 400, reason: "BadRequest", message: message.into(), details: None }
    }

    /// 422.
    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal { code: 422, reason: "Invalid", message: message.into(), details: None }
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Refusal { code: 401, reason: "Unauthorized", message: "Unauthorized".into(), details: None }
    }

    /// 404 for a path that nothing serves.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".into();
        Refusal { code: 404, reason: "NotFound", message, details: None }
    }

    /// 405.
    pub fn method() -> Self {
        let message = "the server does not allow this method on the requested resource".into();
        Refusal { code: 405, reason: "MethodNotAllowed", message, details: None }
    }

    /// 410: the version is too old to watch or list from.
    pub fn gone(version: u64) -> Self {
        let message = format!("The resourceVersion for the provided watch is too old: {version}");
        Refusal { code: 410, reason: "Expired", message, details: None }
    }

    /// 410: the list has to start anew.
    pub fn page_gone() -> Self {
        let message =
            "The provided continue parameter is too old to display a consistent list result. You must start a new \
                       list without the continue parameter."
                .into();
        Refusal { code: 410, reason: "Expired", message, details: None }
    }

    /// 415.
    pub fn media_type(got: &str) -> Self {
        let message = format!("the body of the request was in an unknown format - got {got}");
        Refusal { code: 415, reason: "UnsupportedMediaType", message, details: None }
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Refusal { code: 500, reason: "InternalError", message: message.into(), details: None }
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}
