//! Targets that the configuration gives by DNS name, or in a file that another program writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tokio::sync::mpsc::UnboundedSender;

use crate::{
    host::HostFacts,
    model::{DnsName, Model, Name, Service},
    state::{
        addresses::Addresses,
        targets::{self, Inputs, Listed},
    },
    watch::discovery::{FileWatcher, Finding, Misfit, NameWatcher, WatchedFile, WatchedName, fit},
};

/// The names and files that are watched, and what was found there.
#[derive(Debug)]
pub(in crate::daemon) struct TargetDiscovery {
    names: NameWatcher,
    lists: FileWatcher,
    answers: BTreeMap<WatchedName, Known<Vec<IpAddr>>>,
    contents: BTreeMap<WatchedFile, Known<Vec<Listed>>>,
    problems: BTreeSet<String>,
}

/// What was found last, and why that may be out of date.
#[derive(Debug)]
struct Known<T> {
    last: Option<T>,
    failure: Option<String>,
}

impl<T> Known<T> {
    fn accept(&mut self, found: Result<T, String>) {
        match found {
            Ok(found) => *self = Self { last: Some(found), failure: None },
            Err(why) => self.failure = Some(why),
        }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { last: None, failure: None }
    }
}

impl TargetDiscovery {
    /// Watches nothing yet; what is found will be sent to `findings`.
    pub fn new(findings: UnboundedSender<Finding>) -> Self {
        Self {
            names: NameWatcher::new(findings.clone()),
            lists: FileWatcher::new(findings),
            answers: BTreeMap::new(),
            contents: BTreeMap::new(),
            problems: BTreeSet::new(),
        }
    }

    /// Notes what was found. The next [`reconcile`](Self::reconcile) makes targets of it.
    pub fn accept(&mut self, finding: Finding) {
        match finding {
            Finding::Name(question, found) => {
                self.answers.entry(question).or_default().accept(found);
            }
            Finding::File(list, found) => {
                self.contents.entry(list).or_default().accept(found);
            }
        }
    }

    /// Watches everything that the configuration names, and makes targets of what was found. What
    /// was known before stays until something else is found.
    pub fn reconcile(
        &mut self,
        model: &Model,
        addresses: &Addresses,
        facts: &HostFacts,
        inputs: &mut Inputs,
    ) {
        let services = model.services().values();
        let asked: Vec<(&Name, WatchedName)> = services
            .clone()
            .flat_map(|service| {
                let question = |name| question(model, facts, service, name);
                targets::names(service).map(move |name| (&service.name, question(name)))
            })
            .collect();
        let lists: BTreeSet<WatchedFile> = services.filter_map(list).collect();
        self.watch(&asked.iter().map(|(_, question)| question.clone()).collect(), &lists);
        let mut filter = AddressFilter { model, facts, addresses, problems: BTreeSet::new() };
        for (service, question) in asked {
            let Some(known) = self.answers.get(&question) else { continue };
            let name = question.name;
            if let Some(why) = &known.failure {
                filter.problems.insert(format!(
                    "service {service}: cannot resolve {name}: {why}; its targets stay as they were"
                ));
            }
            let Some(found) = &known.last else { continue };
            let source = format!("{name} has the address");
            let fitting = filter.fitting(service, &source, found, |one| *one);
            inputs.resolved.insert((service.clone(), name), fitting);
        }
        for list in lists {
            let Some(known) = self.contents.get(&list) else { continue };
            let WatchedFile { service, file } = list;
            if let Some(why) = &known.failure {
                let problem = format!("service {service}: {why}; its targets stay as they were");
                filter.problems.insert(problem);
            }
            let Some(found) = &known.last else { continue };
            let source = format!("{} lists", file.display());
            let fitting = filter.fitting(&service, &source, found, |one| one.address);
            inputs.listed.insert(service, fitting);
        }
        self.problems = filter.problems;
    }

    /// Watches these, and forgets everything else.
    fn watch(&mut self, questions: &BTreeSet<WatchedName>, lists: &BTreeSet<WatchedFile>) {
        self.names.follow(questions);
        self.lists.follow(lists);
        self.answers.retain(|question, _| questions.contains(question));
        self.contents.retain(|list, _| lists.contains(list));
    }

    /// What cannot be found, and what was found but cannot be a target.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().cloned()
    }
}

/// Which name servers to ask for the addresses of a service's target, and through which interface.
fn question(model: &Model, facts: &HostFacts, service: &Service, name: &DnsName) -> WatchedName {
    let servers = if service.resolvers.is_empty() {
        model.gateway().resolvers.clone()
    } else {
        service.resolvers.clone()
    };
    // The host's own name servers are where the host's routes lead.
    let network = model.networks().get(&service.network).filter(|_| !servers.is_empty());
    let network = network.and_then(|network| {
        let stack = facts.stack(&network.attachment)?;
        Some((stack.name.parse().ok()?, network.subnets.clone()))
    });
    WatchedName { name: name.clone(), servers, network }
}

fn list(service: &Service) -> Option<WatchedFile> {
    let file = service.targets_file.clone()?;
    Some(WatchedFile { service: service.name.clone(), file })
}

/// Leaves out what cannot be a target, and notes why.
struct AddressFilter<'a> {
    model: &'a Model,
    facts: &'a HostFacts,
    addresses: &'a Addresses,
    problems: BTreeSet<String>,
}

impl AddressFilter<'_> {
    fn fitting<T: Clone>(
        &mut self,
        service: &Name,
        source: &str,
        found: &[T],
        address: impl Fn(&T) -> IpAddr,
    ) -> Vec<T> {
        let Some(service) = self.model.services().get(service) else { return Vec::new() };
        let fits = |one: &&T| {
            let address = address(*one);
            match fit(self.model, self.facts, self.addresses, service, address) {
                Ok(()) => true,
                // A name may well have addresses of a family that the service does not speak.
                Err(Misfit::NoSource) => false,
                Err(misfit) => {
                    let name = &service.name;
                    let text = format!("service {name}: {source} {address}: {misfit}; left out");
                    self.problems.insert(text);
                    false
                }
            }
        };
        found.iter().filter(fits).cloned().collect()
    }
}
