//! What is wrong with a value that cannot be read, in the words of who wrote it.

use figment::error::Kind;
use figment::value::Value;

use super::keys;

/// Messages show what was given, but not pages of it.
const SHOWN: usize = 80;

/// What is wrong with a value that does not fit its setting, and what would fit.
pub(super) fn explain(key: &str, kind: &Kind) -> (String, String) {
    match kind {
        Kind::UnknownVariant(given, known) => {
            let remedy = match keys::nearest(given, known.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("give one of {}", quoted(known)),
            };
            (format!("the choice is between {}", quoted(known)), remedy)
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            let (fits, remedy) = match expected.as_str() {
                "u16" => ("a whole number from 0 to 65535", "give one"),
                "u32" => ("a whole number from 0 to 4294967295", "give one"),
                "u64" | "usize" => ("a whole number, 0 or more", "give one"),
                "i64" => ("a whole number", "give one"),
                "a boolean" => ("true or false", "give one of them"),
                "a string" => ("text", "put it in quotes"),
                "path string" => ("a path", "put it in quotes"),
                "a sequence" | "sequence" if key != "listeners" => ("a list of texts", "write it as [\"…\", \"…\"]"),
                "a sequence" | "sequence" => {
                    ("a list", "write [[listeners]] sections, or listeners = [{ bind = \"127.0.0.1:1883\" }]")
                }
                "a duration" => ("a duration", "give a number with its unit, such as \"15s\""),
                other => (other, "give one"),
            };
            (format!("this must be {fits}"), remedy.to_owned())
        }
        Kind::Message(fault) if key.ends_with(".origins") => (
            fault.clone(),
            "give what a browser says of it, scheme://host or scheme://host:port and nothing behind, such as \
             \"https://ops.example\"; or \"null\" for pages without an origin, or \"*\" for any"
                .to_owned(),
        ),
        _ if key.ends_with("bind") => (
            "this is not an address with a port".to_owned(),
            "give one, such as \"127.0.0.1:1883\", \"0.0.0.0:1883\" or \"[::1]:1883\" (a name will not do)".to_owned(),
        ),
        other => (other.to_string(), "correct it".to_owned()),
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

/// A value as it could have been written.
pub(super) fn show(value: &Value) -> String {
    if matches!(value, Value::Empty(..)) {
        return "none".to_owned();
    }
    shorten(serde_json::to_string(value).unwrap_or_default())
}

/// A text that somebody has given, as far as it may be shown.
pub(crate) fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}
