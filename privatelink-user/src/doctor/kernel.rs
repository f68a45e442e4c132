//! The kernel: its release, what it does with BPF programs, and its memory and processors.

use super::{Finding, HostView};
use crate::model::{AttachMode, Gateway, Model};

/// The oldest release that takes the programs.
const OLDEST: [u64; 2] = [6, 1];
/// The oldest that attaches by tc.
const OLDEST_TC: [u64; 2] = [6, 6];
/// Bytes that a flow takes: slots, half of which are free.
const FLOW_BYTES: u64 = 256;

/// Looks at the kernel.
pub fn examine(host: &HostView, model: Option<&Model>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(release(host, model));
    found.extend(settings(host));
    found.extend(memory(host, model.map(Model::gateway)));
    found.extend(processors(host));
    found
}

fn release(host: &HostView, model: Option<&Model>) -> Option<Finding> {
    let release = host.text("/proc/sys/kernel/osrelease")?;
    let known = numbers(&release)?;
    if known < OLDEST {
        return Some(Finding::error(
            "kernel-release",
            format!("Linux {release} is older than 6.1, which the programs need"),
            "install a newer kernel: `apt install linux-image-amd64` on Debian 12",
        ));
    }
    let by_tc = model?.networks().values().find(|network| network.mode == AttachMode::Tc)?;
    (known < OLDEST_TC).then(|| {
        Finding::error(
            "kernel-tc",
            format!(
                "network {} is to be served by tc, which needs Linux 6.6: this is {release}",
                by_tc.name
            ),
            format!(
                "set `mode = \"native\"` or \"generic\" for network {}, or install a newer kernel",
                by_tc.name
            ),
        )
    })
}

fn numbers(release: &str) -> Option<[u64; 2]> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?])
}

/// Settings of the kernel that concern BPF.
fn settings(host: &HostView) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut expect = |check, key: &str, is_bad: fn(i64) -> bool, what: &str, good: i64| {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        if let Some(value) = host.number(path).filter(|value| is_bad(*value)) {
            let detail = format!("{key} is {value}: {what}");
            found.push(Finding::warning(check, detail, format!("run `sysctl -w {key}={good}`")));
        }
    };
    expect(
        "bpf-jit",
        "net.core.bpf_jit_enable",
        |value| value == 0,
        "programs are interpreted, which takes five times as long",
        1,
    );
    expect(
        "bpf-jit-harden",
        "net.core.bpf_jit_harden",
        |value| value == 2,
        "the kernel makes also root's programs slower to guess; 1 does so for those of others",
        1,
    );
    expect(
        "bpf-stats",
        "kernel.bpf_stats_enabled",
        |value| value != 0,
        "the kernel takes the time of each run, which costs every packet",
        0,
    );
    expect(
        "bpf-unprivileged",
        "kernel.unprivileged_bpf_disabled",
        |value| value == 0,
        "every user may load programs, and use what processors leak",
        2,
    );
    found
}

fn memory(host: &HostView, gateway: Option<&Gateway>) -> Option<Finding> {
    let gateway = gateway?;
    let text = host.text("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    let (all, wanted) = (kilobytes << 10, u64::from(gateway.max_flows.get()) * FLOW_BYTES);
    (wanted > all / 2).then(|| {
        Finding::error(
            "memory",
            format!(
                "a flow table for {} flows takes {} MiB of {} MiB of memory",
                gateway.max_flows.get(),
                wanted >> 20,
                all >> 20
            ),
            format!("lower `max_flows` to {}, or add memory", all / 4 / FLOW_BYTES),
        )
    })
}

fn processors(host: &HostView) -> Vec<Finding> {
    const GOVERNOR: &str = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let mut found = Vec::new();
    if host.text(GOVERNOR).is_some_and(|governor| governor == "powersave") {
        // Drivers that choose by themselves call theirs so, too.
        let driver = host.text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver");
        if !driver.is_some_and(|driver| driver.ends_with("_pstate") || driver.ends_with("-epp")) {
            found.push(Finding::warning(
                "cpu-governor",
                "the processors run at their lowest frequency (governor `powersave`)",
                "run `cpupower frequency-set -g performance`",
            ));
        }
    }
    let lost: u64 = host
        .text("/proc/net/softnet_stat")
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .sum();
    if lost > 0 {
        found.push(Finding::warning(
            "backlog",
            format!("{lost} packets were lost since the boot, because a processor's queue was full"),
            "run `sysctl -w net.core.netdev_max_backlog=10000`, and spread interrupts over processors",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(numbers("6.12.3-amd64"), Some([6, 12]));
        assert_eq!(numbers("5.10.0-28-amd64"), Some([5, 10]));
        assert!(numbers("6.12").unwrap() > OLDEST_TC);
        assert_eq!(numbers("linux"), None);
    }
}
