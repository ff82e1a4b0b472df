//! Certificates and keys in PEM files: what can be used, what cannot and why, and what will soon be a nuisance.

use crate::access::read::read;
use crate::access::{Flaw, Secret};
use bytestring::ByteString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

/// Days before its end on which a certificate is warned about: ACME clients renew theirs 30 days before.
const SOON_DAYS: i64 = 30;
const DAY: i64 = 24 * 60 * 60;
/// The largest file that is read: some thousand certificates.
const FILE_MAX: u64 = 16 << 20;
/// Anybody may read the file.
const WORLD_READABLE: u32 = 0o004;

/// What is wrong with the files, and what is unwise.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Flaw>,
    pub(super) warnings: Vec<Flaw>,
}

pub(super) fn flaw(path: &Path, fault: impl Into<String>, remedy: &str) -> Flaw {
    Flaw { path: path.to_owned(), line: None, fault: fault.into(), remedy: remedy.to_owned() }
}

impl Findings {
    fn error<T>(&mut self, path: &Path, fault: impl Into<String>, remedy: &str) -> Option<T> {
        self.errors.push(flaw(path, fault, remedy));
        None
    }

    fn warn(&mut self, path: &Path, fault: impl Into<String>, remedy: &str) {
        self.warnings.push(flaw(path, fault, remedy));
    }

    /// The certificate chain and the key of a listener.
    pub(super) fn identity(&mut self, chain: &Path, key: &Path, provider: &CryptoProvider) -> Option<CertifiedKey> {
        let certificates = self.certificates(chain).filter(|certificates| self.check_chain(chain, certificates));
        let private = self.private_key(key)?;
        match CertifiedKey::from_der(certificates?, private, provider) {
            Ok(identity) => Some(identity),
            Err(rustls::Error::InconsistentKeys(_)) => self.error(
                key,
                format!("this key does not belong to the certificate in {}", chain.display()),
                "name the key that the certificate was made for; the server's own certificate comes first in its file",
            ),
            Err(error) => self.error(
                key,
                format!("this key cannot be used ({error})"),
                "use an RSA key of 2048 to 4096 bits, or an ECDSA key on P-256 or P-384, or an Ed25519 key",
            ),
        }
    }

    /// The authorities whose client certificates are taken.
    pub(super) fn authorities(&mut self, path: &Path) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates(path)?.into_iter().enumerate() {
            if let Err(error) = roots.add(certificate) {
                let fault = format!("certificate {} cannot be an authority ({error})", index + 1);
                return self.error(path, fault, "leave it out, or give the authority's own certificate");
            }
        }
        Some(roots)
    }

    fn read(&mut self, path: &Path) -> Option<Secret> {
        match read(path, FILE_MAX) {
            Ok(bytes) => Some(Secret::new(bytes)),
            Err(error) => {
                let remedy = "name a file that the broker's user can read";
                self.error(path, format!("the file cannot be read ({error})"), remedy)
            }
        }
    }

    fn certificates(&mut self, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let file = self.read(path)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.expose()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => self.error(
                path,
                "there is no certificate in this file",
                "give a PEM file with -----BEGIN CERTIFICATE-----",
            ),
            Ok(certificates) => Some(certificates),
            Err(error) => self.error(path, not_pem(&error), "give a PEM file that is whole"),
        }
    }

    fn private_key(&mut self, path: &Path) -> Option<PrivateKeyDer<'static>> {
        let file = self.read(path)?;
        if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & WORLD_READABLE != 0) {
            self.warn(path, "everybody on this machine may read this private key", "chmod o= it");
        }
        match PrivateKeyDer::from_pem_slice(file.expose()) {
            Ok(key) => Some(key),
            Err(_) if is_encrypted(file.expose()) => self.error(
                path,
                "this private key is encrypted, and the broker cannot ask for its passphrase",
                "decrypt it with: openssl pkey -in FILE -out NEW_FILE",
            ),
            Err(pem::Error::NoItemsFound) => self.error(
                path,
                "there is no private key in this file",
                "give a PEM file with -----BEGIN PRIVATE KEY-----",
            ),
            Err(error) => self.error(path, not_pem(&error), "give a PEM file that is whole"),
        }
    }

    /// Looks at what clients will look at, as far as that can be seen from here. Says whether the certificates are any.
    fn check_chain(&mut self, path: &Path, chain: &[CertificateDer<'_>]) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut parsed: Vec<X509Certificate<'_>> = Vec::new();
        for (index, der) in chain.iter().enumerate() {
            let number = index + 1;
            let Ok((_, certificate)) = parse_x509_certificate(der) else {
                self.error::<()>(path, format!("certificate {number} is none"), "give a PEM file that is whole");
                return false;
            };
            self.check_dates(path, number, &certificate, now);
            if parsed.last().is_some_and(|before| before.issuer() != certificate.subject()) {
                self.warn(
                    path,
                    format!("certificate {number} is not that of the authority which has issued the one before"),
                    "put the server's certificate first and behind each the certificate of its issuer",
                );
            }
            parsed.push(certificate);
        }
        if parsed.first().is_some_and(|own| own.subject() == own.issuer()) {
            self.warn(
                path,
                "the certificate is signed by itself: only clients that were given it will take it",
                "get one from an authority that docks and backends know",
            );
        }
        true
    }

    fn check_dates(&mut self, path: &Path, number: usize, certificate: &X509Certificate<'_>, now: i64) {
        let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
        if until.timestamp() < now {
            self.error::<()>(path, format!("certificate {number} has expired on {until}"), "renew it");
        } else if from.timestamp() > now {
            let remedy = "wait, or see whether this machine's clock is right";
            self.error::<()>(path, format!("certificate {number} is not valid before {from}"), remedy);
        } else if until.timestamp() - now < SOON_DAYS * DAY {
            let days = (until.timestamp() - now) / DAY;
            self.warn(path, format!("certificate {number} expires in {days} days, on {until}"), "renew it");
        }
    }
}

/// Without what was read: it may be part of a key.
fn not_pem(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is wrong",
        pem::Error::Base64Decode(_) => "a section is not Base64",
        _ => "it cannot be read",
    };
    format!("this is not PEM: {what}")
}

/// Whether there is a key under a passphrase, as PKCS #8 (RFC 7468, 11) or as OpenSSL wrote it before (RFC 1421, 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(pem, mark).is_some())
}

/// The one common name of a certificate's subject: with several it is not clear who it is.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<ByteString> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    let usable = !name.is_empty() && !name.contains(char::is_control) && names.next().is_none();
    usable.then(|| name.into())
}
