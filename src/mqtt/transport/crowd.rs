//! How many sockets and connections there are, in all and from one address.

use crate::config::Limits;
use dashmap::DashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Files that the process has open beside its clients' sockets: listeners, the log, the runtime's own, HTTP connections.
pub const OWN_FILES: usize = 64;

/// What is counted.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Socket,
    Connection,
    FromAddress(IpAddr),
}

/// Everybody who is there, through one listener or through all.
///
/// A socket is counted from accept on. A place under `limits.connections` is taken only for a whole CONNECT, so that
/// who says nothing takes none from those who do; twice as many sockets may be open, so that who finds no place can be
/// told.
#[derive(Debug)]
pub struct Crowd {
    most_sockets: usize,
    most_connections: usize,
    /// 0 is no limit.
    most_from_address: usize,
    sockets: AtomicUsize,
    connections: AtomicUsize,
    from_address: DashMap<IpAddr, usize, ahash::RandomState>,
}

impl Crowd {
    /// Nobody yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Self::within(limits, usize::MAX)
    }

    /// Nobody yet, in a process that may have so many files open: who would take the last of them is turned away, so that
    /// there are some for HTTP and for reading the settings' files again.
    #[must_use]
    pub fn within(limits: &Limits, files: usize) -> Arc<Self> {
        Arc::new(Self {
            most_sockets: limits.connections.saturating_mul(2).min(files.saturating_sub(OWN_FILES).max(1)),
            most_connections: limits.connections,
            most_from_address: limits.connections_per_address,
            sockets: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            from_address: DashMap::default(),
        })
    }

    /// Open sockets, those without CONNACK included.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.sockets.load(Relaxed)
    }

    fn enter(&self, who: Counted) -> bool {
        let one_more = |count: &AtomicUsize, most| {
            count.fetch_update(Relaxed, Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
        };
        match who {
            Counted::Socket => one_more(&self.sockets, self.most_sockets),
            Counted::Connection => one_more(&self.connections, self.most_connections),
            Counted::FromAddress(_) if self.most_from_address == 0 => true,
            Counted::FromAddress(address) => {
                let mut count = self.from_address.entry(address).or_insert(0);
                let room = *count < self.most_from_address;
                *count += usize::from(room);
                room
            }
        }
    }

    fn leave(&self, who: Counted) {
        match who {
            Counted::Socket => drop(self.sockets.fetch_sub(1, Relaxed)),
            Counted::Connection => drop(self.connections.fetch_sub(1, Relaxed)),
            Counted::FromAddress(_) if self.most_from_address == 0 => {}
            Counted::FromAddress(address) => {
                self.from_address.remove_if_mut(&address, |_, count| {
                    *count -= 1;
                    *count == 0
                });
            }
        }
    }
}

/// The crowd of a listener, and that of all listeners: who comes is counted in both.
#[derive(Debug, Clone)]
pub(crate) struct Crowds {
    pub(crate) all: Arc<Crowd>,
    pub(crate) own: Arc<Crowd>,
}

impl Crowds {
    /// A place for a socket that was just accepted.
    pub(crate) fn socket(&self) -> Option<Place> {
        self.enter(Counted::Socket)
    }

    /// A place for a client that has said CONNECT.
    pub(crate) fn connection(&self) -> Option<Place> {
        self.enter(Counted::Connection)
    }

    /// A place among those from the same address.
    pub(crate) fn of_address(&self, peer: SocketAddr) -> Option<Place> {
        self.enter(Counted::FromAddress(network(peer.ip())))
    }

    fn enter(&self, who: Counted) -> Option<Place> {
        if !self.all.enter(who) {
            return None;
        }
        if !self.own.enter(who) {
            self.all.leave(who);
            return None;
        }
        Some(Place { crowds: self.clone(), who })
    }
}

/// One of a limited number of places, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowds: Crowds,
    who: Counted,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowds.all.leave(self.who);
        self.crowds.own.leave(self.who);
    }
}

/// What one customer of a provider has: an IPv4 address, or the /64 of an IPv6 address (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowds(all: (usize, usize), own: (usize, usize)) -> Crowds {
        let crowd = |(connections, connections_per_address)| {
            Crowd::new(&Limits { connections, connections_per_address, ..Limits::default() })
        };
        Crowds { all: crowd(all), own: crowd(own) }
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let crowds = crowds((1, 1), (1, 1));
        let place = crowds.connection().unwrap();
        assert!(crowds.connection().is_none());
        drop(place);
        assert!(crowds.connection().is_some());
    }

    #[test]
    fn twice_as_many_sockets_as_connections_may_be_open() {
        let crowds = crowds((2, 0), (9, 0));
        let places: Vec<_> = (0..6).filter_map(|_| crowds.socket()).collect();
        assert_eq!(places.len(), 4);
        assert_eq!(crowds.all.sockets(), 4);
    }

    #[test]
    fn sockets_leave_some_of_the_files_of_the_process_to_others() {
        let own = Crowd::new(&Limits::default());
        let crowds = Crowds { all: Crowd::within(&Limits::default(), 100), own };
        let places: Vec<_> = (0..100).filter_map(|_| crowds.socket()).collect();
        assert_eq!(places.len(), 100 - OWN_FILES);
    }

    #[test]
    fn who_finds_no_place_at_the_listener_takes_none_from_the_others() {
        let crowds = crowds((9, 9), (1, 1));
        let _first = (crowds.connection().unwrap(), crowds.of_address(peer("192.0.2.1")).unwrap());
        assert!(crowds.connection().is_none());
        assert!(crowds.of_address(peer("192.0.2.1")).is_none());
        assert_eq!(crowds.all.connections.load(Relaxed), 1);
        assert_eq!(*crowds.all.from_address.get(&peer("192.0.2.1").ip()).unwrap(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_and_a_mapped_ipv4_address_is_itself() {
        let crowds = crowds((9, 1), (9, 1));
        let _place = crowds.of_address(peer("2001:db8::1")).unwrap();
        assert!(crowds.of_address(peer("2001:db8::ffff:1")).is_none());
        let _other = crowds.of_address(peer("2001:db8:0:1::1")).unwrap();
        let _mapped = crowds.of_address(peer("::ffff:192.0.2.1")).unwrap();
        assert!(crowds.of_address(peer("192.0.2.1")).is_none());
        let _next = crowds.of_address(peer("192.0.2.2")).unwrap();
    }

    #[test]
    fn nothing_is_remembered_of_an_address_that_has_left() {
        let crowds = crowds((9, 2), (9, 2));
        drop((crowds.of_address(peer("192.0.2.1")), crowds.of_address(peer("192.0.2.1"))));
        assert!(crowds.all.from_address.is_empty() && crowds.own.from_address.is_empty());
    }

    #[test]
    fn zero_is_no_limit_on_an_address() {
        let crowds = crowds((9, 0), (9, 0));
        let places: Vec<_> = (0..5000).map(|_| crowds.of_address(peer("192.0.2.1")).unwrap()).collect();
        assert_eq!(places.len(), 5000);
    }
}
