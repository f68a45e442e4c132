//! A count for the log: what happens again and again, because a host flaps, has a line now and then.

use std::time::{Duration, Instant};

/// The least time between two lines: six a minute.
const PAUSE: Duration = Duration::from_secs(10);

/// How many there were since the last line.
#[derive(Debug, Default)]
pub(super) struct PacedCount {
    count: usize,
    logged: Option<Instant>,
}

impl PacedCount {
    /// Adds to it. Returns how many there were since the last line, if there may be another.
    pub fn add(&mut self, more: usize, now: Instant) -> Option<usize> {
        self.count = self.count.saturating_add(more);
        if self.count == 0 || self.logged.is_some_and(|last| now < last + PAUSE) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_and_on_has_six_lines_a_minute_that_count_all() {
        let (mut paced, begin) = (PacedCount::default(), Instant::now());
        let mut lines = Vec::new();
        for tick in 0..600 {
            lines.extend(paced.add(2, begin + Duration::from_millis(100 * tick)));
        }
        assert_eq!(lines, [2, 200, 200, 200, 200, 200]);
        // The rest is logged without another change.
        assert_eq!(paced.add(0, begin + Duration::from_secs(60)), Some(198));
        assert_eq!(paced.add(0, begin + Duration::from_secs(90)), None);
        assert_eq!(paced.add(1, begin + Duration::from_secs(90)), Some(1));
    }
}
