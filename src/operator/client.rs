//! The conversation with the API.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use ureq::Agent;

use super::Server;
use crate::access::Flaw;
use crate::http::read_token;
use crate::object_store::tls;
use crate::secret::Secret;

const CONNECT: Duration = Duration::from_secs(5);
/// The broker waits up to an hour for a dock (`uploads.reply_timeout`), by default 20 seconds at most.
const ANSWER: Duration = Duration::from_secs(65);
/// Answers of the API are bounded by 4 MiB.
const LARGEST_ANSWER: u64 = 16 << 20;

/// A broker's API.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: Option<Secret>,
}

/// What kept the API from answering as it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("{url} does not answer ({cause}): see whether the broker runs there (http.bind), or give --server")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why there is none.
        cause: String,
    },
    /// The API said no.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: u16,
        /// What the problem document says.
        detail: String,
    },
    /// It is no dockgate, or another version of it.
    #[error("{url} answers what a dockgate does not: {cause}")]
    Unreadable {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The token cannot be read.
    #[error("{0}")]
    Token(Flaw),
}

/// An answer of the API.
#[derive(Debug)]
pub(super) struct Answer {
    url: String,
    body: Vec<u8>,
}

/// A dock's lists of logs.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) listed: Vec<Listed>,
}

/// One module's logs.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(deserialize_with = "plain")]
    pub(super) module: String,
    #[serde(default)]
    pub(super) result: Option<i64>,
    #[serde(default)]
    pub(super) meaning: Option<String>,
    pub(super) files: Vec<LogFile>,
}

/// One log.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LogFile {
    pub(super) boot_index: Option<u32>,
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) size: Option<i64>,
}

/// An upload that has begun.
#[derive(Debug, Deserialize)]
pub(super) struct Started {
    pub(super) id: Option<u64>,
}

/// An upload, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Upload {
    pub(super) state: String,
    #[serde(default)]
    pub(super) outcome: Option<String>,
    #[serde(default)]
    pub(super) code: Option<i64>,
    #[serde(default)]
    pub(super) meaning: Option<String>,
    pub(super) files: Vec<UploadFile>,
}

/// One module's archive.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UploadFile {
    #[serde(deserialize_with = "plain")]
    pub(super) module: String,
    #[serde(deserialize_with = "plain")]
    pub(super) key: String,
    #[serde(deserialize_with = "plain")]
    pub(super) fingerprint: String,
    #[serde(deserialize_with = "plain")]
    pub(super) status: String,
    pub(super) size: Option<u64>,
    pub(super) overall: Option<f64>,
    pub(super) progress: Option<i64>,
    pub(super) upload_rate: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// A dock's own text without what a terminal would obey.
fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.replace(char::is_control, "\u{FFFD}"))
}

impl Client {
    /// Reads the token, if there is one. Nothing is sent yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(Server { url, token_file }: Server) -> Result<Self, ApiError> {
        let token = token_file.as_deref().map(read_token).transpose().map_err(ApiError::Token)?;
        let agent = Agent::config_builder()
            .tls_config(tls())
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            .user_agent(concat!("dockgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, url: url.url(), token })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, ApiError> {
        self.ask(path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: serde_json::Value) -> Result<Answer, ApiError> {
        self.ask(path, Some(body)).await
    }

    async fn ask(&self, path: &str, body: Option<serde_json::Value>) -> Result<Answer, ApiError> {
        let (client, url) = (self.clone(), format!("{}{path}", self.url));
        let asked = {
            let url = url.clone();
            tokio::task::spawn_blocking(move || client.exchange(&url, body)).await
        };
        let unreachable = |cause: String| ApiError::Unreachable { url: url.clone(), cause };
        let (status, body) =
            asked.map_err(|error| unreachable(error.to_string()))?.map_err(|e| unreachable(e.to_string()))?;
        if (200..300).contains(&status) {
            return Ok(Answer { url, body });
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { detail }) => Err(ApiError::Refused { status, detail }),
            Err(_) => Err(ApiError::Unreadable { url, cause: format!("status {status} without a reason") }),
        }
    }

    fn exchange(&self, url: &str, body: Option<serde_json::Value>) -> Result<(u16, Vec<u8>), ureq::Error> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", String::from_utf8_lossy(token.expose())));
        let mut answer = match body {
            None => {
                let request = self.agent.get(url);
                bearer.iter().fold(request, |request, bearer| request.header("Authorization", bearer)).call()?
            }
            Some(body) => {
                let request = self.agent.post(url).header("Content-Type", "application/json");
                let request = bearer.iter().fold(request, |request, bearer| request.header("Authorization", bearer));
                request.send(body.to_string())?
            }
        };
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?))
    }
}

impl Answer {
    /// The answer as it came.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn list(&self) -> Result<List, ApiError> {
        self.read()
    }

    pub(super) fn started(&self) -> Result<Started, ApiError> {
        self.read()
    }

    pub(super) fn upload(&self) -> Result<Upload, ApiError> {
        self.read()
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::Unreadable { url: self.url.clone(), cause: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dock_has_no_say_over_the_terminal() {
        let file = serde_json::json!({
            "module": "3", "key": "k\t0\n", "fingerprint": "\u{9b}31m", "status": "ok\u{1b}]0;title\u{7}",
        });
        let UploadFile { key, fingerprint, status, .. } = serde_json::from_value(file).unwrap();
        assert_eq!([key, fingerprint, status], ["k\u{FFFD}0\u{FFFD}", "\u{FFFD}31m", "ok\u{FFFD}]0;title\u{FFFD}"]);
    }
}
