//! Waiting on conditions instead of on the clock.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; `what` names it for the message of a timeout.
///
/// # Errors
/// When it does not hold within `timeout`.
pub fn wait_until(
    timeout: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        if condition() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("not within {timeout:?}: {what}");
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_polled_until_it_holds() {
        let mut looks = 0;
        wait_until(Duration::from_secs(5), "three looks", || {
            looks += 1;
            looks == 3
        })
        .unwrap();
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_timeout_names_what_was_awaited() {
        let error = wait_until(Duration::from_millis(1), "the impossible", || false).unwrap_err();
        assert!(error.to_string().contains("the impossible"));
    }
}
