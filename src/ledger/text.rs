//! Text that a client controls, cut to a length before it is kept.

/// Longest tid or bid kept. DJI's are UUIDs of 36 characters.
pub(crate) const ID: usize = 128;
/// Longest object key kept.
pub(crate) const KEY: usize = 512;
/// Longest fingerprint kept. Samples are 32 hexadecimal digits.
pub(crate) const FINGERPRINT: usize = 128;
/// Longest status word kept.
pub(crate) const STATUS: usize = 64;
/// Longest serial number kept.
pub(crate) const SERIAL: usize = 64;
/// Longest name of an unknown module kept.
pub(crate) const MODULE: usize = 16;

/// The first `limit` bytes of a text, less what is needed to end at a character.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    &text[..text.floor_char_boundary(limit)]
}

/// Keeps `text`, cut to `limit`, in `place`; allocates only if it says something new. An empty text
/// says nothing and leaves what was known.
pub(crate) fn learn(place: &mut Box<str>, text: &str, limit: usize) {
    let text = cut(text, limit);
    if !text.is_empty() && **place != *text {
        *place = text.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_not_inside_one() {
        assert_eq!(cut("机场", 4), "机");
        assert_eq!(cut("机场", 6), "机场");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn an_empty_text_leaves_what_was_known() {
        let mut place: Box<str> = "known".into();
        learn(&mut place, "", ID);
        assert_eq!(&*place, "known");
        learn(&mut place, "newer", 3);
        assert_eq!(&*place, "new");
    }
}
