//! What the daemon knows of targets that have names or stand in files of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tokio::sync::mpsc::UnboundedSender;

use crate::daemon::gateway::Gateway;
use crate::{
    model::{DnsName, Name, Service},
    state::targets::{self, Listed},
    watch::discovery::{Finding, List, Lists, Misfit, Names, Question, fit},
};

/// What is searched for, and what was found.
#[derive(Debug)]
pub(in crate::daemon) struct Search {
    names: Names,
    lists: Lists,
    answers: BTreeMap<Question, Known<Vec<IpAddr>>>,
    contents: BTreeMap<List, Known<Vec<Listed>>>,
    /// What was found and cannot be used.
    problems: BTreeSet<String>,
}

/// What was found last, and why that may be old.
#[derive(Debug)]
struct Known<T> {
    last: Option<T>,
    failure: Option<String>,
}

impl<T> Known<T> {
    fn take_in(&mut self, found: Result<T, String>) {
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

impl Search {
    /// Searches for nothing yet, and tells there what is found.
    pub fn new(findings: UnboundedSender<Finding>) -> Self {
        Self {
            names: Names::new(findings.clone()),
            lists: Lists::new(findings),
            answers: BTreeMap::new(),
            contents: BTreeMap::new(),
            problems: BTreeSet::new(),
        }
    }

    /// Searches for what a configuration names, and for nothing else.
    fn follow(&mut self, questions: &BTreeSet<Question>, lists: &BTreeSet<List>) {
        self.names.follow(questions);
        self.lists.follow(lists);
        self.answers.retain(|question, _| questions.contains(question));
        self.contents.retain(|list, _| lists.contains(list));
    }
}

impl Gateway {
    /// Takes in what was found.
    pub fn take_finding(&mut self, finding: Finding) {
        match finding {
            Finding::Name(question, found) => {
                self.search.answers.entry(question).or_default().take_in(found);
            }
            Finding::List(list, found) => {
                self.search.contents.entry(list).or_default().take_in(found);
            }
        }
    }

    /// Has everything searched for that the configuration names, and makes targets of what was
    /// found. What was known before stays until something else is found.
    pub(in crate::daemon) fn discover(&mut self) {
        let services = self.loaded.model.services();
        let asked: Vec<(&Name, Question)> = services
            .values()
            .flat_map(|service| {
                let question = |name| self.question(service, name);
                targets::names(service).map(move |name| (&service.name, question(name)))
            })
            .collect();
        let lists: BTreeSet<List> = services.values().filter_map(list).collect();
        let questions = asked.iter().map(|(_, question)| question.clone()).collect();
        self.search.follow(&questions, &lists);
        let mut problems = BTreeSet::new();
        for (service, question) in asked {
            let Some(known) = self.search.answers.get(&question) else { continue };
            let name = question.name;
            if let Some(why) = &known.failure {
                problems.insert(format!(
                    "service {service}: the addresses of {name} are not known: {why}; its targets \
                     stay as they were"
                ));
            }
            let Some(found) = &known.last else { continue };
            let source = format!("{name} has the address");
            let fitting = self.fitting(service, &source, found, |one| *one, &mut problems);
            self.inputs.resolved.insert((service.clone(), name), fitting);
        }
        for List { service, file } in lists {
            let list = List { service: service.clone(), file };
            let Some(known) = self.search.contents.get(&list) else { continue };
            if let Some(why) = &known.failure {
                problems.insert(format!("service {service}: {why}; its targets stay as they were"));
            }
            let Some(found) = &known.last else { continue };
            let source = format!("{} lists", list.file.display());
            let fitting = self.fitting(&service, &source, found, |one| one.address, &mut problems);
            self.inputs.listed.insert(service, fitting);
        }
        self.search.problems = problems;
    }

    /// Whom to ask for the addresses of a service's target.
    fn question(&self, service: &Service, name: &DnsName) -> Question {
        let model = &self.loaded.model;
        let servers = if service.resolvers.is_empty() {
            model.gateway().resolvers.clone()
        } else {
            service.resolvers.clone()
        };
        // The host's own name servers are where the host's routes lead.
        let network = model.networks().get(&service.network).filter(|_| !servers.is_empty());
        let network = network.and_then(|network| {
            let stack = self.host.facts().stack(&network.attachment)?;
            Some((stack.name.parse().ok()?, network.subnets.clone()))
        });
        Question { name: name.clone(), servers, network }
    }

    /// Leaves out what cannot be a target, and says so.
    fn fitting<T: Copy>(
        &self,
        service: &Name,
        source: &str,
        found: &[T],
        address: impl Fn(&T) -> IpAddr,
        problems: &mut BTreeSet<String>,
    ) -> Vec<T> {
        let model = &self.loaded.model;
        let Some(service) = model.services().get(service) else { return Vec::new() };
        let fits = |one: &&T| {
            let address = address(*one);
            match fit(model, &self.store.state().addresses, service, address) {
                Ok(()) => true,
                // A name may well have addresses of a family that the service does not speak.
                Err(Misfit::NoSource) => false,
                Err(misfit) => {
                    let name = &service.name;
                    let text = format!("service {name}: {source} {address}: {misfit}; left out");
                    problems.insert(text);
                    false
                }
            }
        };
        found.iter().filter(fits).copied().collect()
    }

    /// What was found and cannot be used, and what cannot be found.
    pub(in crate::daemon) fn discovery_problems(&self) -> BTreeSet<String> {
        self.search.problems.clone()
    }
}

fn list(service: &Service) -> Option<List> {
    let file = service.targets_file.clone()?;
    Some(List { service: service.name.clone(), file })
}
