//! The scenarios by name: those of the open MQTT benchmark suite, and this bench's own.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use strsim::damerau_levenshtein;
use thiserror::Error;

/// One of each kind, as `--help` and error messages list them.
pub const EXAMPLES: [&str; 13] = [
    "p2p-1K-1K-1K-1K",
    "fanout-1-1K-1-1K",
    "sharedsub-1K-5-1K-1K",
    "conn-10K",
    "fanin",
    "fanout",
    "fanoutw",
    "pairs",
    "hook-off",
    "hook-on",
    "hook-uploads",
    "dji-100",
    "idle-2K",
];
/// The most of anything in a name.
const MOST: u32 = 1_000_000;

/// Publishers, subscribers, topics and deliveries a second, the four numbers of a name of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Connections that publish.
    pub publishers: u32,
    /// Connections that subscribe.
    pub subscribers: u32,
    /// Topics, each with as many publishers as the others.
    pub topics: u32,
    /// Messages that all subscribers together are to get each second.
    pub rate: u32,
}

/// What is published to whom at full speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// 100 publishers with a topic each, one subscriber with a wildcard.
    FanIn,
    /// One publisher, 100 subscribers to its topic.
    FanOut,
    /// The same with wildcards.
    FanOutWild,
    /// 50 publishers, each with a subscriber of its own.
    Pairs,
}

/// What the pairs of a hook scenario publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Telemetry on topics that the upload guard does not look at.
    Off,
    /// Events of another method on topics that it does look at.
    On,
    /// Progress of uploads that run.
    Uploads,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Each topic has its publishers and its subscribers; by the clock.
    PointToPoint(Sizes),
    /// Every message goes to many subscribers; by the clock.
    FanOut(Sizes),
    /// One shared subscription takes all messages; by the clock.
    SharedSub(Sizes),
    /// Connects by the clock: so many, so many a second (or [`Plan::connect_rate`](super::Plan::connect_rate)).
    Connections(u32, Option<u32>),
    /// Full speed.
    Flood(Flood),
    /// Pairs at full speed, and what the upload guard costs them.
    Hook(Hook),
    /// Docks in flight, as `dockgate simulate` has them.
    Docks(u32),
    /// Docks that connect, subscribe to their six topics and say nothing.
    Idle(u32),
}

/// A name that is none, or one with numbers that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnknownScenario {
    /// No scenario is called so.
    #[error("{given:?} is no scenario; did you mean {nearest:?}? There are {}", EXAMPLES.join(", "))]
    Name {
        /// What was given.
        given: String,
        /// The name that is most like it.
        nearest: &'static str,
    },
    /// The numbers are too few, too many or not numbers.
    #[error("{given:?}: {name} has {needs}, such as {example}")]
    Numbers {
        /// What was given.
        given: String,
        /// The word before the numbers.
        name: &'static str,
        /// What the numbers are.
        needs: &'static str,
        /// A name that is right.
        example: &'static str,
    },
    /// The numbers cannot be.
    #[error("{given:?}: {why}")]
    Sizes {
        /// What was given.
        given: String,
        /// What does not go together.
        why: &'static str,
    },
}

impl Scenario {
    /// Whether messages go by the clock and latencies count.
    #[must_use]
    pub fn is_open_loop(&self) -> bool {
        matches!(self, Self::PointToPoint(_) | Self::FanOut(_) | Self::SharedSub(_) | Self::Docks(_))
    }

    /// Whether nothing but connections is measured.
    #[must_use]
    pub fn is_about_connections(&self) -> bool {
        matches!(self, Self::Connections(..) | Self::Idle(_))
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(given: &str) -> Result<Self, UnknownScenario> {
        match given {
            "fanin" => return Ok(Self::Flood(Flood::FanIn)),
            "fanout" => return Ok(Self::Flood(Flood::FanOut)),
            "fanoutw" => return Ok(Self::Flood(Flood::FanOutWild)),
            "pairs" => return Ok(Self::Flood(Flood::Pairs)),
            "hook-off" => return Ok(Self::Hook(Hook::Off)),
            "hook-on" => return Ok(Self::Hook(Hook::On)),
            "hook-uploads" => return Ok(Self::Hook(Hook::Uploads)),
            _ => {}
        }
        let mut parts = given.split('-');
        let word = parts.next().unwrap_or_default();
        let numbers: Option<Vec<u32>> = parts.map(number).collect();
        let numbers = numbers.as_deref().unwrap_or_default();
        let wrong = |name, needs, example| UnknownScenario::Numbers { given: given.to_owned(), name, needs, example };
        const FOUR: &str = "four numbers: publishers, subscribers, topics, messages a second";
        match word {
            "p2p" => {
                let sizes = sizes(given, numbers).ok_or_else(|| wrong("p2p", FOUR, "p2p-1K-1K-1K-1K"))??;
                Ok(Self::PointToPoint(sizes))
            }
            "fanout" => {
                let sizes = sizes(given, numbers).ok_or_else(|| wrong("fanout", FOUR, "fanout-1-1K-1-1K"))??;
                Ok(Self::FanOut(sizes))
            }
            "sharedsub" | "fanin" => {
                let sizes = sizes(given, numbers).ok_or_else(|| wrong("sharedsub", FOUR, "sharedsub-1K-5-1K-1K"))??;
                Ok(Self::SharedSub(sizes))
            }
            "conn" => match numbers {
                [count] => Ok(Self::Connections(*count, None)),
                [count, rate] => Ok(Self::Connections(*count, Some(*rate))),
                _ => Err(wrong("conn", "the connections, and perhaps how many a second", "conn-10K or conn-10K-500")),
            },
            "dji" => match numbers {
                [docks] => Ok(Self::Docks(*docks)),
                _ => Err(wrong("dji", "one number, the docks", "dji-100")),
            },
            "idle" => match numbers {
                [docks] => Ok(Self::Idle(*docks)),
                _ => Err(wrong("idle", "one number, the docks", "idle-2K")),
            },
            _ => Err(UnknownScenario::Name { given: given.to_owned(), nearest: nearest(given) }),
        }
    }
}

/// The four numbers. None if they are not four.
fn sizes(given: &str, numbers: &[u32]) -> Option<Result<Sizes, UnknownScenario>> {
    let [publishers, subscribers, topics, rate] = *numbers else { return None };
    let flaw = if publishers % topics != 0 {
        Some("the publishers must be a multiple of the topics, so that each topic has as many")
    } else if !given.starts_with("p2p") && !given.starts_with("fanout") {
        None
    } else if subscribers % topics != 0 {
        Some("the subscribers must be a multiple of the topics, so that each topic has as many")
    } else {
        None
    };
    Some(match flaw {
        Some(why) => Err(UnknownScenario::Sizes { given: given.to_owned(), why }),
        None => Ok(Sizes { publishers, subscribers, topics, rate }),
    })
}

/// `100`, `1K` or `1M`.
fn number(text: &str) -> Option<u32> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1000),
        b'm' | b'M' => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<u32>().ok()?.checked_mul(unit)?;
    (1..=MOST).contains(&number).then_some(number)
}

