//! "May I?": `SelfSubjectAccessReview` and `SelfSubjectRulesReview`, as JSON and as kubectl's protobuf.

use serde_json::{Value, json};

use super::access::{self, Attempt, User};
use super::refusal::Refusal;
use super::reply::{self, Reply};

/// Answers a review. The answer is JSON, which kubectl takes for its protobuf too.
pub fn answer(user: User, path: &str, content_type: &str, body: &[u8]) -> Result<Reply, Refusal> {
    let is_rules = path.ends_with("/selfsubjectrulesreviews");
    if !is_rules && !path.ends_with("/selfsubjectaccessreviews") {
        return Err(Refusal::no_such_path());
    }
    let mut review = if content_type.contains("protobuf") {
        read_protobuf(body).ok_or_else(|| Refusal::bad_request("the review's protobuf cannot be read"))?
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("the review cannot be read: {error}")))?
    };
    review["apiVersion"] = "authorization.k8s.io/v1".into();
    review["status"] = if is_rules {
        review["kind"] = "SelfSubjectRulesReview".into();
        json!({"resourceRules": rules(user), "nonResourceRules": [], "incomplete": false})
    } else {
        review["kind"] = "SelfSubjectAccessReview".into();
        let attributes = &review["spec"]["resourceAttributes"];
        let text = |key: &str| attributes[key].as_str().unwrap_or_default();
        let attempt = Attempt { verb: text("verb"), resource: text("resource"), subresource: text("subresource") };
        json!({"allowed": access::allowed(user, &attempt)})
    };
    Ok(reply::json(201, &review))
}

fn rules(user: User) -> Value {
    match user {
        User::Admin => json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
        User::View => {
            let kinds = super::kinds::KINDS.iter().filter(|kind| kind.plural != "secrets");
            let rule = |kind: &super::kinds::Kind| json!({"verbs": ["get", "list", "watch"], "apiGroups": [kind.group], "resources": [kind.plural]});
            let log = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]});
            kinds.map(rule).chain([log]).collect()
        }
        User::Nobody => json!([]),
    }
}

/// The names of `ResourceAttributes`' fields, by their numbers from 1.
const ATTRIBUTES: [&str; 7] = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];

/// Reads `k8s\0` + `runtime.Unknown` { raw = 2 } with a review { spec = 2 { resourceAttributes = 1 } } in it.
fn read_protobuf(body: &[u8]) -> Option<Value> {
    let unknown = body.strip_prefix(b"k8s\0")?;
    let raw = field(unknown, 2)?;
    let spec = field(raw, 2)?;
    let Some(attributes) = field(spec, 1) else { return Some(json!({"spec": {}})) };
    let mut read = json!({});
    for (number, name) in (1..).zip(ATTRIBUTES) {
        if let Some(value) = field(attributes, number) {
            read[name] = String::from_utf8_lossy(value).into();
        }
    }
    Some(json!({"spec": {"resourceAttributes": read}}))
}

/// The bytes of a length-delimited field of a protobuf message.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    loop {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => _ = varint(&mut message)?,
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                if key >> 3 == wanted {
                    return Some(value);
                }
                message = rest;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut part = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        part.extend_from_slice(bytes);
        part
    }

    #[test]
    fn kubectls_protobuf_is_read() {
        let attributes = [part(1, b"default"), part(2, b"create"), part(5, b"pods"), part(6, b"portforward")].concat();
        let review = [part(1, b""), part(2, &part(1, &attributes))].concat();
        let body = [b"k8s\0".to_vec(), part(1, b"ignored"), part(2, &review)].concat();
        let read = read_protobuf(&body).unwrap();
        let expected =
            json!({"namespace": "default", "verb": "create", "resource": "pods", "subresource": "portforward"});
        assert_eq!(read["spec"]["resourceAttributes"], expected);
        assert!(read_protobuf(b"k8s\0\xff\xff").is_none());
    }
}
