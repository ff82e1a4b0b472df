//! Requests to a token service: bounded in time and in what is read.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);
/// An answer has some 2 KB; a token of AWS may grow with its policies.
const LARGEST_ANSWER: u64 = 64 << 10;

/// TLS that trusts the authorities that the machine trusts: those of a company's own store, too.
pub(crate) fn tls() -> TlsConfig {
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .build()
}

/// A client that follows no redirects, since signed requests are for one host.
pub(super) fn client() -> Agent {
    Agent::config_builder()
        .tls_config(tls())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        // Starts are rare, and a connection from an hour ago is a dead one.
        .max_idle_connections(0)
        .user_agent(concat!("dockgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Posts a form. The status and the body, however the service has answered.
pub(super) fn post(
    client: &Agent,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, Vec<u8>), ureq::Error> {
    let request = headers.iter().fold(client.post(url), |request, (name, value)| request.header(*name, *value));
    let mut response = request.send(body)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
    Ok((status, body))
}
