//! Health checks.

use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw::{self, ProbeProtocol},
        section::Section,
        source::{Located, Location},
    },
    model::{HealthCheck, Probe, Tls},
};

/// Validates a health check.
pub(super) fn validate(raw: Located<raw::HealthCheck>, report: &mut Report) -> Option<HealthCheck> {
    let Located { value: mut raw, at } = raw;
    let (interval, timeout) = (raw.interval.value, raw.timeout.value);
    // A default has the location of the table.
    let blamed = if raw.timeout.at == at { raw.interval.at } else { raw.timeout.at };
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
    let healthy_threshold = raw.healthy_threshold.value;
    let unhealthy_threshold = raw.unhealthy_threshold.value;
    let probe = probe(raw, at, report)?;
    Some(HealthCheck { probe, port, interval, timeout, healthy_threshold, unhealthy_threshold })
}

/// The probe of the protocol; keys that belong to other protocols are reported.
fn probe(mut raw: raw::HealthCheck, at: Location, report: &mut Report) -> Option<Probe> {
    use ProbeProtocol::{Grpc, Http, Https, Tcp};
    let protocol = raw.protocol.take()?.value;
    for (key, given, takers, help) in [
        (
            "path",
            location(&raw.path),
            &[Http, Https][..],
            "http and https health checks have a `path`",
        ),
        (
            "matcher",
            location(&raw.matcher),
            &[Http, Https],
            "http and https health checks have a `matcher`",
        ),
        (
            "host",
            location(&raw.host),
            &[Http, Https, Grpc],
            "http, https and grpc health checks have a `host`",
        ),
        ("service", location(&raw.service), &[Grpc], "grpc health checks have a `service`"),
        ("tls", location(&raw.tls), &[Grpc], "grpc health checks have `tls`"),
    ] {
        if let Some(at) = given.filter(|_| !takers.contains(&protocol)) {
            misplaced(key, help, at, report);
        }
    }
    let tls = protocol == Https || raw.tls.take().is_some_and(|tls| tls.value);
    if !tls && let Some(file) = &raw.ca_file {
        misplaced("ca_file", "health checks over TLS have a `ca_file`", file.at, report);
    }
    let tls = tls.then(|| Tls { ca_file: raw.ca_file.take().map(|file| file.value) });
    let host = raw.host.take().map(|host| host.value);
    match protocol {
        Tcp => Some(Probe::Tcp),
        Grpc => {
            let service = raw.service.take().map(|service| service.value).unwrap_or_default();
            Some(Probe::Grpc { service, host, tls })
        }
        // The invalid path has been reported.
        Http | Https if raw.refused("path") => None,
        Http | Https => {
            let matcher = raw.matcher.take().map(|codes| codes.value);
            let matcher = matcher.unwrap_or_default();
            Some(Probe::Http { path: path(raw.path, at, report)?, matcher, host, tls })
        }
    }
}

fn location<T>(value: &Option<Located<T>>) -> Option<Location> {
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
