//! Responses: JSON, text, streams.

use std::convert::Infallible;
use std::io::Write as _;

use futures::{Stream, StreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::Value;

use super::refusal::Refusal;

/// What every answer is.
pub type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Longer answers are compressed where the client takes that.
const COMPRESS_FROM: usize = 128 * 1024;

/// JSON.
pub fn json(code: u16, value: &Value) -> Reply {
    text(code, "application/json", value.to_string())
}

/// A refusal.
pub fn refuse(refusal: &Refusal) -> Reply {
    json(refusal.code, &refusal.to_value())
}

/// Any text.
pub fn text(code: u16, content_type: &str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()).boxed());
    *reply.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    set_type(&mut reply, content_type);
    reply
}

/// JSON text that may be long: compressed if the client takes gzip.
pub fn long_json(text_: String, gzip: bool) -> Reply {
    if !gzip || text_.len() < COMPRESS_FROM {
        return text(200, "application/json", text_);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    match encoder.write_all(text_.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(packed) => {
            let mut reply = text(200, "application/json", packed);
            reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply
        }
        Err(_) => text(200, "application/json", text_),
    }
}

/// The same reply with a `Warning` header for each of these.
pub fn warning(mut reply: Reply, warnings: &[String]) -> Reply {
    for text in warnings {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers_mut().append(header::WARNING, value);
        }
    }
    reply
}

/// A stream of chunks.
pub fn stream(content_type: &str, chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Reply {
    let body = StreamBody::new(chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk))));
    let mut reply = Response::new(BodyExt::boxed(body));
    set_type(&mut reply, content_type);
    reply
}

fn set_type(reply: &mut Reply, content_type: &str) {
    if let Ok(value) = HeaderValue::from_str(content_type) {
        reply.headers_mut().insert(header::CONTENT_TYPE, value);
    }
}
