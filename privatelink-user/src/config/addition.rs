//! Endpoints that the API adds: looked at by themselves where that is enough, because a gateway with
//! many of them is asked for one more at a time.

use super::{
    diagnostic::Report,
    doubtful,
    host_claims::{self, OwnAddresses},
    objects::source,
    parse::parse,
    raw::Document,
    source::Sources,
    validate,
    warning::{Warning, Warnings},
};
use crate::{
    model::{Endpoint, Model},
    state::objects::Objects,
};

/// Endpoints that surely fit the configuration in force.
#[derive(Debug)]
pub struct Addition {
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// What is odd about them.
    pub warnings: Warnings,
}

/// What these objects add to the configuration in force; `None` where all of it has to be looked at
/// to know.
pub fn addition(model: &Model, objects: &Objects, own: &OwnAddresses<'_>) -> Option<Addition> {
    let sources = Sources::new(objects.iter().map(|(name, object)| source(name, object)));
    let mut report = Report::default();
    let documents = sources.files.iter().enumerate();
    let documents = documents.map(|(number, file)| parse(number, &file.text, &mut report));
    let documents: Vec<Document> = documents.collect::<Option<_>>()?;
    if !report.is_empty() {
        return None;
    }
    let endpoints = validate::added(documents, &sources, model)?;
    // Whether the limits of all together are more than there is room for, only all of them say.
    let fits = endpoints.iter().all(|endpoint| {
        host_claims::is_free(model, endpoint, own) && endpoint.limits.flows.is_none()
    });
    if !fits || endpoints.len() != objects.len() {
        return None;
    }
    let warnings: Vec<Warning> =
        endpoints.iter().flat_map(|endpoint| doubtful::of_endpoint(model, endpoint)).collect();
    Some(Addition { warnings: Warnings::new(warnings, &sources), endpoints })
}
