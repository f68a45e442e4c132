//! What the findings are: from what is known, what the programs said, and what targets said.
//!
//! The programs decide. What is known explains their decision, and covers what a frame cannot show:
//! interfaces that are down, names, addresses that other hosts use.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::Reason;

use super::{
    finding::{Finding, Outcome, Owner, Step},
    names::Served,
    probe::{Probed, Reply},
    refusal,
    stage::{Answer, Fate, Judged},
    subject::{Link, Subject},
    walk::Walk,
};
use crate::model::Protocol;

/// The smallest MTU of a link that carries IPv6.
const LEAST_MTU: u16 = 1_280;

/// A finding for each step, in order.
pub fn of(subject: &Subject, walks: &[Walk], judged: &[Judged], probed: &[Probed]) -> Vec<Finding> {
    let mut found = Found::default();
    attachment(&mut found, Step::Attachment, &subject.consumer_link);
    attachment(&mut found, Step::ProviderAttachment, &subject.provider_link);
    addresses(&mut found, subject, walks);
    found.add(names(subject));
    conflicts(&mut found, Step::SourceAddresses, &subject.provider_link, &subject.sources);
    frames(&mut found, subject, judged);
    known(&mut found, subject);
    found.add(answers(subject, walks, probed));
    found.complete()
}

/// What has been found so far: of each step, the worst.
#[derive(Default)]
struct Found(BTreeMap<Step, Finding>);

impl Found {
    fn add(&mut self, finding: Finding) {
        let worse = |known: &Finding| known.outcome < finding.outcome;
        if self.0.get(&finding.step).is_none_or(worse) {
            self.0.insert(finding.step, finding);
        }
    }

    fn fails(&self, step: Step) -> bool {
        self.0.get(&step).is_some_and(|finding| finding.outcome == Outcome::Failed)
    }

    /// A finding for each step.
    fn complete(mut self) -> Vec<Finding> {
        let finding = |step| {
            let unknown = || Finding::not_checked(step, "the packet does not come so far");
            self.0.remove(&step).unwrap_or_else(unknown)
        };
        Step::ALL.into_iter().map(finding).collect()
    }
}

fn attachment(found: &mut Found, step: Step, link: &Link) {
    found.add(match &link.trouble {
        Some([detail, remedy]) => Finding::failed(step, detail, Owner::Operator, remedy),
        None => Finding::passed(step, format!("{} is up, and has the programs", link.interface)),
    });
}

fn addresses(found: &mut Found, subject: &Subject, walks: &[Walk]) {
    let step = Step::Addresses;
    if subject.addresses.is_empty() {
        found.add(Finding::failed(
            step,
            "the endpoint has no address yet",
            Owner::Operator,
            format!(
                "`privatelink status` says why; has network {} free addresses?",
                subject.consumer_link.network
            ),
        ));
    } else if walks.is_empty() && !subject.listeners.is_empty() {
        found.add(Finding::failed(
            step,
            "the endpoint has no address of the client's family",
            Owner::Consumer,
            "use a client of the endpoint's family, or give the endpoint an address of the other",
        ));
    } else {
        let all: Vec<String> = subject.addresses.iter().map(ToString::to_string).collect();
        found.add(Finding::passed(step, all.join(", ")));
    }
    conflicts(found, step, &subject.consumer_link, &subject.addresses);
}

/// Whether other hosts use addresses of the gateway's.
fn conflicts(found: &mut Found, step: Step, link: &Link, ours: &[IpAddr]) {
    for (address, mac) in link.conflicts.iter().filter(|(address, _)| ours.contains(address)) {
        found.add(Finding::failed(
            step,
            format!(
                "another host of network {}, {mac}, uses {address}, which is the gateway's",
                link.network
            ),
            if step == Step::Addresses { Owner::Consumer } else { Owner::Provider },
            "find that host and give it another address, or change the gateway's",
        ));
    }
}

fn names(subject: &Subject) -> Finding {
    let (step, network) = (Step::Names, &subject.consumer_link.network);
    match &subject.names {
        Served::Unwanted => Finding::not_checked(
            step,
            format!("network {network} is served no names (`dns = false`)"),
        ),
        Served::NotYet => {
            Finding::not_checked(step, "names exist while the connection is available")
        }
        Served::All(names) => Finding::passed(step, names.join(", ")),
        Served::Some { served, missing } => Finding::doubtful(
            step,
            format!("{} served, {} not", served.join(", "), missing.join(", ")),
            Owner::Consumer,
            format!("see `dns_accept` of network {network}, and `privatelink status`"),
        ),
        Served::None(why) => Finding::failed(
            step,
            format!("no name of the endpoint is served: {why}"),
            Owner::Operator,
            "see `privatelink status` and the daemon's log; the addresses work without names",
        ),
    }
}

