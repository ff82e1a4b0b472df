//! Sizes in bytes: a whole number, or text with a binary unit such as `"4 MiB"`.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{self, Visitor};

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// For `#[serde(deserialize_with)]` on any unsigned integer that counts bytes.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Size(PhantomData))
}

/// The same for a size that need not be given.
pub(super) fn deserialize_option<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_option(SizeIfGiven(PhantomData))
}

struct SizeIfGiven<T>(PhantomData<T>);

impl<'de, T: TryFrom<u64>> Visitor<'de> for SizeIfGiven<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size::<T>(PhantomData).expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserialize(deserializer).map(Some)
    }
}

struct Size<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Size<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size: bytes as a whole number, or text such as \"4 MiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<T, E> {
        T::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<T, E> {
        match u64::try_from(bytes) {
            Ok(bytes) => self.visit_u64(bytes),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(bytes), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        parse(text)
            .and_then(|bytes| T::try_from(bytes).ok())
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, factor) =
        UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor))).unwrap_or((text, 1));
    number.trim_end().replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes as people read them: the largest binary unit that divides them exactly.
pub(super) fn display(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| format!("{bytes} B"), |(unit, factor)| format!("{} {unit}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4 MiB", Some(4 << 20)),
            ("4MiB", Some(4 << 20)),
            (" 512 KiB ", Some(512 << 10)),
            ("1_000 B", Some(1000)),
            ("2 GiB", Some(2 << 30)),
            ("4 MB", None),
            ("MiB", None),
            ("-1 KiB", None),
            ("1.5 MiB", None),
            ("99999999999 GiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_is_exact() {
        assert_eq!(display(4 << 20), "4 MiB");
        assert_eq!(display(1500), "1500 B");
        assert_eq!(display(0), "0 B");
    }
}
