//! Answers that are counted until they are written, so that readers that take nothing cannot fill the memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::problem::Problem;

/// Answers of the API that may be made and written at a time; with their size limit, 64 MiB at most.
const MAX_ANSWERS: usize = 16;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts the answers of the API.
#[derive(Debug, Clone)]
pub(super) struct Answers(Arc<Semaphore>);

impl Answers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_ANSWERS)))
    }

    /// Waits for the turn to make an answer.
    pub(super) async fn room(&self) -> Result<OwnedSemaphorePermit, Problem> {
        match timeout(PATIENCE, self.0.clone().acquire_owned()).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Problem::of(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MAX_ANSWERS} other answers are being read; ask again in a few seconds"),
            )),
        }
    }

    /// An answer that keeps its room until its last byte is written.
    pub(super) fn json(json: Vec<u8>, room: OwnedSemaphorePermit) -> Response {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let rest = Bytes::from(json);
        ([kind], Body::new(Counted { rest, _room: room })).into_response()
    }
}

/// How much is copied for hyper at a time. The body, and with it the room, goes when hyper has the last piece; a piece that
/// shared the answer's memory would keep all of it until a slow reader has taken that piece.
const PIECE: usize = 32 * 1024;

struct Counted {
    rest: Bytes,
    _room: OwnedSemaphorePermit,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.rest.len().min(PIECE);
        let piece = Bytes::copy_from_slice(&self.rest.split_to(size));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
