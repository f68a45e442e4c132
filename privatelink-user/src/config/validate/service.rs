//! Services: who may connect, from where the gateway speaks, and what is offered.

use std::collections::BTreeSet;

use super::{Claims, Scope, addresses, health_check, listener, or_default, resolvers};
use crate::{
    config::{
        decode::{List, Table},
        diagnostic::{Fault, Report},
        raw,
        source::Located,
        suggestion::suggestion,
    },
    model::{
        AcceptancePolicy, DnsUnhealthy, Name, OnDisallow, OnPending, OnReject, OnUnhealthy,
        Principals, Service, Stickiness,
    },
};

/// Validates one service.
pub(super) fn validate(
    name: &Name,
    raw: Located<raw::Service>,
    scope: &Scope,
    claims: &mut Claims,
    report: &mut Report,
) -> Option<Service> {
    let Located { value: raw, at } = raw;
    let allow_refused = raw.refused("allow");
    let target_refused = raw.refused("target");
    let listed = raw.targets_file.is_some() || raw.refused("targets_file");
    let network = raw.network.and_then(|network| scope.networks.resolve(network, report));
    let attached = network.as_ref().and_then(|network| scope.attached.get(network));
    let sources = raw
        .source_addresses
        .map(|pools| addresses::sources(name, pools.value.0, attached, claims, report));
    let mut reach = addresses::Reach::new(name, sources.as_ref(), attached);
    let listeners = raw.listener.map(|listeners| {
        let (listeners, mapped) = listener::validate(listeners.value.0, report);
        mapped.iter().for_each(|target| reach.check(target, claims, report));
        listeners
    });
    let given = raw.target.is_some() || target_refused || listed;
    let targets = raw.target.map_or_else(List::new, |targets| targets.value.0);
    let targets = addresses::targets(targets, &mut reach, claims, report);
    let share = listeners.as_ref().is_some_and(|all| all.iter().any(|one| one.target.is_none()));
    if share && !given {
        report.push(Fault::new("[[service]] has no `target`").at(at).help(
            "add `[[service.target]]`, name a `targets_file`, or let each listener name its own \
                 target with `map`",
        ));
    }
    let health_check = raw.health_check.map(|raw| health_check::validate(raw, report));

    let allow_list = or_default(raw.allow, List::new());
    let accept_list = or_default(raw.accept, List::new());
    let allow = principals("allow", &allow_list, report);
    let accept = principals("accept", &accept_list, report);
    if !allow_refused {
        subset(&accept_list, &allow, report);
    }

    Some(Service {
        name: name.clone(),
        principal: raw.principal?.value,
        network: network?,
        acceptance: or_default(raw.acceptance, AcceptancePolicy::Manual),
        allow,
        accept,
        request_expiry: raw.request_expiry.map(|expiry| expiry.value),
        on_disallow: or_default(raw.on_disallow, OnDisallow::Cut),
        source_addresses: sources?.into_iter().collect(),
        private_dns: or_default(raw.private_dns, List::new())
            .into_iter()
            .map(|name| name.value)
            .collect(),
        dns_unhealthy: or_default(raw.dns_unhealthy, DnsUnhealthy::Keep),
        on_reject: or_default(raw.on_reject, OnReject::Reset),
        on_pending: or_default(raw.on_pending, OnPending::Reset),
        fail_open: or_default(raw.fail_open, false),
        on_unhealthy: or_default(raw.on_unhealthy, OnUnhealthy::Reset),
        stickiness: or_default(raw.stickiness, Stickiness::None),
        drain: or_default(raw.drain, Service::DEFAULT_DRAIN),
        listeners: listeners?,
        // Half a list would be another service.
        targets: (!target_refused && (given || !share)).then_some(targets)?,
        targets_file: raw.targets_file.map(|file| file.value),
        resolvers: resolvers(raw.resolvers),
        // A health check that is written but has a fault must not turn into none at all.
        health_check: match health_check {
            Some(health_check) => Some(health_check?),
            None => None,
        },
    })
}

fn principals(key: &str, list: &List<raw::Who>, report: &mut Report) -> Principals {
    let anybody = list.iter().find(|who| matches!(who.value, raw::Who::Anybody));
    let Some(anybody) = anybody else {
        return Principals::Only(names(list).map(|name| name.value.clone()).collect());
    };
    if list.len() > 1 {
        report.push(
            Fault::new(format!("`{key}` names anybody and more"))
                .at(anybody.at)
                .label("anybody")
                .help("remove `*` to admit only the others, or the others to admit anybody"),
        );
    }
    Principals::Anybody
}

fn names(list: &List<raw::Who>) -> impl Iterator<Item = Located<&Name>> {
    list.iter().filter_map(|who| match &who.value {
        raw::Who::Principal(name) => Some(Located { value: name, at: who.at }),
        raw::Who::Anybody => None,
    })
}

/// Reports whoever would be accepted but may not connect.
fn subset(accept: &List<raw::Who>, allow: &Principals, report: &mut Report) {
    let Principals::Only(allowed) = allow else { return };
    for name in names(accept).filter(|name| !allowed.contains(name.value)) {
        report.push(
            Fault::new(format!("`accept` names `{}`, which `allow` does not", name.value))
                .at(name.at)
                .label("may not connect")
                .help(accept_help(name.value, allowed)),
        );
    }
}

fn accept_help(name: &Name, allowed: &BTreeSet<Name>) -> String {
    suggestion(name.as_str(), allowed.iter().map(Name::as_str))
        .unwrap_or_else(|| format!("add \"{name}\" to `allow`, or remove it here"))
}
