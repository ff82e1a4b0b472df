//! Who may come in: the bearer token, and what a browser may be made to send by somebody else's page.
//!
//! With a token, whoever has it may do everything; without one, whoever can open a connection may, and then only this
//! machine can. But a web page that somebody on it looks at can have the browser send requests, too:
//!
//! - Its own requests carry its origin: what changes something is refused if that is another than ours.
//! - A page whose name has been made to mean 127.0.0.1 (DNS rebinding) has no other origin. It cannot have our name
//!   either: without a token, only addresses, `localhost` and the names in `http.hosts` are taken in `Host`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, quoted};
use crate::access::Flaw;
use crate::access::read::read;
use crate::metrics::{AuthFailure, Metrics};
use crate::secret::Secret;

/// A token that can be guessed is none: 16 characters of base64 hold 96 bits.
const SHORTEST_TOKEN: usize = 16;
/// A token file is one line.
const LARGEST_FILE: u64 = 1 << 20;

/// The bearer token, if there is one, and the names that the listener has.
#[derive(Debug)]
pub struct Guard {
    path: Option<PathBuf>,
    token: ArcSwapOption<Secret>,
    hosts: Vec<String>,
}

impl Guard {
    /// Reads the token.
    ///
    /// # Errors
    /// If the file cannot be read, or what is in it is no token.
    pub fn open(token_file: Option<&Path>, hosts: &[String]) -> Result<Self, Flaw> {
        let token = token_file.map(read_token).transpose()?.map(Arc::new);
        let path = token_file.map(Path::to_owned);
        Ok(Self { path, token: ArcSwapOption::from(token), hosts: hosts.to_vec() })
    }

    /// Reads the token again, if there is one: the new one counts from the next request on.
    ///
    /// # Errors
    /// As for [`Guard::open`]; then the old token stays.
    pub fn reload(&self) -> Result<bool, Flaw> {
        let Some(path) = &self.path else { return Ok(false) };
        self.token.store(Some(Arc::new(read_token(path)?)));
        Ok(true)
    }

    /// The token as it is now: what lasts longer than a request has to come in by it again.
    pub(super) fn token(&self) -> Option<Arc<Secret>> {
        self.token.load_full()
    }

    /// Whether a request may come in that asks for what is not for everybody.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self.token() {
            Some(token) => is_bearer_of(&token, headers),
            None => self.is_our_name(headers),
        }
    }

    fn is_our_name(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host.parse::<Authority>().map(|authority| authority.host().to_owned()).unwrap_or_default();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_address = address.parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost");
        if is_address || is_local || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return Ok(());
        }
        Err(Problem::of(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "{} is not a name of this listener: ask for it by its address or as localhost, name it in http.hosts, or \
                 set http.token_file",
                quoted(host)
            ),
        ))
    }
}

/// Reads a token, for who asks for it and for who brings it.
pub(crate) fn read_token(path: &Path) -> Result<Secret, Flaw> {
    let flaw =
        |fault: String, remedy: &str| Flaw { path: path.to_owned(), line: None, fault, remedy: remedy.to_owned() };
    let bytes = read(path, LARGEST_FILE)
        .map_err(|error| flaw(format!("the token cannot be read ({error})"), "give a file that can be read"))?;
    let text = bytes.trim_ascii();
    let is_visible = text.iter().all(u8::is_ascii_graphic);
    if text.len() < SHORTEST_TOKEN || !is_visible {
        let remedy = "write one line of at least 16 visible ASCII characters, such as `openssl rand -base64 24` prints";
        return Err(flaw("this is no token for the HTTP listener".to_owned(), remedy));
    }
    Ok(Secret::new(text.to_vec()))
}

fn is_bearer_of(token: &Secret, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = given.split_at(given.iter().position(|byte| *byte == b' ').unwrap_or(given.len()));
    let detail = match given.trim_ascii() {
        [] => "this takes the token of http.token_file: send Authorization: Bearer and the token",
        _ if !scheme.eq_ignore_ascii_case(b"bearer") => {
            "this takes Authorization: Bearer and the token of http.token_file"
        }
        given if Secret::new(given.to_vec()) == *token => return Ok(()),
        _ => "this is not the token of http.token_file",
    };
    Err(Problem::of(StatusCode::UNAUTHORIZED, detail))
}

/// A page of another site may link here, and have the browser ask for nothing else: it could not read the answer, but would
/// hold a place among the streams.
fn is_no_foreign_fetch(headers: &HeaderMap) -> Result<(), Problem> {
    let says = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    if says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate") {
        return Err(Problem::of(StatusCode::FORBIDDEN, "a page of another site may only link here"));
    }
    Ok(())
}

