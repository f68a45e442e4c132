//! The gateway's own settings.

use super::{flow_log, hosts::resolvers, principal::member};
use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw,
        source::Located,
    },
    model::{Api, Gateway, Subscriptions},
};

/// Validates the one table of the gateway.
pub(super) fn validate(
    gateways: Vec<Located<raw::Gateway>>,
    apis: Vec<Located<raw::Api>>,
    report: &mut Report,
) -> Option<Gateway> {
    let mut gateways = gateways.into_iter();
    let Some(first) = gateways.next() else {
        report.push(
            Fault::new("no file has a [gateway] table")
                .help("add `[gateway]` with `name = \"gw-a\"` to one file"),
        );
        return None;
    };
    for other in gateways {
        report.push(
            Fault::new("there are two [gateway] tables")
                .at(other.at)
                .label("another one here")
                .related(first.at, "first one here")
                .help("keep one of the two: all files together configure one gateway"),
        );
    }
    let api = api(apis, report);
    let raw = first.value;
    let domain = match raw.domain {
        Some(domain) => domain.value,
        None => Gateway::DEFAULT_DOMAIN.parse().ok()?,
    };
    let group = raw.group.and_then(|group| member(group, report));
    let hook_user = raw.hook_user.and_then(|user| member(user, report));
    let flow_log = match raw.flow_log {
        Some(log) => Some(flow_log::validate(log.value, report)?),
        None => None,
    };
    Some(Gateway {
        name: raw.name?.value,
        domain,
        dns_proof: raw.dns_proof.map(|resolver| resolver.value),
        dns_ttl: raw.dns_ttl.value,
        metrics: raw.metrics.map(|metrics| metrics.value),
        metrics_token_file: raw.metrics_token_file.map(|file| file.value),
        max_flows: raw.max_flows.value,
        state_dir: raw.state_dir.value,
        socket: raw.socket.value,
        group,
        pin_dir: raw.pin_dir.value,
        log_level: raw.log_level.value,
        api,
        store: None,
        flow_log,
        subscriptions: Subscriptions {
            hooks: raw.on_event.value.into_iter().map(|one| one.value).collect(),
            hook_user,
            webhook: raw.webhook.map(|url| url.value),
            webhook_ca_file: raw.webhook_ca_file.map(|file| file.value),
        },
        resolvers: resolvers(raw.resolvers),
    })
}

/// Validates the one table of the HTTPS listener, if there is one.
fn api(apis: Vec<Located<raw::Api>>, report: &mut Report) -> Option<Api> {
    let mut apis = apis.into_iter();
    let first = apis.next()?;
    for other in apis {
        report.push(
            Fault::new("there are two [api] tables")
                .at(other.at)
                .label("another one here")
                .related(first.at, "first one here")
                .help("keep one of the two: a gateway has one HTTPS listener"),
        );
    }
    let raw = first.value;
    let listen = raw.listen?;
    if listen.value.port() == 0 {
        report.push(
            Fault::new("callers cannot find port 0")
                .at(listen.at)
                .help("choose a port, such as 9443"),
        );
        return None;
    }
    Some(Api {
        listen: listen.value,
        certificate: raw.certificate?.value,
        key: raw.key?.value,
        client_ca: raw.client_ca.map(|file| file.value),
    })
}