/// Which steps a refusal leaves behind: those before it have let the packet through.
const ADMISSION: [Step; 5] =
    [Step::Sender, Step::Connection, Step::Listener, Step::Rules, Step::Limits];

/// What the programs said.
fn frames(found: &mut Found, subject: &Subject, judged: &[Judged]) {
    for Judged { walk, fate } in judged {
        match fate {
            // Without an interface there is no place for the frame to arrive.
            Fate::Foreign if found.fails(Step::Attachment) || subject.account.is_none() => {}
            Fate::Foreign => found.add(Finding::failed(
                Step::Programs,
                format!(
                    "the programs do not know {} on {}",
                    walk.address.ip(),
                    subject.consumer_link.interface
                ),
                Owner::Operator,
                "`privatelink status` says what the daemon could not write",
            )),
            Fate::Refused(reason) => refused(found, subject, walk, *reason),
            Fate::Forwarded { answer, segments, stuck, .. } => {
                passed(found, Step::ALL.into_iter().filter(|step| *step <= Step::Ports));
                mtu(found, subject, walk, *segments);
                found.0.extend(stuck.map(|stuck| too_large(subject, stuck)));
                way_back(found, subject, *answer);
            }
        }
    }
}

fn refused(found: &mut Found, subject: &Subject, walk: &Walk, reason: Reason) {
    // The live programs would end a flow of an endpoint that has more than its share.
    let [flows, share] = subject.flows;
    if reason == Reason::FlowTableFull && flows < share {
        passed(found, ADMISSION.into_iter());
        found.add(Finding::passed(
            Step::Room,
            "the flow table is full; a flow of an endpoint above its share makes room",
        ));
        return;
    }
    let finding = refusal::finding(subject, walk, reason);
    let step = finding.step;
    // How far it came before the programs went wrong is not known.
    if step != Step::Programs {
        passed(found, ADMISSION.into_iter().filter(|one| *one < step));
    }
    found.add(finding);
}

fn passed(found: &mut Found, steps: impl Iterator<Item = Step>) {
    for step in steps {
        found.add(Finding::passed(step, "the programs let the packet through"));
    }
}

fn mtu(found: &mut Found, subject: &Subject, walk: &Walk, [out, back]: [Option<u16>; 2]) {
    let (to, from) = (&subject.provider_link, &subject.consumer_link);
    for (link, towards) in [(to, "the targets"), (from, "the clients")] {
        if link.mtu < LEAST_MTU {
            found.add(Finding::doubtful(
                Step::Mtu,
                format!(
                    "{} carries packets of {} bytes towards {towards}, less than IPv6 needs",
                    link.interface, link.mtu
                ),
                Owner::Operator,
                format!(
                    "run `ip link set {} mtu 1500`, if the segment carries that",
                    link.interface
                ),
            ));
        }
    }
    let told = match (walk.protocol, out, back) {
        (Protocol::Tcp, Some(out), Some(back)) => {
            format!("; TCP segments of at most {out} bytes to the target, {back} to the client")
        }
        _ => String::new(),
    };
    found.add(Finding::passed(
        Step::Mtu,
        format!(
            "packets of {} bytes pass to the targets, {} to the clients{told}",
            to.mtu, from.mtu
        ),
    ));
}

/// A packet does not pass that both interfaces carry.
fn too_large(subject: &Subject, (length, reason): (u16, Reason)) -> (Step, Finding) {
    let detail = format!(
        "a packet of {length} bytes is refused as `{}`: {}",
        reason.name(),
        reason.meaning()
    );
    let (here, there) = (&subject.consumer_link.interface, &subject.provider_link.interface);
    if reason == Reason::TooBig {
        let remedy = format!("give {here} and {there} the same MTU");
        return (Step::Mtu, Finding::failed(Step::Mtu, detail, Owner::Operator, remedy));
    }
    // They are asked for each packet.
    let remedy = format!("raise the limits of endpoint {}", subject.endpoint);
    (Step::Limits, Finding::failed(Step::Limits, detail, Owner::Consumer, remedy))
}

