//! What a drop reason says of the way: which step it is, whose, and what to do.

use std::{collections::BTreeSet, net::IpAddr};

use privatelink_common::Reason;

use super::{
    finding::{Finding, Owner, Step},
    subject::Subject,
    walk::Walk,
};
use crate::{interface::types::Target, state::connection::Acceptance};

/// The step at which the programs refuse a packet.
pub fn finding(subject: &Subject, walk: &Walk, reason: Reason) -> Finding {
    let Walk { protocol, client, address } = walk;
    let (endpoint, port) = (&subject.endpoint, address.port());
    match reason {
        Reason::Sender => Finding::failed(
            Step::Sender,
            format!(
                "{} cannot be a client: it is an address of the gateway, or of no host",
                client.ip()
            ),
            Owner::Consumer,
            "use an address that a host of the network has",
        ),
        Reason::Pending => connection(subject, Acceptance::Pending),
        Reason::Rejected => connection(subject, Acceptance::Rejected),
        Reason::Expired => connection(subject, Acceptance::Expired),
        Reason::NoListener => Finding::failed(
            Step::Listener,
            format!("the service is not offered on {protocol} port {port}"),
            Owner::Consumer,
            format!("use {}", offered(subject)),
        ),
        Reason::NotAllowed => Finding::failed(
            Step::Rules,
            format!(
                "`allow` of endpoint {endpoint} does not let {} reach {protocol} port {port}",
                client.ip()
            ),
            Owner::Consumer,
            format!("add a rule for this client and port to `allow` of endpoint {endpoint}"),
        ),
        Reason::FlowLimit => limit(subject, "flows"),
        Reason::FlowRateLimit => limit(subject, "new_flows_per_second"),
        Reason::PacketRateLimit => limit(subject, "packets_per_second"),
        Reason::BitRateLimit => limit(subject, "bits_per_second"),
        Reason::FlowTableFull => room(),
        Reason::NoTarget => without_target(subject),
        Reason::NoNeighbour => next_hop(subject),
        Reason::PortsExhausted => ports(subject),
        Reason::TooBig => too_big(subject),
        Reason::Malformed
        | Reason::BadChecksum
        | Reason::TtlExpired
        | Reason::Options
        | Reason::Fragment
        | Reason::Protocol
        | Reason::NoFlow
        | Reason::Contended
        | Reason::NoDevice
        | Reason::Internal
        | Reason::IcmpUnrelated
        | Reason::FragmentTiny
        | Reason::FragmentOverlap
        | Reason::FragmentLong
        | Reason::FragmentUnknown
        | Reason::NoChecksum
        | Reason::Host
        | Reason::PathMtu => programs(reason),
    }
}

/// A packet without a fault is refused by what the programs find in the maps.
fn programs(reason: Reason) -> Finding {
    Finding::failed(
        Step::Programs,
        format!("the programs refuse the packet as `{}`: {}", reason.name(), reason.meaning()),
        Owner::Operator,
        reason.advice(),
    )
}

fn too_big(subject: &Subject) -> Finding {
    Finding::failed(
        Step::Mtu,
        format!("even a small packet is larger than {} carries", subject.provider_link.interface),
        Owner::Operator,
        format!("raise the MTU of {}", subject.provider_link.interface),
    )
}

fn room() -> Finding {
    Finding::failed(
        Step::Room,
        "the flow table is full, and the endpoint has its share of it",
        Owner::Operator,
        "raise `max_flows`, and run `privatelink reload --grow`",
    )
}

fn ports(subject: &Subject) -> Finding {
    Finding::failed(
        Step::Ports,
        "no source port is free that the endpoint may have",
        Owner::Provider,
        format!("add `source_addresses` to service {}: each has 64,512 ports", subject.service),
    )
}

/// The connection is not available, for this reason.
pub fn connection(subject: &Subject, acceptance: Acceptance) -> Finding {
    let Subject { endpoint, provider, consumer, .. } = subject;
    let why =
        if subject.reason.is_empty() { String::new() } else { format!(": {}", subject.reason) };
    let (detail, owner, remedy) = match acceptance {
        Acceptance::Available => return Finding::passed(Step::Connection, "it is available"),
        Acceptance::Pending => (
            format!("the connection waits for the decision of {provider}"),
            Owner::Provider,
            format!("{provider} runs `privatelink accept {endpoint}`"),
        ),
        Acceptance::Expired => (
            format!("the grant of the connection has expired{why}"),
            Owner::Consumer,
            format!("{consumer} runs `privatelink request {endpoint}`, and {provider} accepts it"),
        ),
        Acceptance::Rejected => (
            format!("{provider} does not admit the connection{why}"),
            Owner::Provider,
            format!(
                "{provider} runs `privatelink accept {endpoint}`, if the consumer is to have access"
            ),
        ),
    };
    Finding::failed(Step::Connection, detail, owner, remedy)
}

fn limit(subject: &Subject, key: &str) -> Finding {
    let endpoint = &subject.endpoint;
    Finding::failed(
        Step::Limits,
        format!("the endpoint is at its limit `{key}`, with {} flows", subject.flows[0]),
        Owner::Consumer,
        format!(
            "raise `{key}` in `limits` of endpoint {endpoint}, or have its clients take less: see \
             `privatelink endpoints {endpoint}`"
        ),
    )
}

