//! How targets are checked.

use super::or_default;
use crate::{
    config::{
        decode::Table,
        diagnostic::{Fault, Report},
        raw::{self, ProbeProtocol},
        source::{Located, Location},
    },
    model::{HealthCheck, Probe, ProbeInterval, ProbeTimeout, StatusCodes, Threshold, Tls},
};

const DEFAULT_INTERVAL: ProbeInterval = ProbeInterval::constant::<10_000>();
const DEFAULT_TIMEOUT: ProbeTimeout = ProbeTimeout::constant::<5_000>();
const DEFAULT_THRESHOLD: Threshold = Threshold::constant::<2>();

/// Validates a health check.
pub(super) fn validate(raw: Located<raw::HealthCheck>, report: &mut Report) -> Option<HealthCheck> {
    let Located { value: mut raw, at } = raw;
    let blamed = raw.timeout.as_ref().map(|timeout| timeout.at);
    let blamed = blamed.or(raw.interval.as_ref().map(|interval| interval.at)).unwrap_or(at);
    let interval = or_default(raw.interval.take(), DEFAULT_INTERVAL);
    let timeout = or_default(raw.timeout.take(), DEFAULT_TIMEOUT);
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
    let port = raw.port.take().map(|port| port.value);
    let healthy_threshold = or_default(raw.healthy_threshold.take(), DEFAULT_THRESHOLD);
    let unhealthy_threshold = or_default(raw.unhealthy_threshold.take(), DEFAULT_THRESHOLD);
    let probe = probe(raw, at, report)?;
    Some(HealthCheck { probe, port, interval, timeout, healthy_threshold, unhealthy_threshold })
}

/// What the protocol asks, and nothing that only others ask.
fn probe(mut raw: raw::HealthCheck, at: Location, report: &mut Report) -> Option<Probe> {
    use ProbeProtocol::{Grpc, Http, Https, Tcp};
    let protocol = raw.protocol.take()?.value;
    for (key, given, takers, help) in [
        (
            "path",
            place(&raw.path),
            &[Http, Https][..],
            "http and https health checks have a `path`",
        ),
        (
            "matcher",
            place(&raw.matcher),
            &[Http, Https],
            "http and https health checks have a `matcher`",
        ),
        (
            "host",
            place(&raw.host),
            &[Http, Https, Grpc],
            "http, https and grpc health checks have a `host`",
        ),
        ("service", place(&raw.service), &[Grpc], "grpc health checks have a `service`"),
        ("tls", place(&raw.tls), &[Grpc], "grpc health checks have `tls`"),
    ] {
        if let Some(at) = given.filter(|_| !takers.contains(&protocol)) {
            misplaced(key, help, at, report);
        }
    }
    let tls = protocol == Https || or_default(raw.tls.take(), false);
    if !tls && let Some(file) = &raw.ca_file {
        misplaced("ca_file", "health checks over TLS have a `ca_file`", file.at, report);
    }
    let tls = tls.then(|| Tls { ca_file: raw.ca_file.take().map(|file| file.value) });
    let host = raw.host.take().map(|host| host.value);
    match protocol {
        Tcp => Some(Probe::Tcp),
        Grpc => {
            let service = or_default(raw.service.take(), String::new());
            Some(Probe::Grpc { service, host, tls })
        }
        // What is wrong with the path is in the report.
        Http | Https if raw.refused("path") => None,
        Http | Https => {
            let matcher = or_default(raw.matcher.take(), StatusCodes::default());
            Some(Probe::Http { path: path(raw.path, at, report)?, matcher, host, tls })
        }
    }
}

fn place<T>(value: &Option<Located<T>>) -> Option<Location> {
    value.as_ref().map(|value| value.at)
}

fn misplaced(key: &str, who: &str, at: Location, report: &mut Report) {
    report.push(
        Fault::new(format!("only {who}"))
            .at(at)
            .help(format!("remove `{key}`, or set another `protocol`")),
    );
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
    if path.value.starts_with('/') && plain && path.value.parse::<hyper::Uri>().is_ok() {
        return Some(path.value);
    }
    report.push(
        Fault::new(format!("`{}` is not the path of a request", path.value))
            .at(path.at)
            .help("begin it with `/`, and write spaces and other characters as %20"),
    );
    None
}
