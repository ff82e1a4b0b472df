//! `dockgate logs`: the command line of [`dockgate::operator`].
//!
//! Exit codes: 0 if it was done (for `pull`: every archive has arrived), 1 if it could not be done, 2 for a wrong command
//! line, 3 if the upload began and ended otherwise, 130 if it was canceled with Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use dockgate::object_store::Endpoint;
use dockgate::operator::{self, Ending, Selection, Server};

use crate::{INTERRUPTED, block_on, finish};

/// The upload began, and has not arrived.
const NOT_ARRIVED: u8 = 3;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a dock which logs it has, and print them.
    List {
        /// The serial number of the dock.
        #[arg(value_name = "SN", value_parser = serial)]
        gateway: String,
        /// Whose logs; both, if nothing is said.
        #[arg(long, value_enum)]
        module: Option<Module>,
        /// Print the answer of the API.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        broker: Broker,
    },
    /// Have a dock upload logs to the object store of the broker's settings, and wait for the end. Ctrl-C cancels.
    ///
    /// Prints key, size and fingerprint of each archive that has arrived. Exit code 3 if the upload ended otherwise, 130 if
    /// it was canceled.
    Pull {
        /// The serial number of the dock.
        #[arg(value_name = "SN", value_parser = serial)]
        gateway: String,
        /// Whose logs; both, if nothing is said.
        #[arg(long, value_enum)]
        module: Option<Module>,
        /// So many of the newest.
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
        last: u16,
        /// The log with this boot index, in place of the newest; may be repeated, and needs --module.
        #[arg(long, value_name = "INDEX", requires = "module", conflicts_with = "last")]
        boot: Vec<u32>,
        #[command(flatten)]
        broker: Broker,
    },
}

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct Broker {
    /// The broker's HTTP listener.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9641", value_parser = Endpoint::parse)]
    server: Endpoint,
    /// The file with its token, as in http.token_file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Whose logs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Module {
    /// The aircraft's.
    #[value(name = "0", alias = "aircraft")]
    Aircraft,
    /// The dock's.
    #[value(name = "3", alias = "dock")]
    Dock,
}

impl Module {
    fn word(self) -> &'static str {
        match self {
            Self::Aircraft => "0",
            Self::Dock => "3",
        }
    }
}

/// A serial number becomes a part of a URL and of a topic.
fn serial(text: &str) -> Result<String, &'static str> {
    let is_serial = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_serial {
        Ok(text.to_owned())
    } else {
        Err("a serial number has letters and digits only, such as 8UUXN3D00A1B2C")
    }
}

impl From<Broker> for Server {
    fn from(Broker { server, token_file }: Broker) -> Self {
        Self { url: server, token_file }
    }
}

pub(crate) fn run(command: Command) -> ExitCode {
    let both = |module: Option<Module>| module.map_or_else(|| vec!["0", "3"], |module| vec![module.word()]);
    match command {
        Command::List { gateway, module, json, broker } => {
            finish(block_on(async { Ok(operator::list(broker.into(), &gateway, &both(module), json).await?) }))
        }
        Command::Pull { gateway, module, last, boot, broker } => {
            let wanted = match module {
                Some(module) if !boot.is_empty() => Selection::Boots(module.word(), boot),
                _ => Selection::Last(both(module), last.into()),
            };
            match block_on(async { Ok(operator::pull(broker.into(), &gateway, &wanted).await?) }) {
                Ok(Ending::Arrived) => ExitCode::SUCCESS,
                Ok(Ending::Over { .. }) => ExitCode::from(NOT_ARRIVED),
                Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
                Err(error) => finish(Err(error)),
            }
        }
    }
}
