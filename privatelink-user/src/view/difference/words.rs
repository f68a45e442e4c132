//! How two versions of an object differ, for people.

use std::fmt::Display;

use crate::model::{
    Api, Endpoint, EndpointAddresses, FlowLog, Gateway, HealthCheck, HostAccess, Limits, Listener,
    LogFormat, Network, Principal, Quota, SecurityRule, Service, Subscriptions, Target,
};

/// Lines such as `weight 100 -> 50`, or `weight 50` where there was nothing before.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_lines(self) -> Vec<String> {
        self.0
    }

    /// Compares one key. A new object, without `before`, shows its value unless that is empty.
    fn key(&mut self, key: &str, before: Option<String>, after: String) {
        match before {
            Some(before) if before != after => {
                self.0.push(format!("{key} {} -> {}", shown(&before), shown(&after)));
            }
            None if !after.is_empty() => self.0.push(format!("{key} {after}")),
            Some(_) | None => {}
        }
    }

    /// Compares one key that a new object does not show.
    fn detail(&mut self, key: &str, before: Option<String>, after: String) {
        if before.is_some() {
            self.key(key, before, after);
        }
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

fn list(things: impl IntoIterator<Item: Display>) -> String {
    let things: Vec<_> = things.into_iter().map(|thing| thing.to_string()).collect();
    things.join(", ")
}

fn option(thing: Option<impl Display>) -> String {
    thing.map(|thing| thing.to_string()).unwrap_or_default()
}

pub(super) fn gateway(before: &Gateway, after: &Gateway) -> Words {
    let mut words = Words::default();
    words.key("name", Some(before.name.to_string()), after.name.to_string());
    words.key("domain", Some(before.domain.to_string()), after.domain.to_string());
    words.key("dns_proof", Some(option(before.dns_proof)), option(after.dns_proof));
    words.key("dns_ttl", Some(before.dns_ttl.to_string()), after.dns_ttl.to_string());
    words.key("metrics", Some(option(before.metrics)), option(after.metrics));
    let file = |gateway: &Gateway| option(gateway.metrics_token_file.as_deref().map(path));
    words.key("metrics_token_file", Some(file(before)), file(after));
    let api = |gateway: &Gateway| option(gateway.api.as_ref().map(https));
    words.key("api", Some(api(before)), api(after));
    let log = |gateway: &Gateway| option(gateway.flow_log.as_ref().map(flow_log));
    words.key("flow_log", Some(log(before)), log(after));
    let told = |gateway: &Gateway| subscriptions(&gateway.subscriptions);
    words.key("events go to", Some(told(before)), told(after));
    // What is not shown may be all that differs.
    let (old, new) = (&before.subscriptions.webhook, &after.subscriptions.webhook);
    if let (Some(old), Some(new)) = (old, new)
        && old != new
        && old.to_string() == new.to_string()
    {
        words.key("path of the webhook", Some("not shown".into()), "another one".into());
    }
    words.key("resolvers", Some(list(&before.resolvers)), list(&after.resolvers));
    words.key("log_level", Some(before.log_level.to_string()), after.log_level.to_string());
    // The daemon reads these when it starts.
    for (key, before, after) in [
        ("max_flows", before.max_flows.to_string(), after.max_flows.to_string()),
        ("state_dir", path(&before.state_dir), path(&after.state_dir)),
        ("socket", path(&before.socket), path(&after.socket)),
        ("group", option(before.group.as_ref()), option(after.group.as_ref())),
        ("pin_dir", path(&before.pin_dir), path(&after.pin_dir)),
    ] {
        words.key(&format!("(after a restart of the daemon) {key}"), Some(before), after);
    }
    words
}

fn subscriptions(told: &Subscriptions) -> String {
    let hooks = told.hooks.iter().map(|hook| path(hook));
    let urls = told.webhook.iter().map(|url| match &told.webhook_ca_file {
        Some(file) => format!("{url} verified by {}", path(file)),
        None => url.to_string(),
    });
    let user = told.hook_user.iter().map(|user| format!("as {user}"));
    list(hooks.chain(urls).chain(user))
}

fn https(api: &Api) -> String {
    let callers = api.client_ca.as_deref().map(|file| format!(", certificates of {}", path(file)));
    format!(
        "{} with {} and {}{}",
        api.listen,
        path(&api.certificate),
        path(&api.key),
        callers.unwrap_or_default()
    )
}

fn flow_log(log: &FlowLog) -> String {
    let format = match &log.format {
        LogFormat::Json => "json".to_owned(),
        LogFormat::Vpc(fields) => {
            let words: Vec<&str> = fields.iter().map(|field| field.word()).collect();
            format!("vpc with {}", words.join(" "))
        }
    };
    let refused = if log.refusals { ", refused ones too" } else { "" };
    format!(
        "{format} to {}, each {}{refused}, files of {} and {} of them",
        log.to,
        log.interval,
        log.rotate_size.get(),
        log.rotate_count
    )
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

pub(super) fn principal(before: Option<&Principal>, after: &Principal) -> Words {
    let mut words = Words::default();
    words.key("users", before.map(|one| list(&one.users)), list(&after.users));
    words.key("groups", before.map(|one| list(&one.groups)), list(&after.groups));
    words.key("quota", before.map(|one| quota(&one.quota)), quota(&after.quota));
    words
}

fn quota(quota: &Quota) -> String {
    let counts = [
        ("services", quota.services.map(|count| u64::from(count.get()))),
        ("endpoints", quota.endpoints.map(|count| u64::from(count.get()))),
        ("targets", quota.targets.map(|count| u64::from(count.get()))),
        ("flows", quota.flows.map(|flows| flows.get())),
    ];
    list(counts.iter().filter_map(|(key, count)| Some(format!("{key} {}", count.as_ref()?))))
}

pub(super) fn network(before: Option<&Network>, after: &Network) -> Words {
    let mut words = Words::default();
    let of = |value: fn(&Network) -> String| (before.map(value), value(after));
    let (old, new) = of(|one| one.principal.to_string());
    words.key("principal", old, new);
    let (old, new) = of(|one| one.attachment.to_string());
    words.key("on", old, new);
    let (old, new) = of(|one| one.mode.to_string());
    words.detail("mode", old, new);
    let (old, new) = of(|one| list(&one.subnets));
    words.key("subnets", old, new);
    let (old, new) = of(|one| list(&one.reachable_from));
    words.detail("reachable_from", old, new);
    let (old, new) = of(|one| list(&one.gateways));
    words.key("gateway", old, new);
    let (old, new) = of(|one| one.dns.to_string());
    words.detail("dns", old, new);
    let (old, new) = of(|one| list(&one.publishers));
    words.detail("publishers", old, new);
    let unlisted = |one: &Network| if one.dns_proven { "proven names" } else { "none" }.to_owned();
    let accepted = |one: &Network| one.dns_accept.as_ref().map_or_else(|| unlisted(one), list);
    let (old, new) = (before.map(accepted), accepted(after));
    words.detail("dns_accept", old, new);
    let (old, new) = of(|one| one.host.unwrap_or(HostAccess::Services).to_string());
    words.detail("host", old, new);
    let (old, new) = of(|one| list(&one.taken_from_host));
    words.detail("taken_from_host", old, new);
    let (old, new) = of(|one| list(&one.forwarders));
    words.detail("forwarders", old, new);
    let (old, new) = of(|one| one.dns_rate.get().to_string());
    words.detail("dns_rate", old, new);
    words
}

pub(super) fn service(before: Option<&Service>, after: &Service) -> Words {
    let mut words = Words::default();
    let of = |value: fn(&Service) -> String| (before.map(value), value(after));
    for (key, value) in [
        ("principal", (|one| one.principal.to_string()) as fn(&Service) -> String),
        ("network", |one| one.network.to_string()),
        ("acceptance", |one| one.acceptance.to_string()),
        ("allow", |one| list(one.allow.words())),
        ("accept", |one| list(one.accept.words())),
        ("source_addresses", |one| list(&one.source_addresses)),
    ] {
        let (old, new) = of(value);
        words.key(key, old, new);
    }
    for (key, value) in [
        ("description", (|one| option(one.description.as_ref())) as fn(&Service) -> String),
        ("tags", |one| one.tags.to_string()),
        ("request_expiry", |one| option(one.request_expiry)),
        ("on_disallow", |one| one.on_disallow.to_string()),
        ("private_dns", |one| list(&one.private_dns)),
        ("dns_unhealthy", |one| one.dns_unhealthy.to_string()),
        ("on_reject", |one| one.on_reject.to_string()),
        ("on_pending", |one| one.on_pending.to_string()),
        ("fail_open", |one| one.fail_open.to_string()),
        ("on_unhealthy", |one| one.on_unhealthy.to_string()),
        ("stickiness", |one| one.stickiness.to_string()),
        ("drain", |one| one.drain.to_string()),
        ("targets_file", |one| option(one.targets_file.as_ref().map(|file| file.display()))),
        ("resolvers", |one| list(&one.resolvers)),
        ("health_check", |one| option(one.health_check.as_ref().map(probe))),
    ] {
        let (old, new) = of(value);
        words.detail(key, old, new);
    }
    words
}

fn probe(check: &HealthCheck) -> String {
    let port = check.port.map(|port| format!(" port {port}")).unwrap_or_default();
    format!(
        "{}{port} every {} within {}, {} up, {} down",
        check.probe,
        check.interval,
        check.timeout,
        check.healthy_threshold,
        check.unhealthy_threshold
    )
}

pub(super) fn listener(before: Option<&Listener>, after: &Listener) -> Words {
    let mut words = Words::default();
    let target_ports = |one: &Listener| one.target_ports.to_string();
    words.key("target_port", before.map(target_ports), target_ports(after));
    let target = |one: &Listener| option(one.target.as_ref());
    words.key("target", before.map(target), target(after));
    words.key("group", before.map(groups), groups(after));
    let idle = |one: &Listener| one.idle_timeout.to_string();
    words.detail("idle_timeout", before.map(idle), idle(after));
    words
}

fn groups(listener: &Listener) -> String {
    list(listener.groups.iter().map(|(group, share)| format!("{group} {share}")))
}

pub(super) fn target(before: Option<&Target>, after: &Target) -> Words {
    let mut words = Words::default();
    words.key("weight", before.map(|one| one.weight.to_string()), after.weight.to_string());
    let of = |value: fn(&Target) -> String| (before.map(value), value(after));
    let (old, new) = of(|one| option(one.port));
    words.key("port", old, new);
    let (old, new) = of(|one| option(one.group.as_ref()));
    words.key("group", old, new);
    words
}

pub(super) fn endpoint(before: Option<&Endpoint>, after: &Endpoint) -> Words {
    let mut words = Words::default();
    let of = |value: fn(&Endpoint) -> String| (before.map(value), value(after));
    for (key, value) in [
        ("service", (|one| one.service.to_string()) as fn(&Endpoint) -> String),
        ("network", |one| one.network.to_string()),
        ("addresses", |one| addresses(one.addresses)),
        ("allow", |one| list(one.allow.iter().map(rule))),
        ("limits", |one| limits(&one.limits)),
    ] {
        let (old, new) = of(value);
        words.key(key, old, new);
    }
    for (key, value) in [
        ("weight", (|one| one.weight.to_string()) as fn(&Endpoint) -> String),
        ("private_dns", |one| one.private_dns.to_string()),
        ("message", |one| option(one.message.as_ref())),
        ("description", |one| option(one.description.as_ref())),
        ("tags", |one| one.tags.to_string()),
    ] {
        let (old, new) = of(value);
        words.detail(key, old, new);
    }
    words
}

fn addresses(addresses: EndpointAddresses) -> String {
    match addresses {
        EndpointAddresses::Auto => "auto".to_owned(),
        EndpointAddresses::Fixed(pair) => list(pair.iter()),
    }
}

fn rule(rule: &SecurityRule) -> String {
    let protocol = rule.protocol.map(|protocol| format!(" by {protocol}")).unwrap_or_default();
    if rule.ports.is_empty() {
        format!("{}{protocol}", rule.from)
    } else {
        let ports: Vec<_> = rule.ports.iter().map(ToString::to_string).collect();
        format!("{} to {}{protocol}", rule.from, ports.join("+"))
    }
}

fn limits(limits: &Limits) -> String {
    let limits = [
        ("flows", limits.flows),
        ("new_flows_per_second", limits.new_flows_per_second),
        ("packets_per_second", limits.packets_per_second),
        ("bits_per_second", limits.bits_per_second),
    ];
    list(limits.iter().filter_map(|(key, limit)| Some(format!("{key} {}", limit.as_ref()?.get()))))
}
