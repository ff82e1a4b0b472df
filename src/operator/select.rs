//! Which logs of a list are wanted.

use serde::Serialize;

use super::client::{List, Listed};

/// Which logs to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The last so many of each of these modules.
    Last(Vec<&'static str>, usize),
    /// These of one module, by boot index.
    Boots(&'static str, Vec<u32>),
}

/// One module's part of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Chosen {
    pub(super) module: String,
    pub(super) boots: Vec<u32>,
}

/// There is nothing to upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// The dock has none of these modules.
    #[error("the dock lists no logs of {0}; `dockgate logs list` shows what it has")]
    Listed(String),
    /// A boot index that is not in the list.
    #[error("the dock lists no log {boot} of module {module}; `dockgate logs list` shows what it has")]
    Boot {
        /// The boot index.
        boot: u32,
        /// The module.
        module: String,
    },
}

impl Selection {
    /// Whose logs are to be listed for it.
    #[must_use]
    pub fn modules(&self) -> &[&'static str] {
        match self {
            Self::Last(modules, _) => modules,
            Self::Boots(module, _) => std::slice::from_ref(module),
        }
    }

    /// What of the list is wanted.
    pub(super) fn of(&self, list: &List) -> Result<Vec<Chosen>, Nothing> {
        let of_module = |module: &str| list.listed.iter().find(|listed| listed.module == module);
        match self {
            Self::Last(modules, count) => {
                let chosen = modules.iter().filter_map(|module| last(of_module(module)?, *count));
                let chosen: Vec<_> = chosen.collect();
                if chosen.is_empty() {
                    return Err(Nothing::Listed(
                        modules.iter().map(|module| name(module)).collect::<Vec<_>>().join(" and "),
                    ));
                }
                Ok(chosen)
            }
            Self::Boots(module, boots) => {
                let listed = of_module(module).ok_or_else(|| Nothing::Listed(name(module).to_owned()))?;
                let has = |boot: &u32| listed.files.iter().any(|file| file.boot_index == Some(*boot));
                if let Some(boot) = boots.iter().find(|boot| !has(boot)) {
                    return Err(Nothing::Boot { boot: *boot, module: (*module).to_owned() });
                }
                Ok(vec![Chosen { module: (*module).to_owned(), boots: boots.clone() }])
            }
        }
    }
}

/// The last logs of a module: by their end, where the dock says it, else by their boot index.
fn last(listed: &Listed, count: usize) -> Option<Chosen> {
    let mut files: Vec<_> = listed.files.iter().filter_map(|file| Some((file.end_time, file.boot_index?))).collect();
    files.sort_unstable();
    let boots: Vec<u32> = files.iter().rev().take(count).rev().map(|(_, boot)| *boot).collect();
    (!boots.is_empty()).then(|| Chosen { module: listed.module.clone(), boots })
}

/// The word for people.
pub(super) fn name(module: &str) -> &str {
    match module {
        "0" => "the aircraft",
        "3" => "the dock",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let file = |boot: u32, end: Option<i64>| serde_json::json!({ "boot_index": boot, "end_time": end });
        let listed = serde_json::json!({ "listed": [
            { "module": "3", "files": [file(9, Some(30)), file(7, Some(10)), file(8, Some(20))] },
            { "module": "0", "files": [file(2, None), file(1, None)] },
        ]});
        serde_json::from_value(listed).unwrap()
    }

    #[test]
    fn the_last_ones_are_those_that_ended_last() {
        let of = |modules: &[&'static str], count| Selection::Last(modules.to_vec(), count).of(&list());
        let chosen = |module: &str, boots: &[u32]| Chosen { module: module.to_owned(), boots: boots.to_vec() };
        assert_eq!(of(&["3"], 2), Ok(vec![chosen("3", &[8, 9])]));
        assert_eq!(of(&["0", "3"], 1), Ok(vec![chosen("0", &[2]), chosen("3", &[9])]));
        assert_eq!(of(&["3"], 99).unwrap()[0].boots, [7, 8, 9]);
    }

    #[test]
    fn what_is_not_listed_is_named() {
        let of = |boots: &[u32]| Selection::Boots("3", boots.to_vec()).of(&list());
        assert_eq!(of(&[7, 9]).unwrap()[0].boots, [7, 9]);
        assert_eq!(of(&[7, 6]).unwrap_err(), Nothing::Boot { boot: 6, module: "3".to_owned() });
        let empty = List { listed: Vec::new() };
        let none = Selection::Last(vec!["0", "3"], 1).of(&empty).unwrap_err();
        assert!(none.to_string().contains("the aircraft and the dock"), "{none}");
    }
}
