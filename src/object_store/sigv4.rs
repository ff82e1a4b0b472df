//! AWS's signature of version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>), as AWS and
//! MinIO check it.

use std::time::SystemTime;

use super::canonical::{self, CanonicalRequest, encode_path, hex, hmac_sha256};
use super::endpoint::Endpoint;
use super::keys::KeyPair;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is good for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// As [`amz_date`] writes it, the same as in the request's `x-amz-date`.
    pub(super) time: &'a str,
    pub(super) region: &'a str,
    /// `sts` or `s3`.
    pub(super) service: &'a str,
}

/// The value of the Authorization header.
pub(super) fn authorization(keys: &KeyPair, scope: Scope<'_>, request: &CanonicalRequest<'_>) -> String {
    let Scope { time, region, service } = scope;
    let date = time.split('T').next().unwrap_or(time);
    let credential = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{credential}\n{}", request.digest());
    let first = [b"AWS4", keys.secret_access_key.expose()].concat();
    let key = [date, region, service, "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac_sha256(&key, part.as_bytes()).as_ref().to_vec());
    let signature = hex(hmac_sha256(&key, to_sign.as_bytes()).as_ref());
    let (id, headers) = (keys.id(), request.signed_headers());
    format!("{ALGORITHM} Credential={id}/{credential}, SignedHeaders={headers}, Signature={signature}")
}

/// The SHA-256 of a body in hexadecimal digits, as [`ObjectRequest`] wants it.
#[must_use]
pub fn sha256(body: &[u8]) -> String {
    canonical::sha256(body)
}

/// A time as AWS writes it: `20260131T235959Z`.
pub(super) fn amz_date(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':'], "")
}

/// A request for one object: what is done to it, by whom and where.
#[derive(Debug, Clone, Copy)]
pub struct ObjectRequest<'a> {
    /// `PUT` writes it, `GET` reads it.
    pub method: &'a str,
    /// The store.
    pub endpoint: &'a Endpoint,
    /// Its region.
    pub region: &'a str,
    /// The bucket.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Whose credentials.
    pub keys: &'a KeyPair,
    /// The token of temporary credentials; empty for others.
    pub security_token: &'a str,
    /// The SHA-256 of the request's body in hexadecimal digits: see [`sha256`].
    pub sha256: &'a str,
}

impl ObjectRequest<'_> {
    /// The URL (path style) and the headers of the request.
    #[must_use]
    pub fn sign(&self, at: SystemTime) -> (String, Vec<(&'static str, String)>) {
        let time = amz_date(at);
        let path = encode_path(&format!("/{}/{}", self.bucket, self.key));
        let mut headers =
            vec![("host", self.endpoint.authority()), ("x-amz-content-sha256", self.sha256), ("x-amz-date", &time)];
        if !self.security_token.is_empty() {
            headers.push(("x-amz-security-token", self.security_token));
        }
        let request =
            CanonicalRequest { method: self.method, path: &path, query: &[], headers: &headers, payload: self.sha256 };
        let scope = Scope { time: &time, region: self.region, service: "s3" };
        let authorization = authorization(self.keys, scope, &request);
        let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        headers.push(("authorization", authorization));
        (format!("{}{path}", self.endpoint.url()), headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str) -> KeyPair {
        KeyPair { access_key_id: id.into(), secret_access_key: secret.into() }
    }

    fn signature(authorization: &str) -> &str {
        authorization.rsplit_once("Signature=").unwrap().1
    }

    /// Cases of AWS's "Signature Version 4 test suite", by their names there.
    #[test]
    fn requests_of_awss_test_suite_get_its_signatures() {
        let keys = keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let scope = Scope { time: "20150830T123600Z", region: "us-east-1", service: "service" };
        let plain = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let form = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            plain[0],
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
            plain[1],
        ];
        let token = [
            plain[0],
            plain[1],
            ("x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
        ];
        let spaces = [plain[0], ("my-header1", "value1"), ("my-header2", "\"a   b   c\""), plain[1]];
        for (name, method, query, headers, body, expected) in [
            (
                "get-vanilla",
                "GET",
                &[][..],
                &plain[..],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                &[("Param2", "value2"), ("Param1", "value1")],
                &plain,
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                "POST",
                &[],
                &plain,
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                &[],
                &form,
                "Param1=value1",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
            (
                "get-vanilla-with-session-token",
                "GET",
                &[],
                &token,
                "",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                "get-header-value-trim",
                "GET",
                &[],
                &spaces,
                "",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
        ] {
            let payload = sha256(body.as_bytes());
            let request = CanonicalRequest { method, path: "/", query, headers, payload: &payload };
            let authorization = authorization(&keys, scope, &request);
            assert_eq!(signature(&authorization), expected, "{name}: {}", request.text());
        }
    }

    /// "Example: PUT Object" of <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
    #[test]
    fn a_put_gets_the_signature_that_awss_documentation_gives_it() {
        let payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let request = CanonicalRequest {
            method: "PUT",
            path: &encode_path("/test$file.text"),
            query: &[],
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", payload),
                ("x-amz-date", "20130524T000000Z"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            payload,
        };
        let keys = keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let scope = Scope { time: "20130524T000000Z", region: "us-east-1", service: "s3" };
        assert_eq!(
            authorization(&keys, scope, &request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, \
             Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
    }

    #[test]
    fn a_time_is_written_as_aws_writes_it() {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_440_938_160_789);
        assert_eq!(amz_date(at), "20150830T123600Z");
    }

    #[test]
    fn the_parts_of_a_key_are_encoded_and_the_token_is_signed() {
        let (endpoint, keys) = (Endpoint::parse("http://localhost:9000").unwrap(), keys("id", "key"));
        let put = ObjectRequest {
            method: "PUT",
            endpoint: &endpoint,
            region: "us-east-1",
            bucket: "logs",
            key: "a b/c+d.tar",
            keys: &keys,
            security_token: "token",
            sha256: "0",
        };
        let (url, headers) = put.sign(SystemTime::UNIX_EPOCH);
        assert_eq!(url, "http://localhost:9000/logs/a%20b/c%2Bd.tar");
        let authorization = &headers.last().unwrap().1;
        assert!(authorization.contains("x-amz-date;x-amz-security-token,"), "{authorization}");
    }
}
