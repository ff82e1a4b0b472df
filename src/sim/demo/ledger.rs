//! What /metrics and the API must say after the demo's uploads.

use std::io::Write;
use std::net::SocketAddr;

use super::error::DemoError;
use super::terminal::Terminal;

/// What was done.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) gateway: &'a str,
    pub(super) canceled: &'a str,
    pub(super) completed: &'a str,
    pub(super) refused: &'a str,
}

impl Story<'_> {
    pub(super) async fn check<W: Write>(
        &self,
        _http: SocketAddr,
        _terminal: &mut Terminal<W>,
    ) -> Result<(), DemoError> {
        Ok(())
    }
}
