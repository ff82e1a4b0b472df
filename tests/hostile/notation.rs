//! The notation of the corpus for bytes that are too many to be written out.
//!
//! | written | stands for |
//! |---|---|
//! | `30ff00` | hex digits |
//! | `'text'` | the text |
//! | `"text"` | the text with its length in two bytes in front |
//! | `[ … ]` | what is in it, with its length in two bytes in front |
//! | `{ … }` | what is in it, with its length as a variable byte integer in front: a packet's body, or properties |
//! | `1000*x` | a thousand times `x`, which is any of these, or a group `( … )` |
//! | `@2`, `@d` | the number of the time, from 1: in two bytes, or as decimal digits |

use std::iter::Peekable;
use std::str::Chars;

use crate::common::packet::{put_bytes, put_variable};

/// The bytes that `text` stands for.
#[track_caller]
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader = Reader { rest: text.chars().peekable(), text };
    reader.sequence(None).write(&mut out, 0);
    out
}

/// A text taken apart.
#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Sequence(Vec<Part>),
    /// With a length of two bytes.
    Two(Box<Part>),
    /// With a variable byte integer for length.
    Variable(Box<Part>),
    Times(usize, Box<Part>),
    CountTwo,
    CountDecimal,
}

impl Part {
    fn write(&self, out: &mut Vec<u8>, time: usize) {
        let nested = |part: &Part| {
            let mut inner = Vec::new();
            part.write(&mut inner, time);
            inner
        };
        match self {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Sequence(parts) => parts.iter().for_each(|part| part.write(out, time)),
            Part::Two(part) => put_bytes(out, &nested(part)),
            Part::Variable(part) => {
                let inner = nested(part);
                put_variable(out, u32::try_from(inner.len()).expect("no packet is that long"));
                out.extend_from_slice(&inner);
            }
            Part::Times(times, part) => (1..=*times).for_each(|time| part.write(out, time)),
            Part::CountTwo => {
                out.extend_from_slice(&u16::try_from(time).expect("identifiers end at 65,535").to_be_bytes());
            }
            Part::CountDecimal => out.extend_from_slice(time.to_string().as_bytes()),
        }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    text: &'a str,
}

impl Reader<'_> {
    fn sequence(&mut self, end: Option<char>) -> Part {
        let mut parts = Vec::new();
        loop {
            while self.rest.next_if(|next| next.is_whitespace()).is_some() {}
            match self.rest.peek() {
                Some(next) if Some(*next) == end => {
                    self.rest.next();
                    return Part::Sequence(parts);
                }
                Some(_) => parts.push(self.part()),
                None => {
                    assert!(end.is_none(), "{end:?} is missing: {}", self.text);
                    return Part::Sequence(parts);
                }
            }
        }
    }

    fn part(&mut self) -> Part {
        match self.rest.next() {
            Some('\'') => Part::Bytes(self.until('\'').into_bytes()),
            Some('"') => Part::Two(Box::new(Part::Bytes(self.until('"').into_bytes()))),
            Some('[') => Part::Two(Box::new(self.sequence(Some(']')))),
            Some('{') => Part::Variable(Box::new(self.sequence(Some('}')))),
            Some('(') => self.sequence(Some(')')),
            Some('@') => match self.rest.next() {
                Some('2') => Part::CountTwo,
                Some('d') => Part::CountDecimal,
                other => panic!("@{other:?}: {}", self.text),
            },
            Some(first) => self.word(first),
            None => panic!("something is missing at the end: {}", self.text),
        }
    }

    /// Hex digits, or a number of times.
    fn word(&mut self, first: char) -> Part {
        let mut word = String::from(first);
        while let Some(next) = self.rest.next_if(char::is_ascii_alphanumeric) {
            word.push(next);
        }
        if self.rest.next_if_eq(&'*').is_some() {
            let times = word.parse().unwrap_or_else(|_| panic!("{word} is no number: {}", self.text));
            return Part::Times(times, Box::new(self.part()));
        }
        assert!(word.len().is_multiple_of(2), "odd hex {word}: {}", self.text);
        let digit = |at| u8::from_str_radix(&word[at..at + 2], 16);
        let bytes = (0..word.len()).step_by(2).map(|at| digit(at).unwrap_or_else(|_| panic!("{word}: {}", self.text)));
        Part::Bytes(bytes.collect())
    }

    fn until(&mut self, end: char) -> String {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                Some(next) if next == end => return text,
                Some(next) => text.push(next),
                None => panic!("{end} is missing: {}", self.text),
            }
        }
    }
}

#[test]
fn the_notation_means_what_its_table_says() {
    for (text, wanted) in [
        ("30ff 00", &b"\x30\xff\0"[..]),
        ("'a b' \"c\"", b"a b\0\x01c"),
        ("30 { \"a\" 'x' }", b"\x30\x04\0\x01ax"),
        ("[ 3*'/' ] 2*(00 @d)", b"\0\x03///\x001\x002"),
        ("2*@2 2*{ 3*'a' }", b"\0\x01\0\x02\x03aaa\x03aaa"),
    ] {
        assert_eq!(bytes(text), wanted, "{text}");
    }
    assert_eq!(bytes("{ 200*00 }")[..2], [0xc8, 0x01]);
}
