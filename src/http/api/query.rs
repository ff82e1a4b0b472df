//! The parameters of a query.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use crate::http::problem::{Problem, quoted};

/// The most that one answer may list.
pub(super) const MAX_LIMIT: usize = 1000;

/// The parameters of a query as they were written.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters of a query, each of a known name and there once.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(pairs: Pairs, route: &str, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = pairs.map_err(|error| Problem::bad_request(format!("the query: {error}")))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let takes = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
                return Err(Problem::bad_request(format!("unknown parameter {}; {route} takes {takes}", quoted(name))));
            }
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request(format!("{name} is there twice; give it once")));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn limit(&mut self, default: usize) -> Result<usize, Problem> {
        let Some(limit) = self.take("limit") else {
            return Ok(default);
        };
        limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            Problem::bad_request(format!("limit is {}; use a whole number from 1 to {MAX_LIMIT}", quoted(&limit)))
        })
    }

    pub(super) fn serial(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            Some(serial) if serial.is_empty() => {
                Err(Problem::bad_request(format!("{name} is empty; name a serial number or leave it out")))
            }
            serial => Ok(serial),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        self.take(name)
            .map(|text| {
                let wrong = || Problem::bad_request(format!("{name} is {}; use true or false", quoted(&text)));
                text.parse().map_err(|_| wrong())
            })
            .transpose()
    }
}
