//! Ports and the protocols that have them.

use std::{fmt, num::NonZeroU16, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{invalid::Invalid, word::words};

words! {
    /// A transport protocol.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum Protocol {
        /// The Transmission Control Protocol, IP protocol 6.
        Tcp = "tcp",
        /// The User Datagram Protocol, IP protocol 17.
        Udp = "udp",
    }
}

/// A port, which is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port as a plain integer, which is never 0.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<i64> for Port {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        u16::try_from(value).ok().and_then(NonZeroU16::new).map(Self).ok_or(Invalid::OutOfRange {
            value,
            min: 1,
            max: u16::MAX.into(),
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One port or several adjacent ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// The lowest port of the range.
    pub const fn first(self) -> Port {
        self.first
    }

    /// The highest port of the range.
    pub const fn last(self) -> Port {
        self.last
    }

    /// How many ports the range has; never 0, which is why there is no `is_empty`.
    #[expect(clippy::len_without_is_empty, reason = "a range has at least one port")]
    pub const fn len(self) -> u32 {
        self.last.get() as u32 - self.first.get() as u32 + 1
    }

    /// Whether `port` belongs to the range.
    pub fn contains(self, port: Port) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether the two ranges have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<Port> for PortRange {
    fn from(port: Port) -> Self {
        Self { first: port, last: port }
    }
}

impl TryFrom<i64> for PortRange {
    type Error = Invalid;

    fn try_from(value: i64) -> Result<Self, Invalid> {
        Port::try_from(value).map(Self::from)
    }
}

impl FromStr for PortRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let port = |part: &str| {
            let part = part.trim();
            // `parse` would take a leading plus sign.
            let digits = part.starts_with(|c: char| c.is_ascii_digit());
            let number = if digits { part.parse().ok() } else { None };
            number.map(Port).ok_or_else(|| Invalid::PortRange(text.into()))
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first <= last {
            Ok(Self { first, last })
        } else {
            Err(Invalid::ReversedPorts(first.get(), last.get()))
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_alike() {
        for (text, len) in [("80", 1), ("9092-9099", 8), ("1-65535", 65_535)] {
            let range: PortRange = text.parse().unwrap();
            assert_eq!((range.to_string().as_str(), range.len()), (text, len));
        }
        for bad in ["", "-", "0", "0-5", "5-0", "99-90", "65536", "+80", "80-", "-80", "a", "1-2-3"]
        {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn overlap_is_a_port_in_common() {
        let range = |text: &str| text.parse::<PortRange>().unwrap();
        for (a, b, expected) in
            [("1-5", "5-9", true), ("1-5", "6-9", false), ("1-9", "3", true), ("3", "3", true)]
        {
            assert_eq!(range(a).overlaps(range(b)), expected, "{a} {b}");
            assert_eq!(range(b).overlaps(range(a)), expected, "{b} {a}");
        }
    }
}
