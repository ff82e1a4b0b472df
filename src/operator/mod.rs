//! `dockgate logs`: an operator's terminal, over the API of a broker that runs.
//!
//! It does nothing that the page or another client of the API could not do. `client` is the conversation, `select` which
//! logs of a list are wanted, `table` how lists look, `follow` an upload on its way.

mod client;
mod follow;
mod select;
mod table;

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

pub use self::client::ApiError;
use self::client::{Answer, Client};
pub use self::follow::Ending;
pub use self::select::Selection;
use crate::object_store::Endpoint;

/// Where the broker's API is.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its HTTP listener, or the proxy in front of it.
    pub url: Endpoint,
    /// The file with its bearer token.
    pub token_file: Option<PathBuf>,
}

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The API said no, or could not be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is nothing to upload.
    #[error(transparent)]
    Nothing(#[from] select::Nothing),
    /// The terminal, or the pipe behind it, is gone.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// Asks a dock for its logs and prints them, as a table or as the JSON of the API's answer.
///
/// # Errors
/// [`Failed`] says what came in the way.
pub async fn list(server: Server, gateway: &str, modules: &[&str], as_json: bool) -> Result<(), Failed> {
    let client = Client::open(server)?;
    let answer = ask_for_list(&client, gateway, modules).await?;
    let text = if as_json { format!("{}\n", answer.text()) } else { table::of(&answer.list()?) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Has a dock upload the logs that are wanted, and follows the upload to its end. A Ctrl-C cancels it.
///
/// # Errors
/// [`Failed`] says what came in the way before it began; once it has, [`Ending`] says what has become of it.
pub async fn pull(server: Server, gateway: &str, wanted: &Selection) -> Result<Ending, Failed> {
    let client = Client::open(server)?;
    let listed = ask_for_list(&client, gateway, wanted.modules()).await?.list()?;
    let files = wanted.of(&listed)?;
    let chosen = table::of_chosen(&listed, &files);
    eprint!("{chosen}");
    // From here on a Ctrl-C is noted: what the dock may have begun by then is not left alone.
    let interrupt = signal(SignalKind::interrupt()).map_err(Failed::Signals)?;
    let path = format!("/api/v1/gateways/{gateway}/uploads");
    let started = client.post(&path, json!({ "files": files })).await?.started()?;
    let Some(id) = started.id else { return Ok(Ending::Over { outcome: "unknown".to_owned() }) };
    follow::to_the_end(&client, gateway, id, interrupt).await
}

async fn ask_for_list(client: &Client, gateway: &str, modules: &[&str]) -> Result<Answer, ApiError> {
    client.post(&format!("/api/v1/gateways/{gateway}/log-list"), json!({ "modules": modules })).await
}
