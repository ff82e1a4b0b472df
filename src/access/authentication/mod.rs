//! Whether a client is who it says.
//!
//! # The same answer after the same time
//!
//! A wrong password and an unknown user cost the same: the password of an unknown user is checked against a hash of the cost
//! that most users of the file have. Whatever is refused is answered at a multiple of half a second after it came, which
//! hides the rest. One thing can be known without a password: on a listener that lets anonymous clients in, who is let in
//! with an identifier knows that it is no user's name.
//!
//! # What a log-in costs
//!
//! Checking a password is meant to be slow. It happens off the async threads, in at most as many threads as the machine has
//! cores (one less if there are more than two), with [`verifier::WAITING_MAX`] places for those who wait. The line is fair:
//! - Addresses from which a log-in has succeeded within a day are served first, and a quarter of the places is theirs alone.
//! - All others are served in turn by network (an IPv4 address, or a /48 of IPv6) and by user name: who has many waiting
//!   waits for itself.
//! - If there is no place, one of those who would be served last is told that the broker is busy. Who has most waiting loses
//!   a place to a newcomer.
//!
//! So neither many guesses from one network nor guesses at few users from many keep a client out that has not been here
//! before. Guesses at many users from many networks can, but only clients from addresses without a success.
//!
//! A check that succeeds is remembered under a keyed hash of the user's entry, name and password, so that the next log-in
//! costs some microseconds; a changed entry changes the hash. Clients that bring the same at the same time share
//! one check.
//!
//! # Who guesses is slowed down
//!
//! Failures are counted by address: an IPv4 address, or a /64 of IPv6, which is what one customer has.
//! - Each failure doubles the time until the address's next failure is answered, from half a second to ten seconds.
//! - What an address with failures brings is checked one at a time, in a line of its own with [`throttle::WAITING_MAX`]
//!   places, and a failure keeps the next one in that line waiting, for at most a second. The line is served in turn by user
//!   name, and who finds it full gets a place of the user with most: guesses at few users keep no neighbour out.
//! - The same wrong credentials again (a dock whose password has been changed tries for ever) do not count again, nor are
//!   they checked again: they stand in nobody's way.
//! - A success forgives nothing, else whoever has one account could guess at all others in between. It needs to forgive
//!   nothing either: credentials that have succeeded are remembered, and who brings remembered ones waits for nobody, whatever
//!   its neighbours behind the same address do. Only who has not logged in since the broker started waits among them.
//! - Failures are also counted by /48, which one server may have. Seventeen make the /48 one address, but for a /64 in it
//!   from which a log-in has succeeded within a day.
//! - An address is forgotten five minutes after its last failure that counted.

mod generations;
mod line;
mod throttle;
mod verifier;

use super::Flaw;
use super::identity::{Denied, Identity, Login, Proof, Standing};
use super::password::Passwords;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use verifier::Verifier;

/// Checks who clients are.
#[derive(Debug)]
pub(super) struct Authentication {
    /// None if there is no password file.
    passwords: ArcSwapOption<Passwords>,
    verifier: Verifier,
}

impl Authentication {
    pub(super) fn new(passwords: Option<Passwords>) -> Self {
        Self { passwords: ArcSwapOption::from_pointee(passwords), verifier: Verifier::new() }
    }

    /// From now on these passwords count, and no others.
    pub(super) fn replace(&self, passwords: Option<Passwords>) {
        self.passwords.store(passwords.map(Arc::new));
    }

    /// What is allowed in the password file but deserves a second thought.
    pub(super) fn warnings(&self) -> Vec<Flaw> {
        self.passwords.load().as_ref().map_or_else(Vec::new, |passwords| passwords.warnings().to_vec())
    }

    /// Lets a client in, or not.
    pub(super) async fn authenticate(&self, login: Login) -> Result<Identity, Denied> {
        let passwords = self.passwords.load_full();
        // A form that is left empty may send an empty name.
        let claimed = login.username.filter(|name| !name.is_empty());
        let (username, proof) = if let Some(name) = login.certificate_name {
            (Some(name), Proof::Certificate)
        } else if let (Some(passwords), Some(name)) = (&passwords, claimed) {
            let password = login.password.ok_or(Denied::NoCredentials)?;
            let fingerprint = self.verifier.verify(passwords, &name, &password, login.address).await?;
            (Some(name), Proof::Password(fingerprint))
        } else if login.door.anonymous {
            // Where nobody can prove a name, one that is given anyway is nobody's.
            (None, Proof::Anonymous)
        } else {
            return Err(Denied::NoCredentials);
        };
        let who = Identity { client_id: login.client_id, username, listener_role: login.door.role, proof };
        if passwords.is_some_and(|passwords| has_anothers_identifier(&who, &passwords)) {
            return Err(Denied::Identifier);
        }
        // If the file has been replaced meanwhile, the client has to come again.
        if self.standing(&who) == Standing::Good { Ok(who) } else { Err(Denied::Busy) }
    }

    /// The password file as it is now.
    pub(super) fn passwords(&self) -> Option<Arc<Passwords>> {
        self.passwords.load_full()
    }

    /// The fingerprint of a user's entry in the password file.
    pub(super) fn fingerprint(&self, name: &str) -> Option<u64> {
        self.verifier.fingerprint(self.passwords.load().as_ref()?, name)
    }

    /// What has become of a client that was let in.
    pub(super) fn standing(&self, who: &Identity) -> Standing {
        let passwords = self.passwords.load();
        let present = passwords.as_ref();
        if let Proof::Password(proved) = who.proof {
            let name = who.username.as_deref().unwrap_or_default();
            match present.and_then(|passwords| self.verifier.fingerprint(passwords, name)) {
                None => return Standing::Gone,
                Some(fingerprint) if fingerprint != proved => return Standing::Unproved,
                Some(_) => {}
            }
        }
        let is_taken = present.is_some_and(|passwords| has_anothers_identifier(who, passwords));
        if is_taken { Standing::Unproved } else { Standing::Good }
    }
}

/// Whether a client calls itself by the name of a user that it is not. A dock's client identifier and user name are
/// often both its serial number: nobody else shall take its session over.
fn has_anothers_identifier(who: &Identity, passwords: &Passwords) -> bool {
    passwords.hash(&who.client_id).is_some() && who.username.as_ref() != Some(&who.client_id)
}

#[cfg(test)]
mod tests;
