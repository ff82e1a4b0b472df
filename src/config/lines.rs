//! Finds the line of a TOML file on which a setting is given.

use toml_edit::{ImDocument, Item, TableLike, Value};

/// A parsed TOML text that remembers where everything stood.
#[derive(Debug)]
pub(super) struct Lines {
    document: ImDocument<String>,
}

/// Why a text is not TOML, and on which line.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

impl Lines {
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        match ImDocument::parse(text.to_owned()) {
            Ok(document) => Ok(Self { document }),
            Err(error) => Err(SyntaxError {
                line: error.span().map(|span| line_at(text, span.start)),
                message: error.message().replace('\n', ", "),
            }),
        }
    }

    /// The line of a dotted path such as `http.bind` or `listeners[1].bind`, or of its nearest ancestor that
    /// is written down.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let mut offset = None;
        let mut node = Node::Item(self.document.as_item());
        for part in parts(key) {
            let Some((found, at)) = node.step(part) else {
                break;
            };
            offset = at.or(offset);
            node = found;
        }
        offset.map(|offset| line_at(self.document.raw(), offset))
    }
}

#[derive(Clone, Copy)]
enum Node<'a> {
    Item(&'a Item),
    Table(&'a dyn TableLike),
    Value(&'a Value),
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Node<'a> {
    /// The child, and the offset at which it is given.
    fn step(self, part: Part<'_>) -> Option<(Node<'a>, Option<usize>)> {
        match part {
            Part::Key(name) => {
                let (key, item) = self.as_table()?.get_key_value(name)?;
                let at = key.span().or_else(|| item.span()).map(|span| span.start);
                Some((Node::Item(item), at))
            }
            Part::Index(index) => {
                if let Node::Item(Item::ArrayOfTables(tables)) = self {
                    let table = tables.get(index)?;
                    Some((Node::Table(table), table.span().map(|span| span.start)))
                } else {
                    let value = self.as_array()?.get(index)?;
                    Some((Node::Value(value), value.span().map(|span| span.start)))
                }
            }
        }
    }

    fn as_table(self) -> Option<&'a dyn TableLike> {
        match self {
            Node::Item(item) => item.as_table_like(),
            Node::Table(table) => Some(table),
            Node::Value(value) => value.as_inline_table().map(|table| table as &dyn TableLike),
        }
    }

    fn as_array(self) -> Option<&'a toml_edit::Array> {
        match self {
            Node::Item(item) => item.as_array(),
            Node::Table(_) => None,
            Node::Value(value) => value.as_array(),
        }
    }
}

fn parts(key: &str) -> impl Iterator<Item = Part<'_>> {
    key.split(['.', '['])
        .map(|part| match part.strip_suffix(']').map(str::parse) {
            Some(Ok(index)) => Part::Index(index),
            _ => Part::Key(part),
        })
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_however_toml_spells_its_place() {
        let lines = Lines::parse(
            "http.bind = 'x'\n\
             listeners2 = [\n{ bind = 'a' },\n{ bind = 'b' }]\n\
             \n[[listeners]]\nprotocol = 'mqtt'\n\n[[listeners]]\nbind = 'c'\n\
             [limits]\n\"inflight\" = 3\n",
        )
        .unwrap();
        for (key, line) in [
            ("http.bind", Some(1)),
            ("listeners2", Some(2)),
            ("listeners2[0].bind", Some(3)),
            ("listeners2[1].bind", Some(4)),
            ("listeners[0].protocol", Some(7)),
            ("listeners[0].bind", Some(6)),
            ("listeners[1].bind", Some(10)),
            ("limits.inflight", Some(12)),
            ("limits.nothing", Some(11)),
            ("uploads.scope", None),
        ] {
            assert_eq!(lines.line_of(key), line, "{key}");
        }
    }

    #[test]
    fn a_syntax_error_knows_its_line() {
        let error = Lines::parse("[http]\nbind = \n").unwrap_err();
        assert_eq!(error.line, Some(2), "{error:?}");
        assert!(!error.message.contains('\n'));
    }
}
