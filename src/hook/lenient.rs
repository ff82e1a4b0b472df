//! Reading JSON that may hold anything: a value of another type than expected is absent, not an
//! error. Only broken syntax is one.
//!
//! Values that are not wanted are skipped without recursion (serde_json does that for
//! `IgnoredAny`), so their depth costs nothing, and what is wanted is nested a few levels deep.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Declares a struct that is read from a JSON object: unknown keys are skipped, anything but an
/// object is an empty one. `repeated` says that one of its keys stands there twice; the last one
/// counts, as most parsers have it.
macro_rules! lenient_object {
    ($(#[$doc:meta])* $name:ident<$life:lifetime> { $($key:pat => $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<$life> {
            $(pub(super) $field: $type,)*
            /// A key stands there twice.
            #[allow(dead_code, reason = "only what a start is made of has to be read in one way")]
            pub(super) repeated: bool,
            life: std::marker::PhantomData<&$life ()>,
        }

        impl<'de: $life, $life> serde::Deserialize<'de> for $name<$life> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader<$life>(std::marker::PhantomData<&$life ()>);

                impl<'de: $life, $life> serde::de::Visitor<'de> for Reader<$life> {
                    type Value = $name<$life>;

                    $crate::hook::lenient::anything_else!('de);

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut repeated = false;
                        $(let mut $field: Option<$type> = None;)*
                        while let Some(key) = map.next_key::<$crate::hook::lenient::Text<'de>>()? {
                            match &*key.0 {
                                $($key => {
                                    repeated |= $field.is_some();
                                    $field = Some(map.next_value()?);
                                })*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name {
                            $($field: $field.unwrap_or_default(),)*
                            repeated,
                            life: std::marker::PhantomData,
                        })
                    }

                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                        Ok($name::default())
                    }
                }

                deserializer.deserialize_any(Reader(std::marker::PhantomData))
            }
        }
    };
}

/// The methods of a visitor for scalars where none is expected: the value is the default.
macro_rules! anything_else {
    ($de:lifetime) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("anything")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
}

pub(super) use {anything_else, lenient_object};

/// A text, or a number written as one would write it: modules are `"3"` or `3`. Anything else is
/// empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>, pub(super) Written);

/// How a text was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Written {
    /// Not at all: null, or something that is no text.
    #[default]
    Not,
    Text,
    Number,
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            #[inline]
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text), Written::Text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned()), Written::Text))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string()), Written::Number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string()), Written::Number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
                // `3.0` is written `3`.
                Ok(Text(Cow::Owned(number.to_string()), Written::Number))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
                skip_seq(seq)?;
                Ok(Text::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                skip_map(map)?;
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A number, written as an integer, with a fraction, or as text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Number {
    /// Not there, null, or an empty text.
    #[default]
    Absent,
    /// There, and no number.
    Unreadable,
    Int(i64),
    Real(f64),
}

impl Number {
    /// As it is.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn real(self) -> Option<f64> {
        match self {
            Number::Absent | Number::Unreadable => None,
            Number::Int(number) => Some(number as f64),
            Number::Real(real) => Some(real),
        }
    }

    /// Something stands there that cannot be read as an integer.
    pub(super) fn is_unreadable(self) -> bool {
        self != Number::Absent && self.int().is_none()
    }

    /// As an integer, any fraction cut off; absent if out of range.
    pub(super) fn int(self) -> Option<i64> {
        // 2^63 as a float: from there on a cast would saturate and invent a number.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        #[allow(clippy::cast_possible_truncation)]
        match self {
            Number::Int(number) => Some(number),
            Number::Real(real) if real.abs() < LIMIT => Some(real as i64),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        #[allow(clippy::cast_precision_loss)]
        impl<'de> Visitor<'de> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Int(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(i64::try_from(number).map_or(Number::Real(number as f64), Number::Int))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Real(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                let text = text.trim();
                if let Ok(number) = text.parse() {
                    return Ok(Number::Int(number));
                }
                let real = text.parse().ok().filter(|real: &f64| real.is_finite());
                let other = if text.is_empty() { Number::Absent } else { Number::Unreadable };
                Ok(real.map_or(other, Number::Real))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number::Unreadable)
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Number, A::Error> {
                skip_seq(seq)?;
                Ok(Number::Unreadable)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Number, A::Error> {
                skip_map(map)?;
                Ok(Number::Unreadable)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// The first `N` elements of an array; `more` counts those beyond. A single value that is no array is
/// an array of one, null is an empty one.
#[derive(Debug)]
pub(super) struct List<T, const N: usize> {
    pub(super) items: Vec<T>,
    pub(super) more: usize,
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List { items: Vec::new(), more: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Reader<T, N> {
            fn one<E: serde::de::Error>(self, value: impl Deserializer<'de, Error = E>) -> Result<List<T, N>, E> {
                let mut list = List::default();
                list.items.push(T::deserialize(value)?);
                Ok(list)
            }
        }

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Reader<T, N> {
            type Value = List<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while list.items.len() < N {
                    match seq.next_element()? {
                        Some(item) => list.items.push(item),
                        None => return Ok(list),
                    }
                }
                list.more = skip_seq(seq)?;
                Ok(list)
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                self.one(serde::de::value::BorrowedStrDeserializer::new(text))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                self.one(serde::de::value::StrDeserializer::new(text))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.one(serde::de::value::U64Deserializer::new(number))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.one(serde::de::value::I64Deserializer::new(number))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                self.one(serde::de::value::F64Deserializer::new(number))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(List::default())
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                self.one(serde::de::value::MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// Skips the rest of an array; returns how many elements that was.
fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<usize, A::Error> {
    let mut skipped = 0;
    while seq.next_element::<IgnoredAny>()?.is_some() {
        skipped += 1;
    }
    Ok(skipped)
}

/// Skips the rest of an object.
pub(super) fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}
