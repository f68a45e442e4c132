//! Times that are stored on disk and shown to people.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A wall-clock time in milliseconds; written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

impl Timestamp {
    /// The end of the year 9999, the last that RFC 3339 can express.
    const LAST: u64 = 253_402_300_799_999;

    /// The time `millis` milliseconds after the beginning of 1970, or the last one.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis < Self::LAST { millis } else { Self::LAST })
    }

    /// The current time of the system clock.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// The time that is `period` later.
    #[must_use]
    pub fn after(self, period: Duration) -> Self {
        let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The time that is `period` earlier, but not before 1970.
    #[must_use]
    pub fn before(self, period: Duration) -> Self {
        let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds since the beginning of 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the beginning of 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// The duration from `earlier` to this time; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(0).after(since)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_millis(self.0);
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).map(Self::from)
    }
}

/// How far the wall clock is ahead of the gateway's own time, in seconds.
///
/// The two differ once the wall clock was set. Parts of a second are left out, so that the same
/// moment is always shown alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// The offset between two readings of the same moment.
    pub fn between(own: Timestamp, wall: Timestamp) -> Self {
        // Milliseconds of the year 9999 fit.
        let millis = wall.0.cast_signed() - own.0.cast_signed();
        Self((millis + 500).div_euclid(1_000))
    }

    /// What the wall clock shows at a time of the gateway's own.
    pub fn shown(self, own: Timestamp) -> Timestamp {
        let distance = Duration::from_secs(self.0.unsigned_abs());
        if self.0 < 0 { own.before(distance) } else { own.after(distance) }
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("as");
        }
        let distance = humantime::format_duration(Duration::from_secs(self.0.unsigned_abs()));
        let word = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{distance} {word}")
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The gateway's own time, by which everything ends that time ends.
    pub now: Timestamp,
    /// How far the wall clock is ahead of it.
    pub ahead: ClockOffset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for millis in [0, 1, 1_700_000_000_123, u64::MAX] {
            let time = Timestamp::from_millis(millis);
            let text = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time, "{text}");
        }
        assert_eq!(Timestamp::from_millis(1_500).to_string(), "1970-01-01T00:00:01.500Z");
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn a_late_time_saturates() {
        let last = Timestamp::from_millis(u64::MAX);
        assert_eq!(last.after(Duration::MAX), last);
        assert_eq!(Timestamp::from_millis(5).since(last), Duration::ZERO);
    }

    #[test]
    fn a_time_is_shown_as_the_wall_clock_has_it() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        for (wall, text) in [(1_000, "as"), (4_600, "1h ahead of"), (400, "10m behind")] {
            let ahead = ClockOffset::between(at(1_000), at(wall));
            assert_eq!((ahead.shown(at(1_000)), ahead.to_string()), (at(wall), text.to_owned()));
        }
        let slewed = ClockOffset::between(at(7), Timestamp::from_millis(7_300));
        assert_eq!(slewed, ClockOffset::default());
        let last = Timestamp::from_millis(u64::MAX);
        assert_eq!(ClockOffset::between(at(0), last).shown(at(0)), last);
        assert_eq!(ClockOffset::between(last, at(0)).shown(at(7)), at(0));
    }
}
