//! How targets are checked.

use super::or_default;
use crate::{
    config::{
        decode::Table,
        diagnostic::{Fault, Report},
        raw::{self, ProbeProtocol},
        source::{Located, Location},
    },
    model::{HealthCheck, Probe, ProbeInterval, ProbeTimeout, Threshold},
};

const DEFAULT_INTERVAL: ProbeInterval = ProbeInterval::constant::<10_000>();
const DEFAULT_TIMEOUT: ProbeTimeout = ProbeTimeout::constant::<5_000>();
const DEFAULT_THRESHOLD: Threshold = Threshold::constant::<2>();

/// Validates a health check.
pub(super) fn validate(raw: Located<raw::HealthCheck>, report: &mut Report) -> Option<HealthCheck> {
    let Located { value: raw, at } = raw;
    let path_refused = raw.refused("path");
    let blamed = raw.timeout.as_ref().map(|timeout| timeout.at);
    let blamed = blamed.or(raw.interval.as_ref().map(|interval| interval.at)).unwrap_or(at);
    let interval = or_default(raw.interval, DEFAULT_INTERVAL);
    let timeout = or_default(raw.timeout, DEFAULT_TIMEOUT);
    if timeout.get() >= interval.get() {
        report.push(
            Fault::new(format!(
                "the health check's timeout of {timeout} is not shorter than its interval of \
                 {interval}"
            ))
            .at(blamed)
            .help("make `timeout` shorter or `interval` longer"),
        );
    }
    let probe = match raw.protocol?.value {
        ProbeProtocol::Tcp => without_path(raw.path, Probe::Tcp, report),
        ProbeProtocol::Grpc => without_path(raw.path, Probe::Grpc, report),
        // What is wrong with the path is in the report.
        ProbeProtocol::Http | ProbeProtocol::Https if path_refused => None,
        ProbeProtocol::Http => path(raw.path, at, report).map(|path| Probe::Http { path }),
        ProbeProtocol::Https => path(raw.path, at, report).map(|path| Probe::Https { path }),
    };
    Some(HealthCheck {
        probe: probe?,
        port: raw.port.map(|port| port.value),
        interval,
        timeout,
        healthy_threshold: or_default(raw.healthy_threshold, DEFAULT_THRESHOLD),
        unhealthy_threshold: or_default(raw.unhealthy_threshold, DEFAULT_THRESHOLD),
    })
}

/// The path of a request: it goes into the request line as it is.
fn path(raw: Option<Located<String>>, at: Location, report: &mut Report) -> Option<String> {
    let Some(path) = raw else {
        report.push(
            Fault::new("the health check has no `path` to fetch")
                .at(at)
                .help("add `path = \"/healthz\"`, or check with `protocol = \"tcp\"`"),
        );
        return None;
    };
    let plain = path.value.chars().all(|c| c.is_ascii_graphic());
    if path.value.starts_with('/') && plain {
        return Some(path.value);
    }
    report.push(
        Fault::new(format!("`{}` is not the path of a request", path.value))
            .at(path.at)
            .help("begin it with `/`, and write spaces and other characters as %20"),
    );
    None
}

/// The probe, which fetches nothing.
fn without_path(path: Option<Located<String>>, probe: Probe, report: &mut Report) -> Option<Probe> {
    let Some(path) = path else { return Some(probe) };
    report.push(
        Fault::new("only http and https health checks have a `path`")
            .at(path.at)
            .help("remove `path`, or set `protocol = \"http\"`"),
    );
    None
}
