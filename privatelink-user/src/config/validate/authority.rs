//! Files that speak for one principal: what they declare must be that principal's.
//!
//! Whoever can write such a file can change what it says, but not for whom it speaks, if a file of
//! the operator binds it with `files` of a `[[principal]]`.

use std::{collections::BTreeMap, path::Path};

use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw::Document,
        source::{Located, Location, Sources},
    },
    model::{Endpoint, Name},
};

/// Who each file speaks for; `None` is everyone.
struct Authorities(Vec<Option<Located<Name>>>);

/// Reports what files declare that is not of the principal that they speak for.
pub(super) fn check(documents: &[Document], sources: &Sources, report: &mut Report) {
    confine_all(documents, sources, &owners(documents), report);
}

/// As [`check`], where the owners of networks are known from elsewhere.
pub(super) fn confine_all(
    documents: &[Document],
    sources: &Sources,
    owners: &BTreeMap<&Name, &Name>,
    report: &mut Report,
) {
    let authorities = Authorities::read(documents, sources, report);
    let sources = sources.files.iter();
    for ((document, authority), source) in documents.iter().zip(&authorities.0).zip(sources) {
        if let Some(authority) = authority {
            let confined = Confined { authority, is_object: source.object.is_some() };
            confined.check(document, owners, report);
        }
    }
}

impl Authorities {
    fn read(documents: &[Document], sources: &Sources, report: &mut Report) -> Self {
        let own = documents.iter().zip(sources.files.iter()).enumerate();
        let own = own.map(|(number, (document, source))| match &source.object {
            None => document.authority.clone(),
            Some(object) => {
                let at = Location::new(number, 0..0);
                object.authority.clone().map(|value| Located { value, at })
            }
        });
        let mut all = Self(own.collect());
        // A file that speaks for one principal cannot bind others, nor free itself.
        let bound: Vec<bool> = all.0.iter().map(Option::is_some).collect();
        let sources = sources.files.iter();
        let paths: Vec<Option<&Path>> =
            sources.map(|file| file.object.is_none().then_some(file.path.as_path())).collect();
        for (document, _) in documents.iter().zip(bound).filter(|(_, bound)| !bound) {
            for principal in document.principal.iter().flat_map(|list| &list.value) {
                let Some(name) = &principal.value.name else { continue };
                for file in &principal.value.files.value {
                    all.bind(name, file, &paths, report);
                }
            }
        }
        all
    }

    fn bind(
        &mut self,
        principal: &Located<Name>,
        file: &Located<String>,
        paths: &[Option<&Path>],
        report: &mut Report,
    ) {
        let named = |path: &Path| path.file_name().is_some_and(|name| name == file.value.as_str());
        let numbers = paths.iter().enumerate().filter(|(_, path)| path.is_some_and(named));
        let mut found = false;
        for (number, _) in numbers {
            found = true;
            let Some(authority) = self.0.get_mut(number) else { continue };
            match authority {
                Some(other) if other.value != principal.value => report.push(
                    Fault::new(format!(
                        "the file `{}` speaks for both `{}` and `{}`",
                        file.value, other.value, principal.value
                    ))
                    .at(file.at)
                    .related(other.at, "the other one")
                    .help("let a file speak for one principal"),
                ),
                Some(_) => {}
                None => *authority = Some(Located { value: principal.value.clone(), at: file.at }),
            }
        }
        if !found {
            report.push(
                Fault::new(format!("there is no file `{}` in this configuration", file.value))
                    .at(file.at)
                    .help("write the name of a file in the same directory, without the path"),
            );
        }
    }
}

/// The owner of each network, those of other sites included, of whatever file.
fn owners(documents: &[Document]) -> BTreeMap<&Name, &Name> {
    let networks = documents.iter().flat_map(|document| &document.network);
    let networks = networks.flat_map(|list| &list.value);
    let mut owners = BTreeMap::new();
    for network in networks {
        if let (Some(name), Some(owner)) = (&network.value.name, &network.value.principal) {
            // Of two with one name the first counts; the second is a fault of its own.
            owners.entry(&name.value).or_insert(&owner.value);
        }
    }
    for site in documents.iter().flat_map(|document| &document.site).flat_map(|list| &list.value) {
        if let Some(name) = &site.value.name {
            let owner = site.value.principal.as_ref().unwrap_or(name);
            owners.entry(&name.value).or_insert(&owner.value);
        }
    }
    owners
}

