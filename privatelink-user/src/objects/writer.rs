//! From a request to the objects that are there afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    content::{deregister, register, text},
    error::{Fault, WriteError},
    reach::Reach,
};
use crate::{
    access::{Caller, Rights},
    config::{Origin, Origins},
    model::{Model, Name},
    state::objects::{Content, Kind, Object, ObjectName, Objects},
    timestamp::Timestamp,
};

/// One thing that a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes an object, or gives it another content.
    Put(ObjectName, Content),
    /// Removes an object.
    Delete(ObjectName),
    /// Makes a target of a service, with these keys.
    Register(Name, String, Map<String, Value>),
    /// Removes a target of a service.
    Deregister(Name, String),
}

impl Step {
    /// The object that it changes.
    pub fn object(&self) -> ObjectName {
        match self {
            Self::Put(object, _) | Self::Delete(object) => object.clone(),
            Self::Register(service, ..) | Self::Deregister(service, _) => {
                ObjectName { kind: Kind::Service, name: service.clone() }
            }
        }
    }
}

/// What a request expects of the object that it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its content has one of these tags.
    pub tags: Option<Vec<String>>,
    /// It exists.
    pub exists: bool,
    /// It does not exist.
    pub absent: bool,
}

impl Condition {
    fn holds(&self, object: Option<&Object>) -> bool {
        let tags = self.tags.as_ref();
        let is_expected = if object.is_some() { !self.absent } else { !self.exists };
        is_expected && tags.is_none_or(|tags| object.is_some_and(|one| tags.contains(&one.tag())))
    }
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Added,
    /// It has another content.
    Changed,
    /// It is removed.
    Removed,
    /// It is as it was.
    Unchanged,
}

/// What a request makes of the objects.
#[derive(Clone, Debug)]
pub struct Writing {
    /// All of them, afterwards.
    pub objects: Objects,
    /// Those that the request is about.
    pub outcomes: BTreeMap<ObjectName, Outcome>,
}

impl Writing {
    /// Whether it changes anything.
    pub fn is_empty(&self) -> bool {
        self.outcomes.values().all(|outcome| *outcome == Outcome::Unchanged)
    }

    /// The objects that it is about.
    pub fn names(&self) -> BTreeSet<ObjectName> {
        self.outcomes.keys().cloned().collect()
    }
}

/// The configuration in force, and who wants to change it.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The configuration.
    pub model: &'a Model,
    /// Where it declares what.
    pub origins: &'a Origins,
    /// The objects of the API in it.
    pub objects: &'a Objects,
    /// Who asks.
    pub caller: &'a Caller,
    /// When.
    pub now: Timestamp,
}

