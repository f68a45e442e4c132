//! How long ago something was, as tables have it: details and JSON have the time itself.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// The distance of a time in RFC 3339 from `now`: `5m`, `in 59m`; what is no time stays as it is.
pub(super) fn age(time: &str, now: Timestamp) -> String {
    let Ok(at) = Timestamp::try_from(time.to_owned()) else { return time.to_owned() };
    if at > now { format!("in {}", short(at.since(now))) } else { short(now.since(at)) }
}

/// A length of time in its largest unit that leaves more than one of it.
pub(super) fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short_and_point_both_ways() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let at = |seconds: i64| {
            let distance = Duration::from_secs(seconds.unsigned_abs());
            (if seconds < 0 { now.before(distance) } else { now.after(distance) }).to_string()
        };
        for (seconds, text) in [
            (0, "0s"),
            (-119, "119s"),
            (-300, "5m"),
            (-7_199, "119m"),
            (-7_200, "2h"),
            (-400_000, "4d"),
            (3_599, "in 59m"),
            (604_800, "in 7d"),
        ] {
            assert_eq!(age(&at(seconds), now), text);
        }
        assert_eq!(age("-", now), "-");
    }
}
