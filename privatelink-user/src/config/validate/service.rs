//! Services: who may connect, from where the gateway speaks, and what is offered.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    address_claims::AddressClaims, addresses, groups, health_check, hosts::resolvers, listener,
    publishers, reserved_names, scope::Scope,
};
use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        raw,
        section::Section,
        source::Located,
        suggestion::suggestion,
    },
    model::{Listener, Name, Network, Principals, Service, Target},
};

/// Validates one service.
pub(super) fn validate(
    name: &Name,
    raw: Located<raw::Service>,
    scope: &Scope,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Option<Service> {
    let Located { value: mut raw, at } = raw;
    let allow_refused = raw.refused("allow");
    let network = raw.network.take();
    let network = network.and_then(|network| scope.networks.resolve(network, report));
    let attached = network.as_ref().and_then(|network| scope.attached.get(network));
    if let Some((principal, network)) = raw.principal.as_ref().zip(attached) {
        publishers::check(name, principal, network, report);
    }
    raw.private_dns.value.iter().for_each(|name| reserved_names::check(name, report));
    let offer = offer(name, Located { value: &mut raw, at }, attached, claims, report);
    let health_check = raw.health_check.map(|raw| health_check::validate(raw, report));

    let allow_list = raw.allow.value;
    let accept_list = raw.accept.value;
    let allow = principals("allow", &allow_list, report);
    let accept = principals("accept", &accept_list, report);
    if !allow_refused {
        subset(&accept_list, &allow, report);
    }

    let offer = offer?;
    Some(Service {
        name: name.clone(),
        description: raw.description.map(|line| line.value),
        tags: raw.tags.value,
        principal: raw.principal?.value,
        network: network?,
        acceptance: raw.acceptance.value,
        allow,
        accept,
        request_expiry: raw.request_expiry.map(|expiry| expiry.value),
        on_disallow: raw.on_disallow.value,
        source_addresses: offer.sources.into_iter().collect(),
        private_dns: raw.private_dns.value.into_iter().map(|name| name.value).collect(),
        dns_unhealthy: raw.dns_unhealthy.value,
        on_reject: raw.on_reject.value,
        on_pending: raw.on_pending.value,
        fail_open: raw.fail_open.value,
        on_unhealthy: raw.on_unhealthy.value,
        stickiness: raw.stickiness.value,
        drain: raw.drain.value,
        listeners: offer.listeners,
        targets: offer.targets,
        targets_file: raw.targets_file.map(|file| file.value),
        resolvers: resolvers(raw.resolvers),
        // A health check with a fault must not turn into a service without one.
        health_check: match health_check {
            Some(health_check) => Some(health_check?),
            None => None,
        },
    })
}

/// Where a service is offered, and where its flows go.
struct Offer {
    sources: BTreeSet<IpAddr>,
    listeners: Vec<Listener>,
    targets: Vec<Target>,
}

fn offer(
    name: &Name,
    raw: Located<&mut raw::Service>,
    network: Option<&Network>,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Option<Offer> {
    let Located { value: raw, at } = raw;
    let target_refused = raw.refused("target");
    let listed = raw.targets_file.is_some() || raw.refused("targets_file");
    let sources = raw.source_addresses.take();
    let sources =
        sources.map(|pools| addresses::sources(name, pools.value.0, network, claims, report));
    let mut reach = addresses::Reach::new(name, sources.as_ref(), network);
    if let Some(listeners) = &raw.listener {
        let targets = raw.target.as_ref().map_or(&[][..], |targets| &targets.value.0);
        groups::check(&listeners.value, targets, target_refused || listed, report);
    }
    let listeners = raw.listener.take().map(|listeners| {
        let (listeners, mapped) = listener::validate(listeners.value.0, report);
        mapped.iter().for_each(|target| reach.check(target, claims, report));
        listeners
    });
    let given = raw.target.is_some() || target_refused || listed;
    let targets = raw.target.take().map_or_else(List::new, |targets| targets.value.0);
    let targets = addresses::targets(targets, &mut reach, claims, report);
    let share = listeners.as_ref().is_some_and(|all| all.iter().any(|one| one.target.is_none()));
    if share && !given {
        report.push(Fault::new("[[service]] has no `target`").at(at).help(
            "add `[[service.target]]`, set `targets_file`, or give each listener its own target \
             with `map`",
        ));
    }
    // With some of its targets missing, it would be another service.
    let whole = !target_refused && (given || !share);
    whole.then_some(Offer { sources: sources?, listeners: listeners?, targets })
}

/// The set of principals that a list means.
pub(super) fn principals(key: &str, list: &List<raw::Who>, report: &mut Report) -> Principals {
    let anybody = list.iter().find(|who| matches!(who.value, raw::Who::Anybody));
    let Some(anybody) = anybody else {
        return Principals::Only(names(list).map(|name| name.value.clone()).collect());
    };
    if list.len() > 1 {
        report.push(
            Fault::new(format!("`{key}` lists `*` beside other principals"))
                .at(anybody.at)
                .label("every principal")
                .help(
                    "remove `*` to admit only the others, or the others to admit every principal",
                ),
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

/// Reports principals that `accept` lists but that may not connect.
fn subset(accept: &List<raw::Who>, allow: &Principals, report: &mut Report) {
    let Principals::Only(allowed) = allow else { return };
    for name in names(accept).filter(|name| !allowed.contains(name.value)) {
        report.push(
            Fault::new(format!("`accept` lists `{}`, but `allow` does not", name.value))
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
