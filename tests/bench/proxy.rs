//! Stands between the load and a broker, and does to what clients write what a test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What becomes of bytes that a client has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They reach the broker.
    Carried,
    /// Neither they nor any later ones of this client do; its connection stays.
    Held,
    /// The client's connection ends.
    Cut,
}

/// Begins to carry to this broker; clients connect to the address that is returned. `fate` is asked before each write.
pub(crate) fn start(broker: SocketAddr, fate: impl Fn(&[u8]) -> Fate + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fate = Arc::new(fate);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(broker).unwrap());
            server.set_nodelay(true).unwrap();
            client.set_nodelay(true).unwrap();
            let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let fate = Arc::clone(&fate);
            thread::spawn(move || carry(client, server, &*fate));
            thread::spawn(move || carry(from_server, to_client, |_| Fate::Carried));
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream, fate: impl Fn(&[u8]) -> Fate) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        match fate(&bytes[..length]) {
            Fate::Carried if to.write_all(&bytes[..length]).is_ok() => {}
            // The other thread still has both, and ends when the client has gone.
            Fate::Held => return,
            Fate::Carried | Fate::Cut => break,
        }
    }
    // The other side may have closed them already.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