/// The name that was probably meant: by its word first, then as a whole.
fn nearest(given: &str) -> &'static str {
    let word = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let given = given.to_lowercase();
    let distance = |name: &&&str| {
        let name = name.to_lowercase();
        let words = damerau_levenshtein(&word(&given), &word(&name));
        (words.min(damerau_levenshtein(&given, &name)), damerau_levenshtein(&given, &name))
    };
    EXAMPLES.iter().min_by_key(distance).expect("there are examples")
}

/// A number as it stands in names.
struct Short(u32);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number.is_multiple_of(1_000_000) => write!(f, "{}M", number / 1_000_000),
            number if number.is_multiple_of(1000) => write!(f, "{}K", number / 1000),
            number => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p, s, t, r] = [self.publishers, self.subscribers, self.topics, self.rate].map(Short);
        write!(f, "{p}-{s}-{t}-{r}")
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PointToPoint(sizes) => write!(f, "p2p-{sizes}"),
            Self::FanOut(sizes) => write!(f, "fanout-{sizes}"),
            Self::SharedSub(sizes) => write!(f, "sharedsub-{sizes}"),
            Self::Connections(count, None) => write!(f, "conn-{}", Short(*count)),
            Self::Connections(count, Some(rate)) => write!(f, "conn-{}-{}", Short(*count), Short(*rate)),
            Self::Flood(Flood::FanIn) => f.write_str("fanin"),
            Self::Flood(Flood::FanOut) => f.write_str("fanout"),
            Self::Flood(Flood::FanOutWild) => f.write_str("fanoutw"),
            Self::Flood(Flood::Pairs) => f.write_str("pairs"),
            Self::Hook(Hook::Off) => f.write_str("hook-off"),
            Self::Hook(Hook::On) => f.write_str("hook-on"),
            Self::Hook(Hook::Uploads) => f.write_str("hook-uploads"),
            Self::Docks(docks) => write!(f, "dji-{}", Short(*docks)),
            Self::Idle(docks) => write!(f, "idle-{}", Short(*docks)),
        }
    }
}

impl Serialize for Scenario {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_given() {
        for name in EXAMPLES.into_iter().chain(["p2p-100-100-100-5K", "conn-10K-500", "sharedsub-1M-3-10-1500"]) {
            assert_eq!(name.parse::<Scenario>().map(|scenario| scenario.to_string()), Ok(name.to_owned()));
        }
        let sizes = Sizes { publishers: 100, subscribers: 100, topics: 100, rate: 5000 };
        assert_eq!("p2p-100-100-100-5k".parse(), Ok(Scenario::PointToPoint(sizes)));
        assert_eq!("fanin-1K-5-1K-1K".parse::<Scenario>().unwrap().to_string(), "sharedsub-1K-5-1K-1K");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        for (given, meant) in [
            ("fanni", "fanin"),
            ("fan-out", "fanout"),
            ("pairz", "pairs"),
            ("p2b-1K-1K-1K-1K", "p2p-1K-1K-1K-1K"),
            ("hook-of", "hook-off"),
            ("hook-upload", "hook-uploads"),
            ("con-10K", "conn-10K"),
            ("djj-5", "dji-100"),
            ("shared-1K-5-1K-1K", "sharedsub-1K-5-1K-1K"),
        ] {
            let unknown = given.parse::<Scenario>().unwrap_err();
            assert!(matches!(&unknown, UnknownScenario::Name { nearest, .. } if *nearest == meant), "{unknown}");
        }
    }

    #[test]
    fn wrong_numbers_are_refused_with_an_example() {
        for (given, said) in [
            ("p2p", "p2p-1K-1K-1K-1K"),
            ("p2p-1-1-1", "four numbers"),
            ("fanout-1-1-1-0", "four numbers"),
            ("fanin-1-2", "sharedsub-1K-5-1K-1K"),
            ("conn-", "conn-10K-500"),
            ("dji-many", "dji-100"),
            ("idle-9999999", "idle-2K"),
            ("p2p-10-10-3-1K", "the publishers must be a multiple"),
            ("fanout-1-3-2-1K", "the publishers must be a multiple"),
            ("p2p-4-3-2-1K", "the subscribers must be a multiple"),
        ] {
            let wrong = given.parse::<Scenario>().unwrap_err().to_string();
            assert!(wrong.contains(given) && wrong.contains(said), "{wrong}");
        }
    }
}
