//! What a token service answers: XML from AWS and MinIO, JSON from Alibaba Cloud. Read leniently: the first of each element
//! that is wanted, wherever it stands, and whatever else there is.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use serde_json::Value;

use crate::secret::Secret;

/// Elements of AWS's answers, success and failure alike.
const WANTED: [&str; 6] = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "Code", "Message"];

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted(Temporary),
    /// The code and the text of a refusal, as the service gives them.
    Refused {
        code: String,
        message: String,
    },
    /// Neither.
    Unreadable,
}

/// Temporary credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Temporary {
    pub(super) access_key_id: Secret,
    pub(super) secret_access_key: Secret,
    pub(super) security_token: Secret,
    /// Milliseconds since the epoch, if it was said in a way that can be read.
    pub(super) expires_at_ms: Option<u64>,
}

/// Reads an answer of AWS or MinIO.
pub(super) fn xml(body: &[u8]) -> Answer {
    let mut found = elements(body);
    let mut take = |name| found.remove(name).filter(|text| !text.is_empty());
    if let (Some(id), Some(key), Some(token)) = (take("AccessKeyId"), take("SecretAccessKey"), take("SessionToken")) {
        return granted(&id, &key, &token, take("Expiration").as_deref());
    }
    match take("Code") {
        Some(code) => Answer::Refused { code, message: take("Message").unwrap_or_default() },
        None => Answer::Unreadable,
    }
}

/// Reads an answer of Alibaba Cloud.
pub(super) fn json(body: &[u8]) -> Answer {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Answer::Unreadable };
    let text = |of: &Value, name: &str| {
        of.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    if let Some(credentials) = answer.get("Credentials") {
        let of = |name| text(credentials, name);
        if let (Some(id), Some(key), Some(token)) = (of("AccessKeyId"), of("AccessKeySecret"), of("SecurityToken")) {
            return granted(&id, &key, &token, of("Expiration").as_deref());
        }
    }
    match text(&answer, "Code") {
        Some(code) => Answer::Refused { code, message: text(&answer, "Message").unwrap_or_default() },
        None => Answer::Unreadable,
    }
}

fn granted(id: &str, key: &str, token: &str, expiration: Option<&str>) -> Answer {
    let expires_at_ms = expiration
        .and_then(|text| humantime::parse_rfc3339_weak(text.trim()).ok())
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|at| u64::try_from(at.as_millis()).ok());
    Answer::Granted(Temporary {
        access_key_id: id.into(),
        secret_access_key: key.into(),
        security_token: token.into(),
        expires_at_ms,
    })
}

/// The text of the first element of each wanted name, as far as the document can be read.
fn elements(body: &[u8]) -> HashMap<&'static str, String> {
    let mut found: HashMap<&'static str, String> = HashMap::new();
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::from_str(&text);
    let mut within: Option<&'static str> = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                let name = start.local_name();
                within = WANTED.into_iter().find(|wanted| *wanted == name.as_ref() && !found.contains_key(wanted));
                if let Some(name) = within {
                    found.insert(name, String::new());
                }
            }
            Ok(Event::Text(text)) => {
                if let Some(name) = within {
                    found.entry(name).or_default().push_str(&text);
                }
            }
            Ok(Event::GeneralRef(reference)) => {
                if let Some(name) = within {
                    let reference = format!("&{};", &*reference);
                    found.entry(name).or_default().push_str(&unescape(&reference).unwrap_or_default());
                }
            }
            Ok(Event::CData(text)) => {
                if let Some(name) = within {
                    found.entry(name).or_default().push_str(&text);
                }
            }
            Ok(Event::End(_)) => within = None,
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    for text in found.values_mut() {
        let trimmed = text.trim();
        if trimmed.len() != text.len() {
            *text = trimmed.to_owned();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of AWS's published sample and of MinIO's answers.
    const GRANTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
  <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/demo/TestAR</Arn></AssumedRoleUser>
  <Credentials>
    <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
    <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey>
    <SessionToken>AQoDYXdzEPT//&amp;wEXAMPLE==
    </SessionToken>
    <Expiration>2015-08-30T12:36:00Z</Expiration>
  </Credentials></AssumeRoleResult></AssumeRoleResponse>"#;

    #[test]
    fn credentials_are_read_from_xml_and_shown_by_nobody() {
        let Answer::Granted(temporary) = xml(GRANTED.as_bytes()) else { panic!() };
        assert_eq!(temporary.access_key_id.expose(), b"ASIAIOSFODNN7EXAMPLE");
        assert_eq!(temporary.secret_access_key.expose(), b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY");
        assert_eq!(temporary.security_token.expose(), b"AQoDYXdzEPT//&wEXAMPLE==");
        assert_eq!(temporary.expires_at_ms, Some(1_440_938_160_000));
        let shown = format!("{temporary:?}");
        assert!(!shown.contains("EXAMPLE"), "{shown}");
    }

    #[test]
    fn an_expiration_that_cannot_be_read_is_none() {
        let text = GRANTED.replace("2015-08-30T12:36:00Z", "tomorrow");
        let Answer::Granted(temporary) = xml(text.as_bytes()) else { panic!() };
        assert_eq!(temporary.expires_at_ms, None);
    }

    #[test]
    fn refusals_are_read_from_the_errors_of_sts_and_of_s3() {
        let refused = |code: &str, message: &str| Answer::Refused { code: code.into(), message: message.into() };
        for (text, answer) in [
            (
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                 <Code>InvalidClientTokenId</Code><Message>The token is &lt;invalid&gt;.</Message></Error>\
                 <RequestId>1</RequestId></ErrorResponse>",
                refused("InvalidClientTokenId", "The token is <invalid>."),
            ),
            (
                "<Error><Code>AccessDenied</Code><Message><![CDATA[No.]]></Message></Error>",
                refused("AccessDenied", "No."),
            ),
            ("<Error><Code>AccessDenied</Code>", refused("AccessDenied", "")),
            // Half of the credentials are none.
            ("<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>", Answer::Unreadable),
            ("<html><body>404</body></html>", Answer::Unreadable),
            ("", Answer::Unreadable),
            ("\u{0}<<<>>&&", Answer::Unreadable),
        ] {
            assert_eq!(xml(text.as_bytes()), answer, "{text}");
        }
    }

    #[test]
    fn alibabas_answers_are_read() {
        let granted = br#"{"RequestId":"6894B13B","AssumedRoleUser":{"AssumedRoleId":"3441"},"Credentials":{"SecurityToken":"CAIS",
            "AccessKeyId":"STS.L4aB","AccessKeySecret":"wyLT","Expiration":"2015-08-30T12:36:00Z"}}"#;
        let Answer::Granted(temporary) = json(granted) else { panic!() };
        assert_eq!(temporary.access_key_id.expose(), b"STS.L4aB");
        assert_eq!(temporary.secret_access_key.expose(), b"wyLT");
        assert_eq!(temporary.security_token.expose(), b"CAIS");
        assert_eq!(temporary.expires_at_ms, Some(1_440_938_160_000));
        let refused = br#"{"RequestId":"1","HostId":"sts.aliyuncs.com","Code":"NoPermission","Message":"You are not authorized."}"#;
        assert_eq!(
            json(refused),
            Answer::Refused { code: "NoPermission".into(), message: "You are not authorized.".into() }
        );
        for text in ["", "[]", "{}", "<xml/>", r#"{"Credentials":{"AccessKeyId":"a"}}"#] {
            assert_eq!(json(text.as_bytes()), Answer::Unreadable, "{text}");
        }
    }
}
