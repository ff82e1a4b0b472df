//! As much of HTTP as it takes to read `/metrics` and to speak with the API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::wire::DEADLINE;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body, which must be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// The body of `GET path`, which must be answered with 200.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let answer = request(address, "GET", path, &[], "");
    assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
    answer.body
}

/// The status of the answer to `GET path`.
#[track_caller]
pub(crate) fn status(address: SocketAddr, path: &str) -> u16 {
    request(address, "GET", path, &[], "").status
}

/// `POST path` with a body of JSON.
#[track_caller]
pub(crate) fn post(address: SocketAddr, path: &str, body: &Value) -> Response {
    request(address, "POST", path, &[("content-type", "application/json")], &body.to_string())
}

/// Any request.
#[track_caller]
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut stream = TcpStream::connect(address).expect("HTTP listens");
    // The broker waits for docks longer than tests wait for anything else.
    stream.set_read_timeout(Some(3 * DEADLINE)).expect("it is not zero");
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    write!(stream, "{head}\r\n{body}").expect("the request goes out");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer comes");
    let answer = String::from_utf8(answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{method} {path}: {head}"));
    Response { status, head: head.to_owned(), body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

/// The sum of all samples of a metric whose labels contain `label` (empty for all).
#[track_caller]
pub(crate) fn metric(address: SocketAddr, name: &str, label: &str) -> f64 {
    let text = get(address, "/metrics");
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
