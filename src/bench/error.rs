//! Why a run did not come about.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a run did not come about, or one of its connections ended.
#[derive(Debug, Error)]
pub enum BenchError {
    /// Nobody listens there, or TLS does not agree.
    #[error("{client} cannot connect to {address} ({source}): {}", match .tls {
        false => "see that the broker runs there and takes this protocol",
        true => "see that the broker runs there, takes this protocol, and has a certificate of an authority that --ca names",
    })]
    Connect {
        /// The client identifier.
        client: String,
        /// The target's address.
        address: SocketAddr,
        /// Whether the target is one with TLS.
        tls: bool,
        /// What the system or the TLS session says.
        source: io::Error,
    },
    /// The CONNACK says no.
    #[error("{client} was refused with CONNACK {code:#04x}, {reason}")]
    Refused {
        /// The client identifier.
        client: String,
        /// Return or reason code.
        code: u8,
        /// The same in words.
        reason: &'static str,
    },
    /// The SUBACK says no.
    #[error("{client} may not subscribe to {filter} at QoS {qos}: SUBACK {code:#04x}")]
    NotSubscribed {
        /// The client identifier.
        client: String,
        /// The topic filter.
        filter: String,
        /// What was asked for.
        qos: u8,
        /// What was granted.
        code: u8,
    },
    /// The connection ended in the middle of a run.
    #[error("the connection of {client} broke: {source}")]
    Broken {
        /// The client identifier.
        client: String,
        /// What the system says.
        source: io::Error,
    },
    /// The broker sent what it should not.
    #[error("{client} got {what}")]
    Unexpected {
        /// The client identifier.
        client: String,
        /// What came, and what should have.
        what: String,
    },
    /// Something took too long.
    #[error("{what} not within {within:?}")]
    Late {
        /// What did not happen.
        what: &'static str,
        /// The deadline.
        within: Duration,
    },
    /// The scenario cannot be run like this.
    #[error("{scenario} cannot be run: {why}")]
    Unfit {
        /// The scenario's name.
        scenario: String,
        /// What does not go together, and what to do.
        why: String,
    },
    /// More connections than the process may have.
    #[error("{needed} connections and files are more than the {allowed} that may be open: raise ulimit -n")]
    Files {
        /// Descriptors that the run needs.
        needed: u64,
        /// Descriptors that the process may have.
        allowed: u64,
    },
    /// A file of certificates cannot be used.
    #[error("{} cannot be used ({why}): give the PEM file of the authority that has signed the broker's certificate", .file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host has no address.
    #[error("{host}:{port} has no address ({why})")]
    Unknown {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// What the resolver says.
        why: String,
    },
    /// A process cannot be looked at.
    #[error("{path} cannot be read ({why}): is the process gone?")]
    Process {
        /// The file under `/proc`.
        path: String,
        /// What the system says, or what is missing.
        why: String,
    },
    /// The generator's own machinery failed.
    #[error("the load generator failed: {0}")]
    Own(String),
}

impl BenchError {
    /// How a connection breaks.
    pub(super) fn broken(client: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Broken { client: client.to_owned(), source }
    }
}