impl Writer<'_> {
    /// The objects after these steps, all of which are made or none.
    ///
    /// # Errors
    /// When the caller may not make one of them, or when the first does not meet its condition.
    pub fn write(&self, steps: Vec<Step>, condition: &Condition) -> Result<Writing, WriteError> {
        for step in &steps {
            self.check_owner(step)?;
            let object = step.object();
            if !condition.holds(self.objects.get(&object).map(Arc::as_ref)) {
                return Err(WriteError::Precondition(object));
            }
        }
        let mut next = self.objects.clone();
        let mut touched = BTreeSet::new();
        let made: BTreeSet<ObjectName> = steps.iter().map(Step::object).collect();
        let mut faults = Vec::new();
        for step in steps {
            let object = step.object();
            let content = match step {
                Step::Put(_, content) => content,
                Step::Register(_, address, keys) => {
                    Self::registered(&next, &object, &address, &keys)?
                }
                Step::Deregister(_, address) => Self::deregistered(&next, &object, address)?,
                Step::Delete(_) => {
                    next.remove(&object);
                    touched.insert(object);
                    continue;
                }
            };
            let written = self.object(&object, content, &made, &mut faults)?;
            next.insert(object.clone(), Arc::new(written));
            touched.insert(object);
        }
        if !faults.is_empty() {
            let written = next.into_iter().filter(|(name, _)| touched.contains(name));
            return Err(WriteError::Faulty { faults, written: written.collect() });
        }
        self.check_use(&next)?;
        let outcomes = touched.into_iter().map(|name| {
            let outcome = self.settle(&mut next, &name);
            (name, outcome)
        });
        let outcomes = outcomes.collect();
        Ok(Writing { objects: next, outcomes })
    }

    /// Refuses what is a file's, and what is another principal's.
    fn check_owner(&self, step: &Step) -> Result<(), WriteError> {
        let object = step.object();
        let origin = self.origins.find(&object);
        if origin.is_some() && !self.sees(&object) {
            return Err(match step {
                Step::Put(..) => WriteError::Taken(object),
                Step::Delete(_) | Step::Register(..) | Step::Deregister(..) => {
                    WriteError::Unknown(object)
                }
            });
        }
        match (origin, step) {
            (Some(origin @ Origin::File(..)), _) => {
                Err(WriteError::OwnedByFile { object, place: origin.to_string() })
            }
            (None, Step::Delete(_) | Step::Register(..) | Step::Deregister(..)) => {
                Err(WriteError::Unknown(object))
            }
            (Some(Origin::Api), _) | (None, Step::Put(..)) => Ok(()),
        }
    }

    /// Whether an object that exists is the caller's.
    fn sees(&self, object: &ObjectName) -> bool {
        let rights = &self.caller.rights;
        match object.kind {
            Kind::Service => {
                self.model.services().get(&object.name).is_some_and(|one| rights.see_service(one))
            }
            Kind::Endpoint => {
                let endpoint = self.model.endpoints().get(&object.name);
                endpoint.is_some_and(|one| rights.see_endpoint(self.model, one))
            }
        }
    }

    fn registered(
        next: &Objects,
        service: &ObjectName,
        address: &str,
        keys: &Map<String, Value>,
    ) -> Result<Content, WriteError> {
        let object = next.get(service).ok_or_else(|| WriteError::Unknown(service.clone()))?;
        let mut content = object.content.clone();
        if register(&mut content, address, keys) {
            return Ok(content);
        }
        Err(WriteError::Unknown(service.clone()))
    }

    fn deregistered(
        next: &Objects,
        service: &ObjectName,
        address: String,
    ) -> Result<Content, WriteError> {
        let object = next.get(service).ok_or_else(|| WriteError::Unknown(service.clone()))?;
        let mut content = object.content.clone();
        if deregister(&mut content, &address) {
            return Ok(content);
        }
        Err(WriteError::UnknownTarget { service: service.name.to_string(), address })
    }

    /// The object with this content, if the caller may write it; `made` are all that the request
    /// writes.
    fn object(
        &self,
        name: &ObjectName,
        mut content: Content,
        made: &BTreeSet<ObjectName>,
        faults: &mut Vec<Fault>,
    ) -> Result<Object, WriteError> {
        content.retain(|_, value| !value.is_null());
        let mut fault = |pointer: &str, message: String, help: String| {
            faults.push(Fault { object: name.clone(), pointer: pointer.into(), message, help });
        };
        let own = content.entry("name").or_insert_with(|| name.name.as_str().into());
        if own.as_str() != Some(name.name.as_str()) {
            let message = format!("`name` is not `{}`, as the path says", name.name);
            fault("/name", message, "leave it out, or write the same".into());
        }
        let reach = Reach { model: self.model, rights: &self.caller.rights };
        let authority = match name.kind {
            Kind::Service => self.service(&mut content, &reach, &mut fault)?,
            Kind::Endpoint => {
                let before = self.objects.get(name).map(Arc::as_ref);
                self.endpoint(&content, before, made, &reach, &mut fault)
            }
        };
        let authority = authority.filter(|_| self.caller.rights != Rights::All);
        Ok(Object { authority, by: self.caller.author.clone(), at: self.now, content })
    }

    /// Completes a service; returns its principal.
    fn service(
        &self,
        content: &mut Content,
        reach: &Reach<'_>,
        fault: &mut impl FnMut(&str, String, String),
    ) -> Result<Option<Name>, WriteError> {
        let network = text(content, "network").map(ToOwned::to_owned);
        if !content.contains_key("principal") {
            let owner = network.as_deref().and_then(|name| reach.owner(name));
            let principal = match &self.caller.rights {
                Rights::All => owner,
                Rights::Of(principals) if principals.len() == 1 => principals.first(),
                Rights::Of(principals) => owner.filter(|owner| principals.contains(*owner)),
            };
            if let Some(principal) = principal {
                content.insert("principal".into(), principal.as_str().into());
            }
        }
        let Rights::Of(principals) = &self.caller.rights else { return Ok(None) };
        let principal = text(content, "principal").and_then(|name| name.parse::<Name>().ok());
        if let Some(principal) = principal.as_ref().filter(|one| !principals.contains(*one)) {
            self.caller.publishes_for(principal)?;
        }
        if let Some(network) = network.filter(|name| reach.publishing(name).is_none()) {
            let help = reach.network_help(&network, true);
            fault("/network", format!("there is no network `{network}`"), help);
        }
        let check = content.get("health_check").and_then(Value::as_object);
        let paths = [
            ("/targets_file", content.contains_key("targets_file")),
            ("/health_check/ca_file", check.is_some_and(|check| check.contains_key("ca_file"))),
        ];
        for (pointer, _) in paths.into_iter().filter(|(_, is_there)| *is_there) {
            let message = "this names a file of the gateway's host".to_owned();
            fault(pointer, message, "leave it out, or ask the gateway's operator".into());
        }
        Ok(principal)
    }

    /// Looks at what an endpoint refers to; returns the principal that owns its network.
    fn endpoint(
        &self,
        content: &Content,
        before: Option<&Object>,
        made: &BTreeSet<ObjectName>,
        reach: &Reach<'_>,
        fault: &mut impl FnMut(&str, String, String),
    ) -> Option<Name> {
        if self.caller.rights == Rights::All {
            return None;
        }
        let network = text(content, "network");
        if let Some(name) = network.filter(|name| reach.consuming(name).is_none()) {
            let help = reach.network_help(name, false);
            fault("/network", format!("there is no network `{name}`"), help);
        }
        if let Some(name) = text(content, "service") {
            let is_same = before.is_some_and(|one| text(&one.content, "service") == Some(name));
            let is_made = name
                .parse()
                .is_ok_and(|name| made.contains(&ObjectName { kind: Kind::Service, name }));
            if !is_same && !is_made && reach.service(name).is_none() {
                let help = reach.service_help(name);
                fault("/service", format!("there is no service `{name}`"), help);
            }
        }
        network.and_then(|name| reach.consuming(name)).map(|network| network.principal.clone())
    }

    /// Refuses to remove a service that endpoints lead to.
    fn check_use(&self, next: &Objects) -> Result<(), WriteError> {
        let removed = self.objects.keys().filter(|name| !next.contains_key(name));
        for service in removed.filter(|name| name.kind == Kind::Service) {
            let left = |name: &Name| {
                let object = ObjectName { kind: Kind::Endpoint, name: name.clone() };
                match (self.objects.get(&object), next.get(&object)) {
                    (Some(_), None) => None,
                    (_, Some(new)) => text(&new.content, "service").map(ToOwned::to_owned),
                    (None, None) => {
                        self.model.endpoints().get(name).map(|one| one.service.to_string())
                    }
                }
            };
            let endpoints = self.model.endpoints().keys();
            let leads = |name: &&Name| left(name).as_deref() == Some(service.name.as_str());
            let endpoints: Vec<String> =
                endpoints.filter(leads).map(|name| format!("`{name}`")).collect();
            if !endpoints.is_empty() {
                return Err(WriteError::InUse { service: service.clone(), endpoints });
            }
        }
        Ok(())
    }

    /// What became of an object. One whose content is the same stays as it was, with its author.
    fn settle(&self, next: &mut Objects, name: &ObjectName) -> Outcome {
        match (self.objects.get(name), next.get(name)) {
            (None, Some(_)) => Outcome::Added,
            (Some(_), None) => Outcome::Removed,
            (Some(old), Some(new)) if old.content != new.content => Outcome::Changed,
            (Some(old), Some(_)) => {
                next.insert(name.clone(), old.clone());
                Outcome::Unchanged
            }
            (None, None) => Outcome::Unchanged,
        }
    }
}
