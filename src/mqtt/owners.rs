//! How many sessions each user has, and which of them have no connection: so that who has the most makes room, and one
//! user's sessions never push out another's.

use super::deadlines::Key;
use ahash::AHashMap;
use bytestring::ByteString;
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// The user of a session. Clients without a user name are one user.
pub(super) type User = Option<ByteString>;

/// What every user has of `limits.sessions`. Its lock is taken under those of the sessions, and none under it.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Mutex<AHashMap<User, Owned>>,
}

#[derive(Debug, Default)]
struct Owned {
    sessions: usize,
    /// The ends of those without a connection, soonest first.
    ends: BTreeSet<Key>,
}

impl Owners {
    /// A user has one more session.
    pub(super) fn add(&self, user: &User) {
        let mut users = self.users.lock();
        match users.get_mut(user) {
            Some(owned) => owned.sessions += 1,
            None => drop(users.insert(user.clone(), Owned { sessions: 1, ends: BTreeSet::new() })),
        }
    }

    /// A user has one session less, with these deadlines.
    pub(super) fn remove(&self, user: &User, deadlines: &[Key]) {
        let mut users = self.users.lock();
        let Some(owned) = users.get_mut(user) else { return };
        owned.sessions -= 1;
        for key in deadlines {
            owned.ends.remove(key);
        }
        if owned.sessions == 0 {
            users.remove(user);
        }
    }

    /// A session has lost its connection, and ends at this deadline.
    pub(super) fn went(&self, user: &User, end: Key) {
        if let Some(owned) = self.users.lock().get_mut(user) {
            owned.ends.insert(end);
        }
    }

    /// A session's deadline holds no longer.
    pub(super) fn cancelled(&self, user: &User, deadline: Key) {
        if let Some(owned) = self.users.lock().get_mut(user) {
            owned.ends.remove(&deadline);
        }
    }

    /// Takes the end of the session that makes room for one more of `newcomer`'s: its own one that ends first; if it has
    /// none without a connection, one of the user with the most sessions, if that has more than the newcomer.
    pub(super) fn take_end(&self, newcomer: &User) -> Option<Key> {
        let mut users = self.users.lock();
        let mut own = 0;
        if let Some(owned) = users.get_mut(newcomer) {
            if let Some(end) = owned.ends.pop_first() {
                return Some(end);
            }
            own = owned.sessions;
        }
        // All are looked at, but only where the newcomer has none to give, and then it has just been let in by a password.
        let most = users.values_mut().filter(|owned| !owned.ends.is_empty()).max_by_key(|owned| owned.sessions)?;
        if most.sessions > own { most.ends.pop_first() } else { None }
    }

    /// Sessions of each user, and how many of them may make room.
    #[cfg(test)]
    pub(super) fn all(&self) -> std::collections::HashMap<User, (usize, usize)> {
        self.users.lock().iter().map(|(user, owned)| (user.clone(), (owned.sessions, owned.ends.len()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        Some(name.into())
    }

    /// Users with as many sessions as there are ends, of which 0 is for one with a connection.
    fn owners(of: &[(&str, &[u64])]) -> Owners {
        let owners = Owners::default();
        for (name, ends) in of {
            for &end in *ends {
                owners.add(&user(name));
                if end > 0 {
                    owners.went(&user(name), (end, end));
                }
            }
        }
        owners
    }

    #[test]
    fn a_user_makes_room_for_itself() {
        let owners = owners(&[("few", &[30, 20, 0]), ("many", &[1, 2, 3, 4])]);
        assert_eq!(owners.take_end(&user("few")), Some((20, 20)));
        assert_eq!(owners.take_end(&user("few")), Some((30, 30)));
        assert_eq!(owners.take_end(&user("few")), Some((1, 1)));
    }

    #[test]
    fn who_has_the_most_makes_room_for_others() {
        let owners = owners(&[("one", &[1]), ("three", &[5, 4, 6]), ("two", &[2, 3])]);
        assert_eq!(owners.take_end(&user("new")), Some((4, 4)));
        owners.remove(&user("three"), &[]);
        owners.remove(&user("two"), &[(3, 3)]);
        assert_eq!(owners.take_end(&None), Some((5, 5)));
    }

    #[test]
    fn nobody_makes_room_for_who_has_as_much() {
        let owners = owners(&[("one", &[1]), ("connected", &[0, 0, 0]), ("two", &[2, 3])]);
        assert_eq!(owners.take_end(&user("connected")), None);
        owners.add(&None);
        owners.add(&None);
        assert_eq!(owners.take_end(&None), None);
        owners.remove(&None, &[]);
        assert_eq!(owners.take_end(&None), Some((2, 2)));
    }

    #[test]
    fn a_session_that_is_back_or_has_ended_makes_no_room() {
        let owners = owners(&[("a", &[1, 2])]);
        owners.cancelled(&user("a"), (1, 1));
        owners.remove(&user("a"), &[(2, 2), (7, 7)]);
        assert_eq!(owners.take_end(&user("a")), None);
        assert_eq!(owners.all()[&user("a")], (1, 0));
        owners.remove(&user("a"), &[]);
        assert!(owners.all().is_empty());
    }
}
