//! The end of a connection.

use super::{Connection, End};
use crate::logging::RateLimit;
use crate::metrics::{Disconnect, Version};
use crate::mqtt::encode;
use crate::mqtt::handshake::farewell;
use crate::mqtt::link::Kick;
use crate::mqtt::sessions::Ending;
use crate::mqtt::transport::crowd::Place;
use bytestring::ByteString;
use rmqtt_codec::v5::{self, DisconnectReasonCode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the end of a connection waits for what is nearly safe to be acknowledged.
const LAST_ACKS: Duration = Duration::from_secs(1);

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// The end: what was accepted is delivered, the client is told why where it can be, the session learns of it.
    pub(in crate::mqtt) async fn finish(mut self, peer: SocketAddr, end: End, place: Option<Place>) {
        static FAULTS: RateLimit = RateLimit::per_second(5);
        let (why, code, text) = match &end {
            End::Client { .. } => (Disconnect::Client, None, ""),
            End::Closed => (Disconnect::Closed, None, ""),
            End::Io(_) => (Disconnect::Io, None, ""),
            End::Fault(fault) => (Disconnect::Protocol, Some(fault.code), fault.why),
            End::KeepAlive => (Disconnect::KeepAlive, Some(DisconnectReasonCode::KeepAliveTimeout), ""),
            End::WriteTimeout => (Disconnect::WriteTimeout, None, ""),
            End::Kicked(Kick::TakenOver) => (Disconnect::TakenOver, Some(DisconnectReasonCode::SessionTakenOver), ""),
            End::Kicked(Kick::NotAuthorized) => {
                (Disconnect::NotAuthorized, Some(DisconnectReasonCode::NotAuthorized), "")
            }
            End::Kicked(Kick::Shutdown) => (Disconnect::Shutdown, Some(DisconnectReasonCode::ServerShuttingDown), ""),
        };
        // As text, so that it is escaped: whoever chooses it must not write lines of the log.
        let client = &self.identity.client_id[..];
        match &end {
            End::Fault(fault) => {
                self.broker.metrics.protocol_error(fault.kind);
                if let Some(limit) = fault.limit {
                    self.broker.metrics.limit_hit(limit);
                }
                if let Some(suppressed) = FAULTS.allow() {
                    tracing::info!(%peer, client, suppressed, "connection closed: {fault}");
                }
            }
            End::Io(error) => tracing::debug!(%peer, client, %error, "connection failed"),
            _ => tracing::debug!(%peer, client, reason = why.as_str(), "disconnected"),
        }
        self.broker.metrics.disconnected(self.version, why);

        self.broker.send_all(&mut self.batch).await;
        if matches!(end, End::Fault(_) | End::Kicked(_) | End::KeepAlive) {
            // What is nearly safe need not be sent again.
            let settled = async {
                while let Some(ticket) = self.held.next() {
                    self.settle(ticket).await;
                    self.release_held();
                }
            };
            let _in_time = tokio::time::timeout(LAST_ACKS, settled).await;
        }
        let how = match end {
            End::Client { expiry_ms, with_will: false } => Ending::Graceful { expiry_ms },
            End::Client { expiry_ms, with_will: true } => Ending::WithWill { expiry_ms },
            _ => Ending::WithWill { expiry_ms: None },
        };
        let will = self.broker.leave(&self.session, &self.link, how);
        if let Some(will) = will {
            self.broker.publish_will(&self.session, will).await;
        }

        if let Some(reason_code) = code
            && self.version == Version::V5
        {
            let mut disconnect = v5::Disconnect::new(reason_code);
            disconnect.reason_string = (self.problem_info && !text.is_empty()).then(|| ByteString::from_static(text));
            encode::v5(&mut self.output, disconnect.into());
        }
        drop(place);
        if !matches!(end, End::WriteTimeout | End::Io(_)) {
            farewell(&mut self.read, &mut self.write, &mut self.output).await;
        }
    }
}
