//! The three topics that matter. Everything else must cost next to nothing.

use crate::ledger::Direction;

/// Which of a gateway's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `services`: the cloud asks.
    Services,
    /// `services_reply`: the gateway answers.
    ServicesReply,
    /// `events`: the gateway reports.
    Events,
}

impl Kind {
    /// Which way messages on it go.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            Kind::Services => Direction::Down,
            Kind::ServicesReply | Kind::Events => Direction::Up,
        }
    }
}

/// A topic that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic<'a> {
    /// The gateway's serial number as it stands in the topic; it may be anything.
    pub gateway: &'a str,
    /// Which of its topics.
    pub kind: Kind,
}

const PREFIX: &str = "thing/product/";
/// Longest serial number that state is kept for. DJI's have 14 to 20 characters.
const MAX_SERIAL: usize = 64;

impl<'a> Topic<'a> {
    /// The topic, if it is `thing/product/{sn}/services`, `…/services_reply` or `…/events`.
    #[inline]
    #[must_use]
    pub fn read(topic: &'a str) -> Option<Topic<'a>> {
        let rest = topic.strip_prefix(PREFIX)?;
        // The last level is looked at first: telemetry on `osd` and `state` is most of the traffic.
        let (kind, gateway) = if let Some(gateway) = rest.strip_suffix("/events") {
            (Kind::Events, gateway)
        } else if let Some(gateway) = rest.strip_suffix("/services") {
            (Kind::Services, gateway)
        } else if let Some(gateway) = rest.strip_suffix("/services_reply") {
            (Kind::ServicesReply, gateway)
        } else {
            return None;
        };
        if gateway.as_bytes().contains(&b'/') {
            return None;
        }
        Some(Topic { gateway, kind })
    }

    /// Whether state may be kept for this gateway: 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (1..=MAX_SERIAL).contains(&self.gateway.len()) && self.gateway.bytes().all(is_allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_topics_of_a_gateway_concern_the_hook() {
        let kind = |topic| Topic::read(topic).map(|topic| (topic.gateway, topic.kind));
        assert_eq!(
            kind("thing/product/4TADK/services"),
            Some(("4TADK", Kind::Services))
        );
        assert_eq!(
            kind("thing/product/4TADK/services_reply"),
            Some(("4TADK", Kind::ServicesReply))
        );
        assert_eq!(
            kind("thing/product/4TADK/events"),
            Some(("4TADK", Kind::Events))
        );
        for other in [
            "",
            "thing/product/",
            "thing/product/services",
            "thing/product/4TADK/osd",
            "thing/product/4TADK/events_reply",
            "thing/product/4TADK/drc/up",
            "thing/product/4TADK/x/services",
            "thing/product/4TADK/services/",
            "thing/product/4TADK//services",
            "/thing/product/4TADK/services",
            "sys/product/4TADK/status",
            "Thing/product/4TADK/services",
            "温度/1",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    #[test]
    fn state_is_kept_only_for_a_plausible_serial_number() {
        let plausible = |gateway: &str| {
            Topic {
                gateway,
                kind: Kind::Events,
            }
            .is_plausible()
        };
        assert!(plausible("7CTDM3D00BVY4Z"));
        assert!(plausible("sim_dock-1"));
        assert!(plausible(&"A".repeat(64)));
        for bad in ["", "机场", "a b", "a\0", "../x", &"A".repeat(65)] {
            assert!(!plausible(bad), "{bad}");
        }
    }
}
