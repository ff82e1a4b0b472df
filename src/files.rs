//! The files that the settings name: passwords, rules, certificates and keys. Read as a whole at the start, by `check`, and
//! again when the broker is asked to.

use crate::access::{Access, Door, Flaw};
use crate::config::Settings;
use crate::http::Guard;
use crate::mqtt::Broker;
use crate::mqtt::listener::Entrance;
use crate::mqtt::transport::crowd::Crowd;
use crate::object_store::{ObjectStore, OpenError};
use std::net::SocketAddr;
use std::sync::Arc;

/// What the files hold, ready for use.
#[derive(Debug)]
pub struct Files {
    pub(crate) access: Arc<Access>,
    /// One a listener, in their order.
    pub(crate) entrances: Vec<Arc<Entrance>>,
    /// Who may come in through HTTP.
    pub(crate) guard: Arc<Guard>,
    /// Everybody who will come through any of them.
    pub(crate) crowd: Arc<Crowd>,
    /// Where docks upload their logs, if the settings have it. Its keys are in a file.
    pub object_store: Option<Arc<ObjectStore>>,
    /// What is allowed in the files but deserves a second thought.
    pub warnings: Vec<Flaw>,
}

impl Files {
    /// Reads them all.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn open(settings: &Settings) -> Result<Self, Vec<Flaw>> {
        let (mut flaws, mut warnings, mut entrances) = (Vec::new(), Vec::new(), Vec::new());
        let files = rlimit::Resource::NOFILE.get_soft().ok().and_then(|files| usize::try_from(files).ok());
        let crowd = Crowd::within(&settings.limits, files.unwrap_or(usize::MAX));
        for (index, listener) in settings.listeners.iter().enumerate() {
            let door = Door { anonymous: settings.admits_anonymous(listener), role: listener.role };
            match Entrance::open((index, listener), &settings.limits, door, crowd.clone()) {
                Ok((entrance, unwise)) => {
                    entrances.push(Arc::new(entrance));
                    warnings.extend(unwise);
                }
                Err(wrong) => flaws.extend(wrong),
            }
        }
        let object_store =
            settings.object_store.provider.map(|_| ObjectStore::open(&settings.object_store)).transpose();
        let object_store = object_store.map_err(|error| flaws.push(of_object_store(&error))).ok().flatten();
        let guard = Guard::open(settings.http.token_file.as_deref(), &settings.http.hosts);
        let guard = guard.map_err(|flaw| flaws.push(flaw)).ok();
        let access = Access::open(settings.access.sources()).map_err(|wrong| flaws.extend(wrong)).ok();
        match (access, guard) {
            (Some(access), Some(guard)) if flaws.is_empty() => {
                warnings.extend(access.warnings());
                let (access, guard, object_store) = (Arc::new(access), Arc::new(guard), object_store.map(Arc::new));
                Ok(Self { access, entrances, guard, crowd, object_store, warnings })
            }
            _ => Err(flaws),
        }
    }
}

/// The settings have been checked, so it is about the file of keys.
fn of_object_store(error: &OpenError) -> Flaw {
    let (path, (fault, remedy)) = match error {
        OpenError::Keys(error) => (error.path().to_owned(), error.fault_and_remedy()),
        OpenError::Setting { .. } => ("settings".into(), (error.to_string(), "correct it".to_owned())),
    };
    Flaw { path, line: None, fault, remedy }
}

/// Reads the files again while the broker runs.
#[derive(Debug, Clone)]
pub struct Reloader {
    broker: Arc<Broker>,
    access: Arc<Access>,
    guard: Arc<Guard>,
    /// Each with the address that it is bound to.
    entrances: Arc<[(SocketAddr, Arc<Entrance>)]>,
}

impl Reloader {
    pub(crate) fn new(
        broker: Arc<Broker>,
        access: Arc<Access>,
        guard: Arc<Guard>,
        entrances: impl IntoIterator<Item = (SocketAddr, Arc<Entrance>)>,
    ) -> Self {
        Self { broker, access, guard, entrances: entrances.into_iter().collect() }
    }

    /// Reads them, and checks every session by the new rules. A file that cannot be used changes nothing, and the log says
    /// why. It waits for the disk.
    pub fn reload(&self) {
        for (address, entrance) in &self.entrances[..] {
            match entrance.reload() {
                None => {}
                Some(Ok(warnings)) => {
                    warn_of(&warnings);
                    let protocol = entrance.protocol.as_str();
                    tracing::info!(protocol, %address, "certificate and key are read again, for connections from now on");
                }
                Some(Err(flaws)) => {
                    report(&flaws, &format!("the old certificate and key of the listener on {address} stay in force"));
                }
            }
        }
        match self.guard.reload() {
            Ok(true) => tracing::info!("the token of the HTTP listener is read again"),
            Ok(false) => {}
            Err(flaw) => report(&[flaw], "the old token of the HTTP listener stays in force"),
        }
        match self.access.reload() {
            Ok(()) => {
                warn_of(&self.access.warnings());
                self.broker.recheck_all();
                tracing::info!("passwords and rules are read again, and every session is checked by them");
            }
            Err(flaws) => report(&flaws, "the old passwords and rules stay in force"),
        }
    }
}

/// Logs what deserves a second thought.
pub(crate) fn warn_of(flaws: &[Flaw]) {
    for flaw in flaws {
        tracing::warn!("{flaw}");
    }
}

fn report(flaws: &[Flaw], consequence: &str) {
    for flaw in flaws {
        tracing::error!("{flaw}; {consequence}");
    }
}