fn way_back(found: &mut Found, subject: &Subject, answer: Answer) {
    let step = Step::WayBack;
    let (detail, remedy) = match answer {
        Answer::Arrives => {
            found.add(Finding::passed(step, "an answer arrives from the endpoint's address"));
            return;
        }
        Answer::Refused(reason) => (
            format!("the target's answer is refused as `{}`: {}", reason.name(), reason.meaning()),
            reason.advice().to_owned(),
        ),
        Answer::Astray => (
            format!(
                "the target's answer does not come back by {}",
                subject.provider_link.interface
            ),
            "`privatelink status` says what the daemon could not write".to_owned(),
        ),
    };
    found.add(Finding::failed(step, detail, Owner::Operator, remedy));
}

/// What is known where no frame has shown it.
fn known(found: &mut Found, subject: &Subject) {
    if !found.0.contains_key(&Step::Connection) {
        found.add(refusal::connection(subject, subject.acceptance));
    }
    if found.0.contains_key(&Step::Targets) || found.fails(Step::NextHop) {
        return;
    }
    let serving = subject.serving().count();
    let all = subject.targets.len();
    if serving > 0 {
        found.add(Finding::passed(Step::Targets, format!("{serving} of {all} take new flows")));
        return;
    }
    let of = |word: &str| subject.targets.iter().filter(|one| one.health == word).count();
    if all > 0 && of("unreachable") == all {
        found.add(refusal::next_hop(subject));
    } else {
        found.add(refusal::without_target(subject));
    }
}

/// What the targets said.
fn answers(subject: &Subject, walks: &[Walk], probed: &[Probed]) -> Finding {
    let step = Step::Answer;
    let says = |wanted: fn(&Reply) -> bool| -> Vec<&Probed> {
        probed.iter().filter(|one| wanted(&one.reply)).collect()
    };
    let list =
        |all: &[&Probed]| all.iter().map(|one| one.at.to_string()).collect::<Vec<_>>().join(", ");
    let accepted = says(|reply| matches!(reply, Reply::Accepted(_)));
    let refused = says(|reply| *reply == Reply::Refused);
    let silent = says(|reply| *reply == Reply::Silence);
    let bad: Vec<&Probed> = refused.iter().chain(&silent).copied().collect();
    let remedy = if refused.is_empty() {
        format!(
            "look for a firewall on the target or before it, and for its route back to {}",
            subject.provider_link.network
        )
    } else {
        format!(
            "start the program at that port of the target, or correct `target_port` of service {}",
            subject.service
        )
    };
    let detail = [(&refused, "refuse connections"), (&silent, "do not answer")];
    let detail = detail.into_iter().filter(|(all, _)| !all.is_empty());
    let detail: Vec<String> = detail.map(|(all, what)| format!("{} {what}", list(all))).collect();
    let detail = detail.join("; ");
    match (accepted.is_empty(), bad.is_empty()) {
        (_, false) if is_mute_somewhere(&bad, &accepted) => {
            Finding::failed(step, detail, Owner::Provider, remedy)
        }
        (false, true) => Finding::passed(step, format!("{} accept connections", list(&accepted))),
        (_, false) => Finding::doubtful(step, detail, Owner::Provider, remedy),
        (true, true) => {
            let unasked = probed.iter().find_map(|one| match &one.reply {
                Reply::Unasked(why) => Some(why.clone()),
                Reply::Accepted(_) | Reply::Refused | Reply::Silence => None,
            });
            let no_tcp = walks.iter().all(|walk| walk.protocol == Protocol::Udp);
            Finding::not_checked(
                step,
                match unasked {
                    Some(why) => why,
                    None if no_tcp && !walks.is_empty() => {
                        "a datagram of the gateway's would mean nothing to a UDP service".to_owned()
                    }
                    None => "no target takes new flows".to_owned(),
                },
            )
        }
    }
}

/// Whether at some port no target accepts connections.
fn is_mute_somewhere(bad: &[&Probed], accepted: &[&Probed]) -> bool {
    let ports = |all: &[&Probed]| all.iter().map(|one| one.at.port()).collect::<BTreeSet<_>>();
    ports(bad).iter().any(|port| !ports(accepted).contains(port))
}
