//! Whether the clock can be relied on: grants end by it.

use super::{Finding, HostView};

/// No host that runs this release has an earlier time: 1 January 2025.
const EARLIEST: u64 = 1_735_689_600;
/// What a program that keeps the clock leaves while it runs.
const KEEPERS: [&str; 6] = [
    "/run/systemd/timesync/synchronized",
    "/run/chrony/chronyd.pid",
    "/run/chronyd.pid",
    "/run/ntpd.pid",
    "/run/ntpsec/ntpd.pid",
    "/run/openntpd.pid",
];
/// Where the kernel reads the time from.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Looks at the clock.
pub fn examine(host: &HostView) -> Vec<Finding> {
    let mut found = Vec::new();
    if host.now < EARLIEST {
        found.push(Finding::error(
            "clock-past",
            "the clock shows a time before this release: grants do not end when they should",
            "set it with `timedatectl set-time`, and run a time service such as chrony",
        ));
    }
    if !KEEPERS.iter().any(|path| host.exists(path)) {
        found.push(Finding::warning(
            "clock-unkept",
            "no time service has set the clock: grants end by it",
            "run `timedatectl set-ntp true`, or `apt install chrony`",
        ));
    }
    if let Some(source) = host.text(SOURCE)
        && ["hpet", "acpi_pm", "jiffies"].contains(&source.as_str())
    {
        found.push(Finding::warning(
            "clock-source",
            format!(
                "the kernel reads the time from `{source}`, which takes microseconds each time"
            ),
            format!("run `echo tsc > {SOURCE}`, if `available_clocksource` beside it lists tsc"),
        ));
    }
    found
}
