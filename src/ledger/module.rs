//! Whose logs: the aircraft's (`"0"`) or the dock's (`"3"`), and the slots that follow from it.

use super::text::{self, cut};

/// The module that a log file belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Module {
    /// `"0"`
    Aircraft,
    /// `"3"`
    Dock,
    /// Anything else, as it was written, cut to 16 bytes. Empty if nothing was said.
    Other(Box<str>),
}

impl Module {
    /// Reads a module as it stands in a message.
    #[must_use]
    pub fn read(word: &str) -> Self {
        match word.trim() {
            "0" => Module::Aircraft,
            "3" => Module::Dock,
            other => Module::Other(cut(other, text::MODULE).into()),
        }
    }

    /// The module as it stands in a message.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Module::Aircraft => "0",
            Module::Dock => "3",
            Module::Other(word) => word,
        }
    }

    /// The slot of this module; a module that is not known could be either's.
    #[must_use]
    pub fn slots(&self) -> Slots {
        match self {
            Module::Aircraft => Slots::AIRCRAFT,
            Module::Dock => Slots::DOCK,
            Module::Other(_) => Slots::ALL,
        }
    }
}

/// A set of a gateway's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Slots(u8);

impl Slots {
    /// No slot.
    pub const NONE: Slots = Slots(0);
    /// The slot for the aircraft's logs.
    pub const AIRCRAFT: Slots = Slots(1);
    /// The slot for the dock's logs.
    pub const DOCK: Slots = Slots(2);
    /// The whole gateway.
    pub const ALL: Slots = Slots(3);

    /// The slots of either set.
    #[must_use]
    pub fn with(self, other: Slots) -> Slots {
        Slots(self.0 | other.0)
    }

    /// The set, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Slots::NONE => "none",
            Slots::AIRCRAFT => "aircraft",
            Slots::DOCK => "dock",
            _ => "both",
        }
    }

    /// The set that [`as_str`](Slots::as_str) calls so.
    pub(crate) fn read(word: &str) -> Option<Slots> {
        (0..=Slots::ALL.0).map(Slots).find(|slots| slots.as_str() == word)
    }

    /// Whether the sets share a slot.
    #[must_use]
    pub fn meets(self, other: Slots) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every slot of `other` is in this set.
    #[must_use]
    pub fn covers(self, other: Slots) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set, or the whole gateway if it is empty: who does not say which modules means all.
    #[must_use]
    pub fn or_all(self) -> Slots {
        if self.is_empty() { Slots::ALL } else { self }
    }
}

/// Which modules an ended upload was about: a closed set, for a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modules {
    /// Only the aircraft's logs.
    Aircraft,
    /// Only the dock's logs.
    Dock,
    /// The aircraft's and the dock's.
    Both,
    /// A module that is not published, or none named.
    Other,
}

impl Modules {
    /// Every value.
    pub const ALL: [Modules; 4] = [Modules::Aircraft, Modules::Dock, Modules::Both, Modules::Other];

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Modules::Aircraft => "aircraft",
            Modules::Dock => "dock",
            Modules::Both => "both",
            Modules::Other => "other",
        }
    }

    /// The label for a set of modules.
    pub(crate) fn of<'a>(modules: impl Iterator<Item = &'a Module>) -> Modules {
        let mut slots = Slots::NONE;
        for module in modules {
            if let Module::Other(_) = module {
                return Modules::Other;
            }
            slots = slots.with(module.slots());
        }
        match slots {
            Slots::AIRCRAFT => Modules::Aircraft,
            Slots::DOCK => Modules::Dock,
            Slots::ALL => Modules::Both,
            _ => Modules::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_module_keeps_its_name_and_takes_the_whole_gateway() {
        let module = Module::read("7");
        assert_eq!(module.as_str(), "7");
        assert_eq!(module.slots(), Slots::ALL);
        assert_eq!(Module::read(&"9".repeat(99)).as_str().len(), text::MODULE);
    }

    #[test]
    fn the_label_of_an_upload_comes_from_its_modules() {
        let label = |words: &[&str]| {
            let modules: Vec<Module> = words.iter().map(|word| Module::read(word)).collect();
            Modules::of(modules.iter())
        };
        assert_eq!(label(&["0"]), Modules::Aircraft);
        assert_eq!(label(&["3", "3"]), Modules::Dock);
        assert_eq!(label(&["0", "3"]), Modules::Both);
        assert_eq!(label(&["0", "5"]), Modules::Other);
        assert_eq!(label(&[]), Modules::Other);
    }
}
