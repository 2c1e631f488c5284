//! A question to a plain HTTP server, as Patroni is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer is there within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer of a plain HTTP server; null where it is no JSON.
pub fn ask(address: &str, asked: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let length = body.len();
    write!(stream, "{asked} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, told) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.split(' ').nth(1).is_some_and(|code| code.starts_with('2')), "{asked}: {answer}");
    serde_json::from_str(told).unwrap_or_default()
}
