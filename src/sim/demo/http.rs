//! One GET, and one sample out of what Prometheus would read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use super::error::DemoError;

const PATIENCE: Duration = Duration::from_secs(5);
/// More than the metrics and the ledger of a demo by far.
const MAX_BODY: u64 = 4 * 1024 * 1024;

/// The body of the answer to a GET, if the answer is 200. HTTP/1.0, so that the body comes in one piece and
/// the connection's end is its end.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<String, DemoError> {
    let answer = time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_BODY).read_to_string(&mut answer).await?;
        Ok(answer)
    });
    let answer = match answer.await {
        Ok(answer) => answer.and_then(|answer| body(&answer)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {PATIENCE:?}"),
        )),
    };
    answer.map_err(|source| DemoError::Http {
        address,
        path: path.to_owned(),
        source,
    })
}

fn body(answer: &str) -> io::Result<String> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(io::Error::other(format!(
            "expected 200, but it was {status:?}"
        )));
    }
    Ok(body.to_owned())
}

/// The sum of a metric's samples that have all of these labels; None if there is no such sample.
pub(super) fn sample(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{value}\""))
        .collect();
    let values = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let rest = series.strip_prefix(name)?;
        let set = match rest {
            "" => "",
            _ => rest.strip_prefix('{')?.strip_suffix('}')?,
        };
        let given: Vec<&str> = set.split(',').collect();
        wanted
            .iter()
            .all(|label| given.contains(&label.as_str()))
            .then(|| value.parse::<f64>().ok())?
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP a_total x\n# TYPE a_total counter\na_total{module=\"0\",outcome=\"ok\"} 2\n\
        a_total{module=\"3\",outcome=\"ok\"} 1\na_total{module=\"3\",outcome=\"failed\"} 4\na_total_b 9\nup 1\n";

    #[test]
    fn samples_with_the_labels_asked_for_are_summed() {
        assert_eq!(sample(METRICS, "a_total", &[("outcome", "ok")]), Some(3.0));
        assert_eq!(
            sample(METRICS, "a_total", &[("outcome", "ok"), ("module", "3")]),
            Some(1.0)
        );
        assert_eq!(sample(METRICS, "a_total", &[]), Some(7.0));
        assert_eq!(sample(METRICS, "up", &[]), Some(1.0));
    }

    #[test]
    fn a_sample_that_is_not_there_is_none_and_not_nought() {
        assert_eq!(sample(METRICS, "a_total", &[("outcome", "lost")]), None);
        assert_eq!(sample(METRICS, "a_tot", &[]), None);
    }

    #[test]
    fn only_an_answer_of_200_has_a_body() {
        assert_eq!(
            body("HTTP/1.0 200 OK\r\na: b\r\n\r\nhello").unwrap(),
            "hello"
        );
        assert!(body("HTTP/1.0 404 Not Found\r\n\r\nx").is_err());
        assert!(body("nonsense").is_err());
    }
}
