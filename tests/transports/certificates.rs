//! Authorities, and certificates by them, in files and in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockgate::config::{Listener, Protocol};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

/// An authority, with a folder for files.
#[derive(Debug)]
pub(crate) struct Authority {
    name: String,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        Self { name: name.to_owned(), pem: certificate.pem(), issuer: Issuer::new(params, key), folder }
    }

    /// A certificate for localhost, after `change`.
    pub(crate) fn certify(&self, change: impl FnOnce(&mut CertificateParams)) -> Certified {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client certificate with this common name.
    pub(crate) fn client(&self, name: &str) -> Certified {
        self.certify(|params| params.distinguished_name.push(DnType::CommonName, name))
    }

    /// The file of the authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.write("ca.pem", &self.pem)
    }

    /// Writes a file into the authority's folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Writes the files that `listener` reads.
    pub(crate) fn install(&self, certified: &Certified) {
        self.write("cert.pem", &certified.certificate);
        self.write("key.pem", &certified.key);
    }

    /// A listener with a certificate of this authority, on any free port.
    pub(crate) fn listener(&self, protocol: Protocol) -> Listener {
        let folder = self.folder.path();
        if !folder.join("cert.pem").exists() {
            self.install(&self.certify(|_| ()));
        }
        Listener {
            tls_cert: Some(folder.join("cert.pem")),
            tls_key: Some(folder.join("key.pem")),
            ..Listener::new(protocol, ([127, 0, 0, 1], 0).into())
        }
    }

    /// A client that believes this authority.
    pub(crate) fn trust(&self) -> Trust {
        Trust { authority: self.pem.clone(), certificate: None, versions: &[], protocols: Vec::new() }
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// How a client does TLS.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    authority: String,
    certificate: Option<Certified>,
    /// None are all.
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
}

pub(crate) static TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub(crate) static TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];

impl Trust {
    pub(crate) fn with_certificate(mut self, certified: &Certified) -> Self {
        self.certificate = Some(certified.clone());
        self
    }

    pub(crate) fn only(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    /// Names these protocols (RFC 7301).
    pub(crate) fn naming(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("PEM")).expect("an authority");
        let versions = if self.versions.is_empty() { tokio_rustls::rustls::ALL_VERSIONS } else { self.versions };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(certified) => {
                let chain = CertificateDer::from_pem_slice(certified.certificate.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("they fit")
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }
}

/// A file of the test's own, readable by its owner only.
pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}
