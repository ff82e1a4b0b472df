//! Errors as problem documents (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::codes;

/// An answer that says what is wrong and what would be right.
///
/// There is no `type` member: RFC 9457, 4.2.1 then has `about:blank`, with the status phrase as the title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// Names the parameter or the path and the remedy.
    pub(super) detail: String,
    /// A result code of the Cloud API that it is about, and what that means.
    pub(super) code: Option<i64>,
    /// The upload that is in the way.
    pub(super) upload: Option<u64>,
}

/// An error, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// The phrase of the status.
    title: &'a str,
    /// The status.
    status: u16,
    /// What is wrong, and what would be right.
    detail: &'a str,
    /// A result code of the Cloud API that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// What that code means, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    /// The upload that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<u64>,
}

/// What of a client's own text is repeated to it, so that an answer has a bounded size.
const QUOTED: usize = 64;

/// A client's text as part of a detail: shortened, control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

impl Problem {
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), code: None, upload: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            meaning: self.code.and_then(codes::meaning),
            upload: self.upload,
        };
        let body = serde_json::to_vec(&document).expect("strings and numbers always make JSON");
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (self.status, [kind], body).into_response()
    }
}
