//! The brokers that are measured: where they are, how one gets in, and which process each is.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{BenchError, process};
use crate::secret::Secret;

/// A broker's name and address as they are given: `[NAME=]mqtt://HOST[:PORT][#PID]`, or `mqtts://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What the report calls it.
    pub name: String,
    /// Over TLS.
    pub is_tls: bool,
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The broker's process.
    pub pid: Option<u32>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no target: say [NAME=]mqtt://HOST[:PORT][#PID], such as mqtt://127.0.0.1:1883; mqtts:// for TLS"
            )
        };
        let (before, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (name, scheme) = match before.rsplit_once('=') {
            Some((name, scheme)) => (Some(name), scheme),
            None => (None, before),
        };
        let is_tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err(wrong()),
        };
        let (place, pid) = match rest.split_once('#') {
            Some((place, pid)) => (place, Some(pid.parse().map_err(|_| wrong())?)),
            None => (rest, None),
        };
        let place = place.trim_end_matches('/');
        // The port follows the last colon, unless that is one of an IPv6 address in brackets.
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (place, if is_tls { 8883 } else { 1883 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_name_empty = name.is_some_and(str::is_empty);
        if host.is_empty() || host.contains(['/', '@']) || port == 0 || is_name_empty {
            return Err(wrong());
        }
        let name = name.map_or_else(|| format!("{host}:{port}"), str::to_owned);
        Ok(Self { name, is_tls, host: host.to_owned(), port, pid })
    }
}

/// How one gets in: the same for all targets.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The user name of all clients.
    pub user: Option<String>,
    /// The password of all clients, at most 65,535 bytes.
    pub password: Option<Secret>,
    /// How `mqtts` targets prove who they are.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A broker to be measured.
#[derive(Debug, Clone)]
pub struct Target {
    /// What the report calls it.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Its process, if that is known: without it there are no figures for CPU and memory.
    pub pid: Option<u32>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    login: Login,
}

impl Target {
    /// A broker without TLS and without a password, whose process is looked for unless it is given.
    #[must_use]
    pub fn plain(name: &str, address: SocketAddr, pid: Option<u32>) -> Self {
        let pid = pid.or_else(|| process::listening_on(address));
        Self { name: name.to_owned(), address, pid, tls: None, login: Login::default() }
    }

    /// Looks up the host, and the process if it is of this machine.
    ///
    /// # Errors
    /// If the host has no address, or TLS is wanted and `login` does not say how to trust.
    pub fn resolve(address: &Address, login: &Login) -> Result<Self, BenchError> {
        let Address { name, is_tls, host, port, pid } = address;
        let unknown = |why: String| BenchError::Unknown { host: host.clone(), port: *port, why };
        let mut found = (host.as_str(), *port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
        let socket = found.next().ok_or_else(|| unknown("none at all".to_owned()))?;
        let tls = match (is_tls, &login.tls) {
            (false, _) => None,
            (true, None) => {
                return Err(BenchError::Unfit {
                    scenario: format!("{name} over TLS"),
                    why: "nothing says whom to trust: give --ca FILE, or --insecure".to_owned(),
                });
            }
            (true, Some(tls)) => {
                let server = ServerName::try_from(host.clone()).map_err(|error| unknown(error.to_string()))?;
                Some((Arc::clone(tls), server))
            }
        };
        let login = login.clone();
        Ok(Self { tls, login, ..Self::plain(name, socket, *pid) })
    }

    pub(super) fn tls(&self) -> Option<(&Arc<ClientConfig>, &ServerName<'static>)> {
        self.tls.as_ref().map(|(configuration, name)| (configuration, name))
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.login.user.as_deref()
    }

    pub(super) fn password(&self) -> Option<&[u8]> {
        self.login.password.as_ref().map(Secret::expose)
    }

    pub(super) fn secret(&self) -> Option<Secret> {
        self.login.password.clone()
    }
}

/// TLS that trusts the authorities of a PEM file.
///
/// # Errors
/// If there is no certificate in it.
pub fn trusting(file: &Path) -> Result<Arc<ClientConfig>, BenchError> {
    let flaw = |why: String| BenchError::Authority { file: file.to_owned(), why };
    let text = fs::read(file).map_err(|error| flaw(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| flaw(error.to_string()))?;
        roots.add(certificate).map_err(|error| flaw(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(flaw("there is no certificate in it".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| flaw(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// TLS that trusts everybody.
///
/// # Errors
/// If the cryptography that is built in lacks a protocol version.
pub fn trusting_anyone() -> Result<Arc<ClientConfig>, BenchError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| BenchError::Own(error.to_string()))?;
    let anyone = Arc::new(Anyone(provider));
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()))
}

/// Takes any certificate; that the broker has its key is still checked.
struct Anyone(Arc<CryptoProvider>);

impl fmt::Debug for Anyone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anyone")
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str, is_tls: bool, host: &str, port: u16, pid: Option<u32>) -> Address {
        Address { name: name.to_owned(), is_tls, host: host.to_owned(), port, pid }
    }

    #[test]
    fn targets_are_read() {
        for (text, expected) in [
            ("mqtt://127.0.0.1:1883", address("127.0.0.1:1883", false, "127.0.0.1", 1883, None)),
            ("mqtt://localhost", address("localhost:1883", false, "localhost", 1883, None)),
            ("emqx=mqtt://10.0.0.1:1884#4711", address("emqx", false, "10.0.0.1", 1884, Some(4711))),
            ("a=b=mqtts://broker.example", address("a=b", true, "broker.example", 8883, None)),
            ("mqtt://[::1]:1885/", address("::1:1885", false, "::1", 1885, None)),
            ("x=mqtt://[::1]", address("x", false, "::1", 1883, None)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_an_example() {
        for text in [
            "127.0.0.1:1883",
            "http://a:1",
            "mqtt://",
            "mqtt://a:x",
            "mqtt://a:1#x",
            "=mqtt://a",
            "mqtt://u@a",
            "mqtt://a:0",
        ] {
            let said = text.parse::<Address>().unwrap_err();
            assert!(said.contains(text) && said.contains("mqtt://127.0.0.1:1883"), "{said}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(trusting(file.path()).unwrap_err().to_string().contains("no certificate"));
        assert!(trusting(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }
}
