//! The published result codes and what they mean.
//!
//! From dji-sdk/Cloud-API-Doc `docs/en/71.error-code.md` and the error page of developer.dji.com
//! v1.16; 324001 only from the demo backend's `LogErrorCodeEnum`.

/// Code and English meaning, in ascending order.
const MEANINGS: &[(i64, &str)] = &[
    (0, "Success"),
    (314_000, "Operation not supported. Check device status"),
    (
        319_001,
        "Unable to perform task. Dock is performing task or uploading issue logs",
    ),
    (
        319_018,
        "Unable to perform task. Dock is uploading issue logs",
    ),
    (
        319_019,
        "Unable to perform task. Dock is obtaining issue logs",
    ),
    (324_001, "Device restart interrupts log export"),
    (
        324_012,
        "Compressing logs timed out. Too many logs selected",
    ),
    (324_013, "Failed to obtain device log list"),
    (324_014, "Device log list is empty"),
    (
        324_015,
        "Aircraft is powered off or not connected. Unable to obtain log list",
    ),
    (
        324_016,
        "Insufficient dock storage space. Failed to compress logs",
    ),
    (
        324_017,
        "Failed to compress logs. Unable to obtain the selected aircraft logs",
    ),
    (324_018, "Failed to obtain logs and submit issue report"),
    (324_019, "Network anomaly at the dock. Log upload failed"),
    (324_021, "Log export failed. Dock powered off or restarted"),
    (
        324_030,
        "Unable to upload media file. Network or link anomaly",
    ),
    (325_001, "Cloud command parameter error"),
    (325_003, "Command failed. Try again"),
    (325_004, "Device command request timed out"),
    (325_005, "Dock cannot respond to the current task"),
    (325_006, "Dock is in task preparation"),
    (325_007, "Dock is performing task"),
    (325_008, "Dock is processing task output"),
    (325_009, "Dock is exporting logs to cloud. Try again later"),
    (325_010, "Dock is updating custom flight area"),
    (325_011, "Dock is updating offline map"),
    (325_012, "Aircraft is not connected"),
];

/// The published English meaning of a result code, if it has one.
#[must_use]
pub fn meaning(code: i64) -> Option<&'static str> {
    let at = MEANINGS
        .binary_search_by_key(&code, |(known, _)| *known)
        .ok()?;
    Some(MEANINGS[at].1)
}

/// Every code with a published meaning, ascending: the closed set for a metric's label.
pub fn published() -> impl Iterator<Item = i64> {
    MEANINGS.iter().map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_code_is_found() {
        for (code, text) in MEANINGS {
            assert_eq!(meaning(*code), Some(*text));
        }
        assert!(published().is_sorted());
    }

    #[test]
    fn a_code_that_nobody_published_has_no_meaning() {
        assert_eq!(meaning(324_031), None);
        assert_eq!(meaning(-1), None);
        assert_eq!(
            meaning(325_009),
            Some("Dock is exporting logs to cloud. Try again later")
        );
    }
}
