//! Times on the command line, in the spellings that people use.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// What a wrong time is answered with.
const HELP: &str = "use a time such as 2026-01-31T12:00:00Z, \"2026-01-31 12:00\" (UTC), 12:00 or \
                    @1769860800, or how long ago, such as 10m";

/// Reads a time; `now` is what "ago" and a time of day refer to.
///
/// # Errors
/// What to write instead.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    let ago = text.strip_suffix("ago").unwrap_or(text).trim().trim_start_matches('-');
    if let Ok(ago) = humantime::parse_duration(ago) {
        return Ok(now.before(ago));
    }
    let wrong = || HELP.to_owned();
    if let Some(seconds) = text.strip_prefix('@') {
        let since: f64 = seconds.parse().map_err(|_| wrong())?;
        let since = Duration::try_from_secs_f64(since).map_err(|_| wrong())?;
        return Ok(Timestamp::from_millis(0).after(since));
    }
    match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => on(date, time.trim()).ok_or_else(wrong),
        None if text.contains(':') => {
            let today = now.to_string();
            let at = on(today.get(..10).unwrap_or_default(), text).ok_or_else(wrong)?;
            // A time of day that is yet to come was yesterday.
            Ok(if at > now { at.before(Duration::from_secs(86_400)) } else { at })
        }
        None => on(text, "00:00").ok_or_else(wrong),
    }
}

/// The time of a day, which may lack its seconds and its zone.
fn on(date: &str, time: &str) -> Option<Timestamp> {
    let (clock, offset) = zone(time)?;
    let clock = clock.replace(',', ".");
    let clock = if clock.matches(':').count() == 1 { format!("{clock}:00") } else { clock };
    let utc = Timestamp::try_from(format!("{date}T{clock}Z")).ok()?;
    let distance = Duration::from_secs(offset.unsigned_abs() * 60);
    Some(if offset < 0 { utc.after(distance) } else { utc.before(distance) })
}

/// Splits a time into the clock and the minutes that it is ahead of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']).or_else(|| time.strip_suffix("UTC")) {
        return Some((clock.trim(), 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (clock, zone) = time.split_at(at);
    let (sign, digits) = zone.split_at(1);
    let digits = digits.replace(':', "");
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..).filter(|rest| !rest.is_empty()));
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.unwrap_or("0").parse().ok()?);
    let offset = hours * 60 + minutes;
    Some((clock.trim(), if sign == "-" { -offset } else { offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = Timestamp::try_from("2026-01-31T12:34:56.789Z".to_owned()).unwrap();
        for (text, at) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500Z"),
            ("2026-01-31 12:00:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31 12:00", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31t12:00z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000Z"),
            ("2026-01-31 12:00:00 -0130", "2026-01-31T13:30:00.000Z"),
            ("2026-01-31 12:00:00 UTC", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
            ("12:00", "2026-01-31T12:00:00.000Z"),
            ("23:00:01", "2026-01-30T23:00:01.000Z"),
            ("@1769860800", "2026-01-31T12:00:00.000Z"),
            ("10m", "2026-01-31T12:24:56.789Z"),
            ("10m ago", "2026-01-31T12:24:56.789Z"),
            ("-10m", "2026-01-31T12:24:56.789Z"),
            ("now", "2026-01-31T12:34:56.789Z"),
        ] {
            assert_eq!(parse(text, now).map(|at| at.to_string()), Ok(at.to_owned()), "{text}");
        }
        for text in ["noon", "", "2026-13-31", "25:00", "@-1", "2026-01-31T12:00:00+x"] {
            assert_eq!(parse(text, now), Err(HELP.to_owned()), "{text}");
        }
    }
}
