//! The links to other sites: kept by a thread, shown and reported here.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;

use crate::{
    api::request::Refused,
    backbone::{BackboneKeeper, LatestOverview, Overview, Rotation, SiteView, Wanted},
    events::{Event, Kind},
    interface::types::{self, About, SiteKeyRotation},
    model::{self, Model, Name},
    state::State,
};

/// How long the thread may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The links, and what was last reported of them.
#[derive(Debug)]
pub(in crate::daemon) struct Backbone {
    keeper: BackboneKeeper,
    /// Whether a site was heard, for those whose silence or return was not missed.
    heard: BTreeMap<Name, bool>,
}

impl Backbone {
    /// Starts the thread.
    pub fn start() -> Self {
        Self { keeper: BackboneKeeper::start(), heard: BTreeMap::new() }
    }

    /// What is known of the links, for those who read it at any time.
    pub fn latest(&self) -> LatestOverview {
        self.keeper.latest()
    }

    /// Has the links be as configuration and decisions say; returns what does not work.
    pub fn reconcile(&mut self, model: &Model, state: &State) -> Vec<String> {
        self.follow(model, state);
        self.keeper.overview().problems()
    }

    /// Has the links be as configuration and decisions say, and other sites learn of decisions.
    pub fn follow(&mut self, model: &Model, state: &State) {
        self.keeper.want(Wanted::of(model, state));
    }

    /// Whether there is something new to report.
    pub fn has_news(&mut self) -> bool {
        self.keeper.has_news()
    }

    /// The sites that have fallen silent, or are heard again.
    pub fn events(&mut self, model: &Model) -> Vec<Event> {
        let Overview { sites, .. } = self.keeper.overview();
        self.heard.retain(|name, _| sites.contains_key(name));
        let now = std::time::Instant::now();
        let mut events = Vec::new();
        for (name, view) in &sites {
            let is_heard = match view.silence(now) {
                Some(_) => false,
                None if view.is_heard(now) => true,
                // It has not had the time to say anything.
                None => continue,
            };
            if self.heard.insert(name.clone(), is_heard) != Some(is_heard) {
                events.extend(event(model, name, view, is_heard));
            }
        }
        events
    }

    /// What a site has decided about one of its services, given as `SITE/SERVICE`.
    pub fn decision(&self, service: &Name) -> Option<&'static str> {
        let (site, service) = service.site_and_service()?;
        self.keeper.overview().sites.get(site)?.decision(service)
    }

    /// This site and its links, as administrators see them.
    pub fn describe(&self, model: &Model) -> Result<types::Backbone, Refused> {
        let absent = "there is no backbone: write [backbone], and reload";
        let backbone = model.backbone().ok_or_else(|| Refused::Failed(absent.into()))?;
        let Overview { implementation, public_key, next_public_key, sites, .. } =
            self.keeper.overview();
        let one = |site: &model::Site| {
            let view = sites.get(&site.name).cloned().unwrap_or_default();
            let network = model.networks().get(&site.name);
            describe(site, &view, network.map(|network| network.principal.to_string()))
        };
        Ok(types::Backbone {
            site: backbone.site.to_string(),
            public_key: public_key.map(|key| key.to_string()),
            next_public_key: next_public_key.map(|key| key.to_string()),
            wireguard: implementation.map(ToOwned::to_owned),
            listen: backbone.listen.get(),
            sites: backbone.sites.values().map(one).collect(),
        })
    }

    /// Prepares this site's next key, and uses it as soon as that loses no link.
    pub async fn rotate(&self, force: bool) -> Result<SiteKeyRotation, Refused> {
        let rotated = timeout(PATIENCE, self.keeper.rotate(force)).await;
        let Rotation { public_key, next, missing } = answered(rotated.ok())?;
        Ok(SiteKeyRotation {
            public_key: public_key.to_string(),
            next_public_key: next.map(|key| key.to_string()),
            missing: missing.iter().map(ToString::to_string).collect(),
        })
    }

    /// Removes the links.
    pub async fn remove(&mut self) -> Result<(), String> {
        let removed = timeout(PATIENCE, self.keeper.remove()).await;
        answered(removed.ok())
    }
}

/// The thread's answer, if it gave one.
fn answered<T>(
    answer: Option<Result<Result<T, String>, tokio::sync::oneshot::error::RecvError>>,
) -> Result<T, String> {
    match answer {
        Some(Ok(answer)) => answer,
        Some(Err(_)) => Err("the backbone is not kept: see the log".to_owned()),
        None => Err("the backbone does not answer: see `privatelink status`".to_owned()),
    }
}

fn event(model: &Model, name: &Name, view: &SiteView, is_heard: bool) -> Option<Event> {
    let network = model.networks().get(name)?;
    let (kind, words) = match (is_heard, view.heard) {
        (true, _) => (Kind::SiteUp, "reports: the encrypted link stands"),
        (false, Some(_)) => (Kind::SiteSilent, "is silent"),
        (false, None) => (Kind::SiteSilent, "has not been heard yet"),
    };
    let about = About { network: Some(name.to_string()), ..About::default() };
    let event = Event::new(kind, format!("site {name} {words}"));
    Some(event.about(about).seen_by(&network.principal))
}

fn describe(site: &model::Site, view: &SiteView, principal: Option<String>) -> types::Site {
    let now = std::time::Instant::now();
    let handshake = view.handshake.and_then(|at| at.elapsed().ok());
    let services = site.services.iter().map(|service| types::SiteService {
        service: service.to_string(),
        state: view.decision(service.as_str()).map(ToOwned::to_owned),
    });
    types::Site {
        name: site.name.to_string(),
        principal: principal.unwrap_or_default(),
        up: view.is_heard(now),
        silent_seconds: view.silence(now).map(|silence| silence.as_secs()),
        public_key: view.public_key.map(|key| key.to_string()),
        address: site.address.map(|address| address.to_string()),
        endpoint: view.endpoint.map(|endpoint| endpoint.to_string()),
        handshake_age_seconds: handshake.map(|age| age.as_secs()),
        received_bytes: view.bytes.0,
        sent_bytes: view.bytes.1,
        services: services.collect(),
        problems: view.problems.clone(),
    }
}