/// What changes something comes from our own page, or from no page.
fn is_own_page(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    // Browsers send it to addresses that they trust, which this machine is (Fetch Metadata, Sec-Fetch-Site).
    let is_foreign_site = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let is_foreign_origin = headers.contains_key(header::ORIGIN) && {
        let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        let host = text(header::HOST);
        !origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
    };
    if is_foreign_site || is_foreign_origin {
        return Err(Problem::of(StatusCode::FORBIDDEN, "a page of another origin may not change anything here"));
    }
    Ok(())
}

/// What everybody may see: the page without any of its contents, what the API looks like, and health.
fn is_for_everybody(path: &str) -> bool {
    matches!(path, "/" | "/healthz" | "/readyz" | "/api/openapi.json")
}

/// Lets a request in, or says why not.
pub(super) async fn admit(
    State((guard, metrics)): State<(Arc<Guard>, Arc<Metrics>)>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let admitted = if is_for_everybody(request.uri().path()) { Ok(()) } else { guard.admit(headers) };
    match admitted.and_then(|()| if is_safe { is_no_foreign_fetch(headers) } else { is_own_page(headers) }) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let is_unauthorized = problem.status == StatusCode::UNAUTHORIZED;
            let mut response = problem.into_response();
            if is_unauthorized {
                metrics.auth_failure(AuthFailure::HttpToken);
                let how = header::HeaderValue::from_static("Bearer realm=\"dockgate\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn status(result: Result<(), Problem>) -> u16 {
        result.err().map_or(200, |problem| problem.status.as_u16())
    }

    #[test]
    fn without_a_token_only_names_that_are_ours_are_taken() {
        let guard = Guard::open(None, &["docks.example".to_owned()]).unwrap();
        let admit = |host| status(guard.admit(&headers(&[("host", host)])));
        for ours in
            ["127.0.0.1:9641", "[::1]:9641", "[::1]", "localhost", "LocalHost:9641", "10.0.0.5", "docks.example:80"]
        {
            assert_eq!(admit(ours), 200, "{ours}");
        }
        for other in ["evil.example", "evil.example:9641", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert_eq!(admit(other), 421, "{other}");
        }
        assert_eq!(status(guard.admit(&HeaderMap::new())), 421);
    }

    #[test]
    fn with_a_token_nothing_else_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let guard = Guard::open(Some(&file), &[]).unwrap();
        let admit = |value| status(guard.admit(&headers(&[("host", "any.example"), ("authorization", value)])));
        assert_eq!(admit("Bearer 0123456789abcdef"), 200);
        assert_eq!(admit("bearer  0123456789abcdef"), 200);
        for wrong in ["Bearer 0123456789abcdeF", "Bearer", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef", ""]
        {
            assert_eq!(admit(wrong), 401, "{wrong}");
        }
        assert_eq!(status(guard.admit(&headers(&[("host", "127.0.0.1")]))), 401);
        std::fs::write(&file, "fedcba9876543210").unwrap();
        assert_eq!(guard.reload(), Ok(true));
        assert_eq!((admit("Bearer 0123456789abcdef"), admit("Bearer fedcba9876543210")), (401, 200));
        std::fs::write(&file, "short").unwrap();
        let flaw = guard.reload().unwrap_err().to_string();
        assert!(flaw.contains("no token") && !flaw.contains("short"), "{flaw}");
        assert_eq!(admit("Bearer fedcba9876543210"), 200, "the old one stays");
    }

    #[test]
    fn another_origin_may_change_nothing() {
        let own = |pairs: &[(&'static str, &str)]| status(is_own_page(&headers(pairs)));
        assert_eq!(own(&[("host", "127.0.0.1:9641")]), 200, "no browser");
        assert_eq!(own(&[("host", "127.0.0.1:9641"), ("origin", "http://127.0.0.1:9641")]), 200);
        assert_eq!(own(&[("host", "docks.example"), ("origin", "https://docks.example")]), 200, "behind a proxy");
        assert_eq!(own(&[("host", "127.0.0.1:9641"), ("sec-fetch-site", "same-origin")]), 200);
        for foreign in [
            [("host", "127.0.0.1:9641"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1:9641"), ("origin", "http://127.0.0.1:8080")],
            [("host", "127.0.0.1:9641"), ("origin", "null")],
            [("host", "127.0.0.1:9641"), ("sec-fetch-site", "cross-site")],
            [("host", "127.0.0.1:9641"), ("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(own(&foreign), 403, "{foreign:?}");
        }
    }
}
