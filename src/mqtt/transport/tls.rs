//! TLS 1.2 and 1.3 by rustls: certificates that can be changed while connections stay, and the names of clients.

use super::Refused;
use super::certificates::{Findings, common_name, flaw};
use crate::access::Flaw;
use crate::config::{Listener, Protocol};
use arc_swap::ArcSwap;
use bytestring::ByteString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ProducesTickets, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// The TLS files of a listener, read and found good.
pub struct Loaded {
    config: ServerConfig,
    /// What can be used but deserves a second thought.
    pub warnings: Vec<Flaw>,
}

impl fmt::Debug for Loaded {
    /// Without the configuration: there is a key in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// Reads the certificate, the key and the client authorities of an `mqtts` or `wss` listener.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(listener: &Listener) -> Result<Loaded, Vec<Flaw>> {
    let mut found = Findings::default();
    let provider = Arc::new(ring::default_provider());
    let mut named = |file: &Option<PathBuf>, setting: &str| {
        if file.is_none() {
            let fault = format!("the {} listener on {} has no {setting}", listener.protocol.as_str(), listener.bind);
            found.errors.push(flaw("listeners".as_ref(), fault, "name a PEM file"));
        }
        file.clone()
    };
    let (chain, key) = (named(&listener.tls_cert, "tls_cert"), named(&listener.tls_key, "tls_key"));
    let identity = match (chain, key) {
        (Some(chain), Some(key)) => found.identity(&chain, &key, &provider),
        _ => None,
    };
    let verifier = match &listener.client_ca {
        None => Some(WebPkiClientVerifier::no_client_auth()),
        Some(path) => found.authorities(path).and_then(|roots| {
            verifier(roots, listener.require_client_cert)
                .map_err(|error| found.errors.push(flaw(path, error, "give certificates of authorities")))
                .ok()
        }),
    };
    let (Some(identity), Some(verifier), true) = (identity, verifier, found.errors.is_empty()) else {
        return Err(found.errors);
    };
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = match versions {
        Ok(versions) => {
            versions.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        Err(error) => return Err(vec![flaw("listeners".as_ref(), error.to_string(), "this is a fault of dockgate")]),
    };
    // RFC 7301: who names other protocols only is refused, who names none is not asked. `mqtt` is registered with IANA;
    // WebSocket begins as HTTP/1.1 (RFC 6455, 1.2).
    let alpn: &[u8] = if listener.protocol == Protocol::Wss { b"http/1.1" } else { b"mqtt" };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Loaded { config, warnings: found.warnings })
}

fn verifier(roots: RootCertStore, required: bool) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| format!("client certificates cannot be checked with this ({error})"))
}

/// TLS as one listener does it now.
pub(crate) struct Tls {
    listener: Listener,
    config: ArcSwap<ServerConfig>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files; also says what is unwise about them.
    pub(crate) fn open(listener: &Listener) -> Result<(Self, Vec<Flaw>), Vec<Flaw>> {
        let Loaded { mut config, warnings } = load(listener)?;
        // A dock on 4G that comes back needs one round trip less with a ticket. It lives as long as this process: it must not
        // outlive a change of the authorities, because who has one isn't asked for a certificate again.
        let tickets = if listener.client_ca.is_none() { ring::Ticketer::new().ok() } else { None };
        if let Some(tickets) = &tickets {
            config.ticketer = tickets.clone();
        }
        Ok((Self { listener: listener.clone(), config: ArcSwap::from_pointee(config), tickets }, warnings))
    }

    /// Reads the files again, for connections from now on. If anything is wrong with them, nothing changes.
    pub(crate) fn reload(&self) -> Result<Vec<Flaw>, Vec<Flaw>> {
        let Loaded { mut config, warnings } = load(&self.listener)?;
        if let Some(tickets) = &self.tickets {
            config.ticketer = tickets.clone();
        }
        self.config.store(Arc::new(config));
        Ok(warnings)
    }

    /// The handshake. Gives the common name of the client's certificate, if it has shown one.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(Box<TlsStream<TcpStream>>, Option<ByteString>), Refused> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let stream =
            acceptor.accept(stream).await.map_err(|error| Refused::io(&error, "closed in the TLS handshake"))?;
        let name = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
            None => None,
            Some(certificate) => match common_name(certificate) {
                Some(name) => Some(name),
                // Not as if it had none: it has proved to be somebody, and would be somebody else.
                None => {
                    return Err(Refused::handshake("the client certificate has no common name that could be a user"));
                }
            },
        };
        Ok((Box::new(stream), name))
    }
}
