//! What the configuration says about a connection.

use std::time::Duration;

use crate::{
    model::{AcceptancePolicy, Endpoint, Model, Name, OnDisallow, OnReject, Service},
    timestamp::Timestamp,
};

/// What a service's rules say about one principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It may not connect.
    Disallowed,
    /// The provider has to decide.
    Ask,
    /// It is accepted without asking.
    Unasked,
}

/// What the configuration says about one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who decides about a request.
    pub rule: Rule,
    /// How long a request waits for a decision; `None` is forever.
    pub request_expiry: Option<Duration>,
    /// What happens to a connection whose principal may no longer connect.
    pub on_disallow: OnDisallow,
    /// How long flows go on after the connection has ended.
    pub drain: Option<Duration>,
}

impl Rules {
    /// The rules of a service for a principal.
    pub fn of(service: &Service, consumer: &Name) -> Self {
        let unasked =
            service.acceptance == AcceptancePolicy::Automatic || service.accept.contains(consumer);
        let rule = match (service.allow.contains(consumer), unasked) {
            (false, _) => Rule::Disallowed,
            (true, false) => Rule::Ask,
            (true, true) => Rule::Unasked,
        };
        let drain = match service.on_reject {
            OnReject::Drain(period) => Some(period.get()),
            OnReject::Reset | OnReject::Drop => None,
        };
        let request_expiry = service.request_expiry.map(|expiry| expiry.get());
        Self { rule, request_expiry, on_disallow: service.on_disallow, drain }
    }

    pub(super) fn drain_from(&self, end: Timestamp) -> Option<Timestamp> {
        self.drain.map(|period| end.after(period))
    }
}

/// The service of an endpoint's connection, and its rules for the consumer.
pub fn rules_of<'a>(model: &'a Model, endpoint: &Endpoint) -> Option<(&'a Service, Rules)> {
    let service = model.services().get(&endpoint.service)?;
    let network = model.networks().get(&endpoint.network)?;
    Some((service, Rules::of(service, &network.principal)))
}