/// A source that speaks for one principal.
struct Confined<'a> {
    authority: &'a Located<Name>,
    /// Whether it is an object of the API.
    is_object: bool,
}

impl Confined<'_> {
    fn refusal(&self, what: &str, at: Location) -> Fault {
        let whose = &self.authority.value;
        if self.is_object {
            return Fault::new(format!("{what}, but this object speaks for `{whose}`"))
                .at(at)
                .help("leave it out, or ask the gateway's operator to write it");
        }
        Fault::new(format!("{what}, but this file speaks for `{whose}`"))
            .at(at)
            .related(self.authority.at, "speaks for this principal alone")
            .help("move it to a file that may declare it, or ask the gateway's operator")
    }

    /// Reports everything in the source that is not of its principal.
    fn check(&self, document: &Document, owners: &BTreeMap<&Name, &Name>, report: &mut Report) {
        confine(document, self.authority, owners, |what, at| report.push(self.refusal(&what, at)));
    }
}

/// Calls `refuse` for everything in a source that is not of its principal.
fn confine(
    document: &Document,
    authority: &Located<Name>,
    owners: &BTreeMap<&Name, &Name>,
    mut refuse: impl FnMut(String, Location),
) {
    if let Some(gateway) = &document.gateway {
        refuse("the gateway's settings are the operator's".to_owned(), gateway.at);
    }
    let backbone = document.backbone.as_ref().map(|backbone| backbone.at);
    let sites = document.site.iter().flat_map(|list| &list.value).map(|site| site.at);
    for at in backbone.into_iter().chain(sites) {
        refuse("links to other sites are the operator's".to_owned(), at);
    }
    if let Some(api) = &document.api {
        refuse("the HTTPS listener is the operator's".to_owned(), api.at);
    }
    if let Some(store) = &document.store {
        refuse("the store of the fleet is the operator's".to_owned(), store.at);
    }
    let is_other = |name: &Located<Name>| name.value != authority.value;
    for principal in document.principal.iter().flat_map(|list| &list.value) {
        if let Some(name) = principal.value.name.as_ref().filter(|name| is_other(name)) {
            refuse(format!("this is the principal `{}`", name.value), name.at);
        }
        if let Some(file) = &principal.value.client_ca {
            refuse("the operator says whose certificates count".to_owned(), file.at);
        }
        if let Some(quota) = &principal.value.quota {
            refuse("the operator sets quotas".to_owned(), quota.at);
        }
        if let Some(file) = principal.value.files.value.first() {
            refuse("the operator says for whom files speak".to_owned(), file.at);
        }
    }
    for network in document.network.iter().flat_map(|list| &list.value) {
        if let Some(owner) = network.value.principal.as_ref().filter(|name| is_other(name)) {
            refuse(format!("the network belongs to `{}`", owner.value), owner.at);
        }
    }
    for service in document.service.iter().flat_map(|list| &list.value) {
        if let Some(owner) = service.value.principal.as_ref().filter(|name| is_other(name)) {
            refuse(format!("the service belongs to `{}`", owner.value), owner.at);
        }
    }
    for endpoint in document.endpoint.iter().flat_map(|list| &list.value) {
        if let Some(network) = &endpoint.value.network
            && let Some(owner) =
                owners.get(&network.value).filter(|name| ***name != authority.value)
        {
            let what = format!("the endpoint is in the network `{}` of `{owner}`", network.value);
            refuse(what, network.at);
        }
        let weight = &endpoint.value.weight;
        if weight.value != Endpoint::DEFAULT_WEIGHT {
            refuse("the operator says how endpoints share the gateway".to_owned(), weight.at);
        }
    }
}