/// No target can take the flow: they are ill, or out of reach, or there is no source address for
/// them.
pub fn without_target(subject: &Subject) -> Finding {
    let takes = |target: &&Target| target.weight > 0;
    let with_weight: Vec<_> = subject.targets.iter().filter(takes).collect();
    let unreachable = with_weight.iter().all(|target| target.health == "unreachable");
    if !with_weight.is_empty() && unreachable {
        return next_hop(subject);
    }
    let serves = |is_v4: bool| {
        subject
            .serving()
            .any(|target| target.address.parse().is_ok_and(|one: IpAddr| one.is_ipv4() == is_v4))
    };
    let has_source = |is_v4: bool| subject.sources.iter().any(|one| one.is_ipv4() == is_v4);
    let families = [(true, "IPv4"), (false, "IPv6")];
    let lacking = families.iter().find(|(is_v4, _)| serves(*is_v4) && !has_source(*is_v4));
    let served = families.iter().any(|(is_v4, _)| serves(*is_v4) && has_source(*is_v4));
    if let Some((_, family)) = lacking.filter(|_| !served) {
        return Finding::failed(
            Step::SourceAddresses,
            format!(
                "service {} has {family} targets, and no {family} source address",
                subject.service
            ),
            Owner::Provider,
            format!("add an {family} address to `source_addresses` of service {}", subject.service),
        );
    }
    let service = &subject.service;
    if with_weight.is_empty() {
        let detail = format!("service {service} has no target with a weight above 0");
        let remedy = format!("add a target to service {service}, or give one a weight");
        return Finding::failed(Step::Targets, detail, Owner::Provider, remedy);
    }
    let ill = with_weight.iter().map(|target| {
        format!("{} port {} is {}: {}", target.address, target.port, target.health, target.reason)
    });
    let ill = ill.collect::<Vec<_>>().join("; ");
    Finding::failed(
        Step::Targets,
        format!("no target takes new flows: {ill}"),
        Owner::Provider,
        format!("mend the targets, or what their checks ask: see `privatelink targets {service}`"),
    )
}

/// The next hop to a target does not answer, or there is none.
pub fn next_hop(subject: &Subject) -> Finding {
    let stray =
        subject.targets.iter().find(|target| target.weight > 0 && target.next_hop.is_none());
    if let Some(target) = stray {
        let network = &subject.provider_link.network;
        return Finding::failed(
            Step::NextHop,
            format!(
                "target {} is in no subnet of network {network}, which has no `gateway`",
                target.address
            ),
            Owner::Operator,
            format!("add `gateway` to network {network}, or correct the target's address"),
        );
    }
    let silent = subject.targets.iter().filter(|target| target.weight > 0 && target.mac.is_none());
    let hops: BTreeSet<&String> = silent.filter_map(|target| target.next_hop.as_ref()).collect();
    let hops: Vec<&str> = hops.into_iter().map(String::as_str).collect();
    Finding::failed(
        Step::NextHop,
        format!("no answer from the next hop {}", hops.join(", ")),
        Owner::Provider,
        "start the host, or connect it to the network's segment; behind a router, that must be the \
         network's `gateway`",
    )
}

/// What the service is offered on.
fn offered(subject: &Subject) -> String {
    let all = subject.listeners.iter();
    let words: Vec<String> =
        all.map(|(protocol, ports, _)| format!("{protocol} port {ports}")).collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Protocol, trial::walk};

    fn target(address: &str, health: &str, hop: Option<&str>) -> Target {
        Target {
            service: "web".into(),
            address: address.into(),
            port: 80,
            ports: "80".into(),
            weight: 100,
            health: health.into(),
            reason: "timed out".into(),
            since: None,
            until: None,
            active_flows: 0,
            next_hop: hop.map(ToOwned::to_owned),
            mac: None,
        }
    }

    /// Where the programs find no target, what is known of the targets says why.
    #[test]
    fn a_service_without_a_target_for_the_flow_is_explained() {
        for (target, step, owner) in [
            (target("10.0.0.10", "unhealthy", Some("10.0.0.10")), Step::Targets, Owner::Provider),
            (target("10.0.0.10", "unreachable", Some("10.0.0.1")), Step::NextHop, Owner::Provider),
            (target("192.0.2.1", "unreachable", None), Step::NextHop, Owner::Operator),
            (
                target("fd00::10", "healthy", Some("fd00::10")),
                Step::SourceAddresses,
                Owner::Provider,
            ),
        ] {
            let address = target.address.clone();
            let finding = without_target(&Subject::sample(target));
            let whose = finding.remedy.map(|(owner, _)| owner);
            assert_eq!((finding.step, whose), (step, Some(owner)), "{address}: {}", finding.detail);
        }
        let mut none = Subject::sample(target("10.0.0.10", "healthy", None));
        none.targets.clear();
        assert!(without_target(&none).detail.contains("no target with a weight"));
    }

    #[test]
    fn every_reason_is_a_step_with_an_owner_and_a_remedy() {
        let subject = Subject::sample(target("10.0.0.10", "healthy", Some("10.0.0.10")));
        let walks = walk::choose(&subject, None, Some(80));
        assert_eq!((walks.len(), walks[0].protocol), (1, Protocol::Tcp));
        assert_eq!(walks[0].client.ip().to_string(), "10.1.0.1", "no address of the gateway");
        for reason in Reason::ALL {
            let finding = finding(&subject, &walks[0], *reason);
            assert!(finding.remedy.is_some_and(|(_, remedy)| remedy.len() > 10), "{reason:?}");
        }
    }
}
