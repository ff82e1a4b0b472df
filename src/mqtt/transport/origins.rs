//! Whose web pages may open a WebSocket. A page that somebody looks at can connect to whatever that person's machine
//! reaches; its browser says whose page it is (RFC 6455, 10.2), and clients that are no browsers say nothing.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::http::header::ORIGIN;

use crate::config::{Listener, Origin, shorten};

/// What a listener does with web pages.
#[derive(Debug)]
pub(crate) struct Origins {
    admitted: Admitted,
    /// The listener's place in the settings, for the remedy.
    listener: usize,
}

#[derive(Debug)]
enum Admitted {
    Any,
    /// Those that this machine serves.
    ThisMachine,
    Listed(Vec<Origin>),
}

impl Origins {
    /// Those of the listener with this place in the settings. `anonymous`: it admits clients without a name.
    pub(crate) fn of(listener: &Listener, index: usize, anonymous: bool) -> Self {
        let admitted = if listener.admits_local_pages_only(anonymous) {
            Admitted::ThisMachine
        } else if listener.origins.is_empty() || listener.origins.contains(&Origin::Any) {
            Admitted::Any
        } else {
            Admitted::Listed(listener.origins.clone())
        };
        Self { admitted, listener: index }
    }

    /// Whether whoever sends these headers may go on.
    ///
    /// # Errors
    /// Why not, for the log, with the remedy. It holds what the client sent.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Cow<'static, str>> {
        // More than one header is nothing that a browser sends; each has to be admitted.
        headers.get_all(ORIGIN).iter().try_for_each(|given| {
            let text = String::from_utf8_lossy(given.as_bytes());
            let origin = text.parse::<Origin>().ok();
            let (is_admitted, rule) = match &self.admitted {
                Admitted::Any => (true, ""),
                Admitted::ThisMachine => (
                    origin.is_some_and(|origin| origin.is_this_machine()),
                    "without a password only those of this machine may come in here",
                ),
                Admitted::Listed(listed) => {
                    (origin.is_some_and(|origin| listed.contains(&origin)), "this listener has others")
                }
            };
            if is_admitted {
                return Ok(());
            }
            let (text, index) = (shorten(text.into_owned()), self.listener);
            Err(format!("a WebSocket of a web page of {text}: {rule}; add it to listeners[{index}].origins if it may")
                .into())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

    use super::*;
    use crate::config::Protocol;
    use tokio_tungstenite::tungstenite::http::HeaderValue;

    fn origins(bind: &str, anonymous: bool, listed: &[&str]) -> Origins {
        let mut listener = Listener::new(Protocol::Ws, bind.parse().unwrap());
        listener.origins = listed.iter().map(|text| text.parse().unwrap()).collect();
        Origins::of(&listener, 3, anonymous)
    }

    fn headers(given: &[&[u8]]) -> HeaderMap {
        given.iter().map(|value| (ORIGIN, HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn without_a_list_only_a_listener_that_is_open_to_this_machine_alone_is_choosy() {
        for (bind, anonymous, admitted) in [
            ("127.0.0.1:1", true, false),
            ("[::1]:1", true, false),
            ("127.0.0.1:1", false, true),
            ("0.0.0.0:1", true, true),
        ] {
            let origins = origins(bind, anonymous, &[]);
            for page in [&b"https://evil.example"[..], b"null", b"*", b"", b"\xff"] {
                assert_eq!(origins.admit(&headers(&[page])).is_ok(), admitted, "{bind} {anonymous} {page:?}");
            }
            assert_eq!(origins.admit(&headers(&[b"http://localhost:3000"])), Ok(()));
            assert_eq!(origins.admit(&headers(&[])), Ok(()));
        }
    }

    #[test]
    fn a_listener_behind_a_proxy_is_reached_by_others() {
        let mut listener = Listener::new(Protocol::Ws, "127.0.0.1:1".parse().unwrap());
        listener.proxy_protocol = true;
        let origins = Origins::of(&listener, 0, true);
        assert_eq!(origins.admit(&headers(&[b"https://ops.example"])), Ok(()));
    }

    #[test]
    fn of_several_headers_each_has_to_be_listed() {
        let origins = origins("127.0.0.1:1", true, &["https://a.example", "https://b.example"]);
        assert_eq!(origins.admit(&headers(&[b"https://a.example", b"https://b.example"])), Ok(()));
        assert!(origins.admit(&headers(&[b"https://a.example", b"https://c.example"])).is_err());
        assert!(origins.admit(&headers(&[b"https://a.example https://b.example"])).is_err());
    }

    #[test]
    fn the_log_is_told_the_origin_and_the_setting_and_not_pages_of_it() {
        let long = format!("https://{}.example", "x".repeat(60_000));
        let why = origins("0.0.0.0:1", true, &["https://a.example"]).admit(&headers(&[long.as_bytes()])).unwrap_err();
        assert!(why.contains("https://xxx") && why.contains("listeners[3].origins") && why.len() < 300, "{why}");
    }
}
