//! A connection's bytes, over TCP or TLS. One thread may write while another reads, as the clock's thread does.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use super::reader::PacketReader;

/// Left to itself, Linux lets each publisher run megabytes ahead of the broker, and a run would mostly measure how long
/// the broker takes to empty the kernel's buffers.
const SEND_BUFFER: u32 = 64 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Pipe {
    tcp: TcpStream,
    tls: Option<Box<Mutex<ClientConnection>>>,
}

impl Pipe {
    /// Connects, with a TLS handshake if there is a configuration for one.
    pub(super) async fn open(
        address: SocketAddr,
        tls: Option<(&Arc<ClientConfig>, &ServerName<'static>)>,
    ) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let tcp = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        let Some((configuration, name)) = tls else {
            return Ok(Self { tcp, tls: None });
        };
        let session = ClientConnection::new(Arc::clone(configuration), name.clone()).map_err(io::Error::other)?;
        let pipe = Self { tcp, tls: Some(Box::new(Mutex::new(session))) };
        pipe.shake_hands().await?;
        Ok(pipe)
    }

    async fn shake_hands(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        loop {
            self.flushed().await?;
            if !tls.lock().is_handshaking() {
                return Ok(());
            }
            self.tcp.readable().await?;
            let mut session = tls.lock();
            match session.read_tls(&mut Raw(&self.tcp)) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed during the TLS handshake")),
                Ok(_) => {
                    session.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until [`Pipe::try_write`] may take something.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Waits for bytes. Nothing is lost if this is dropped half-way.
    pub(super) async fn fill(&self, reader: &mut PacketReader) -> io::Result<()> {
        loop {
            match reader.fill(|buffer| self.try_read(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tcp.readable().await?,
                filled => return filled,
            }
        }
    }

    /// Reads what is there; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, and those of the socket.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.tcp.try_read(buffer) };
        let mut session = tls.lock();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.read_tls(&mut Raw(&self.tcp))? == 0 {
                return Ok(0);
            }
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Writes as much as is taken now. With TLS some of that may still have to be flushed.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is taken, and those of the socket.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return self.tcp.try_write(bytes) };
        let mut session = tls.lock();
        if !push(&mut session, &self.tcp)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = session.writer().write(bytes)?;
        push(&mut session, &self.tcp)?;
        Ok(taken)
    }

    /// Whether nothing waits to be written that [`Pipe::try_write`] has taken, after trying to.
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        self.tls.as_ref().map_or(Ok(true), |tls| push(&mut tls.lock(), &self.tcp))
    }

    async fn flushed(&self) -> io::Result<()> {
        while !self.try_flush()? {
            self.tcp.writable().await?;
        }
        Ok(())
    }

    /// Writes all of it.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tcp.writable().await?,
                Err(error) => return Err(error),
            }
        }
        self.flushed().await
    }
}

/// Writes what the session has to write; false if the socket does not take all of it now.
fn push(session: &mut ClientConnection, tcp: &TcpStream) -> io::Result<bool> {
    while session.wants_write() {
        match session.write_tls(&mut Raw(tcp)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// The socket as rustls wants it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
