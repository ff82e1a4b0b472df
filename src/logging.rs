//! What is logged, to where, and how often.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::config::{Log, LogFormat, shorten};

/// Why no log could be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter is not one; [`Settings::load`](crate::config::Settings::load) has checked that it is.
    #[error("log.level: {0}")]
    Filter(#[from] FilterError),
    /// This process logs already.
    #[error("this process has a log already")]
    Taken,
}

/// Why a text is not a filter of the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    /// It says nothing.
    #[error("an empty filter would hide almost everything")]
    Empty,
    /// A word that is not a level, shortened. `tracing-subscriber` would take it for a target and log everything of it, so
    /// that a misspelt level silences the broker.
    #[error("\"{0}\" is no level")]
    Level(String),
    /// Anything else that does not parse.
    #[error("this is no filter ({0})")]
    Directive(String),
}

/// Sends this process's log to standard error.
///
/// `RUST_LOG` has no effect; `DOCKGATE_LOG__LEVEL` is the variable that sets the filter.
///
/// # Errors
/// If the filter is none, or the process logs already.
pub fn init(log: &Log) -> Result<(), LoggingError> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(log, io::stderr, colours)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Taken)
}

/// Reads a level (`info`) or a list of them (`info,dockgate::mqtt=debug`).
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, FilterError> {
    if directives.trim().is_empty() {
        return Err(FilterError::Empty);
    }
    // Directives that name fields in braces may hold commas; those are left to the parser.
    let directives = if directives.contains('{') {
        directives.to_owned()
    } else {
        let words: Vec<_> = directives.split(',').map(str::trim).collect();
        for word in &words {
            let level = word.rsplit_once('=').map_or(*word, |(_, level)| level);
            // An empty level would parse as ERROR.
            if level.is_empty() || level.parse::<LevelFilter>().is_err() {
                return Err(FilterError::Level(shorten(level.to_owned())));
            }
        }
        words.join(",")
    };
    EnvFilter::builder().parse(directives).map_err(|error| FilterError::Directive(error.to_string()))
}

fn subscriber<W>(log: &Log, writer: W, colours: bool) -> Result<impl Subscriber + Send + Sync + use<W>, FilterError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(tracing_subscriber::registry()
        .with(filter(&log.level)?)
        // As a layer of its own, so that no directive, however exact, can turn it back on.
        .with(filter_fn(is_ours))
        .with(lines))
}

/// rumqttd opens a span at ERROR level for every event of its router: a filter that lets errors through would pay for
/// each of them.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("rumqttd")
}

/// Keeps a line of the log that a client can provoke from filling the disk.
///
/// ```
/// use dockgate::logging::RateLimit;
///
/// static MALFORMED: RateLimit = RateLimit::per_second(5);
///
/// if let Some(suppressed) = MALFORMED.allow() {
///     tracing::warn!(suppressed, "malformed packet");
/// }
/// ```
///
/// Allows `n` at once and `n` a second. Lock-free; a refusal costs a clock reading and two atomic operations.
#[derive(Debug)]
pub struct RateLimit {
    /// Nanoseconds between two permits at the full rate.
    interval: u64,
    /// When the next permit would be due if the rate had always been used, in nanoseconds of [`RateLimit::now`]
    /// (the generic cell rate algorithm: a token bucket in one number).
    due: AtomicU64,
    suppressed: AtomicU64,
}

const SECOND: u64 = Duration::from_secs(1).as_nanos() as u64;

impl RateLimit {
    /// Allows this many a second, and as many in one burst; 0 counts as 1.
    #[must_use]
    pub const fn per_second(permits: u32) -> Self {
        let permits = if permits == 0 { 1 } else { permits };
        Self { interval: SECOND / permits as u64, due: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// `Some` if the line may be written, with the number of lines that were not since the last one that was.
    pub fn allow(&self) -> Option<u64> {
        self.allow_nanos(Self::now())
    }

    /// The same by the caller's own clock, in milliseconds; one limit is asked by one clock only.
    pub fn allow_at(&self, now_ms: u64) -> Option<u64> {
        self.allow_nanos(now_ms.saturating_mul(1_000_000))
    }

    fn allow_nanos(&self, now: u64) -> Option<u64> {
        let permit = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let next = due.max(now) + self.interval;
            (next <= now + SECOND).then_some(next)
        });
        if permit.is_ok() {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    /// Nanoseconds since the first question of this process.
    fn now() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let log = Log { level: level.to_owned(), format };
        let writer = lines.clone();
        let subscriber = subscriber(&log, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn rumqttd_stays_silent_whatever_the_filter_says() {
        for level in ["info", "trace", "rumqttd=trace", "trace,rumqttd::router::routing=trace"] {
            let text = logged(level, LogFormat::Text, || {
                assert!(!tracing::enabled!(target: "rumqttd", tracing::Level::ERROR));
                let span = tracing::error_span!(target: "rumqttd::router::routing", "event");
                assert!(span.is_disabled(), "{level}");
                tracing::error!(target: "rumqttd::router::routing", "noise");
            });
            assert_eq!(text, "", "{level}");
        }
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let text = logged("warn,loud=debug", LogFormat::Text, || {
            tracing::info!(target: "quiet", "one");
            tracing::warn!(target: "quiet", "two");
            tracing::debug!(target: "loud", "three");
        });
        assert!(!text.contains("one") && text.contains("two") && text.contains("three"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields_at_the_top() {
        let text = logged("info", LogFormat::Json, || {
            tracing::info!(client = "dock\n1", "connected");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["client"], "dock\n1");
        assert_eq!(line["message"], "connected");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_filter_that_would_surprise_is_refused() {
        for (directives, error) in [
            ("", FilterError::Empty),
            ("  ", FilterError::Empty),
            ("inof", FilterError::Level("inof".to_owned())),
            ("dockgate", FilterError::Level("dockgate".to_owned())),
            ("info,dockgate=loud", FilterError::Level("loud".to_owned())),
            ("info,", FilterError::Level(String::new())),
        ] {
            assert_eq!(filter(directives).unwrap_err(), error, "{directives:?}");
        }
        for directives in ["info", "WARN", "off", "info, dockgate::mqtt=debug"] {
            assert!(filter(directives).is_ok(), "{directives:?}");
        }
    }

    #[test]
    fn a_burst_is_let_through_and_the_rest_counted() {
        let limit = RateLimit::per_second(3);
        let allowed: Vec<_> = (0..10).map(|_| limit.allow_nanos(0)).collect();
        assert_eq!(allowed.iter().flatten().count(), 3, "{allowed:?}");
        assert_eq!(allowed[3..], [None; 7]);
        assert_eq!(limit.allow_nanos(SECOND), Some(7));
        assert_eq!(limit.allow_nanos(SECOND), Some(0));
    }

    #[test]
    fn the_rate_holds_over_time_and_among_threads() {
        let limit = RateLimit::per_second(10);
        let allowed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for millisecond in 0..10_000 {
                        if limit.allow_nanos(millisecond * 1_000_000).is_some() {
                            allowed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let allowed = allowed.into_inner();
        assert!((100..=110).contains(&allowed), "{allowed}");
    }
}
