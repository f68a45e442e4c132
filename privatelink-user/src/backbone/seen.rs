//! What is known of other sites, and what does not fit.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    report::{Offer, Report},
    wanted::{Wanted, WantedSite},
};
use crate::{
    config::suggestion,
    model::{Name, PublicKey},
};

/// A site that has not reported for so long is silent: it reports every second.
pub(super) const SILENT: Duration = Duration::from_secs(10);

/// What is known of all links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// What encrypts; `None` before there is an interface.
    pub implementation: Option<&'static str>,
    /// The key in use.
    pub public_key: Option<PublicKey>,
    /// The key that comes next.
    pub next_public_key: Option<PublicKey>,
    /// The sites of the configuration.
    pub sites: BTreeMap<Name, SiteView>,
    /// What does not work on this host.
    pub(super) faults: Vec<String>,
}

/// What is known of all links, whenever it is read. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LatestOverview(Arc<Mutex<Overview>>);

impl LatestOverview {
    /// What is known now.
    pub fn read(&self) -> Overview {
        self.lock().clone()
    }

    /// Replaces what is known.
    pub(super) fn replace(&self, overview: Overview) {
        *self.lock() = overview;
    }

    fn lock(&self) -> MutexGuard<'_, Overview> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteView {
    /// The key that it uses.
    pub public_key: Option<PublicKey>,
    /// Where it was last heard.
    pub endpoint: Option<SocketAddr>,
    /// The last handshake.
    pub handshake: Option<SystemTime>,
    /// Bytes received from it, and sent to it, encrypted.
    pub bytes: (u64, u64),
    /// When its last report came.
    pub heard: Option<Instant>,
    /// When this link was first wanted.
    pub since: Option<Instant>,
    /// Its last report.
    pub(super) report: Option<Report>,
    /// What does not fit.
    pub problems: Vec<String>,
}

impl SiteView {
    /// Whether it reports.
    pub fn is_heard(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.duration_since(heard) < SILENT)
    }

    /// How long it has been silent; `None` if it reports, or has not had the time to.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let last = self.heard.or(self.since)?;
        Some(now.duration_since(last)).filter(|silence| *silence >= SILENT)
    }

    /// Its decision about a service of its own, as it last reported.
    pub(super) fn offer(&self, service: &str) -> Option<&Offer> {
        let offers = &self.report.as_ref()?.offers;
        offers.iter().find(|offer| offer.service.as_str() == service)
    }

    /// The state of a service of the site in one word; `None` if the site has not said.
    pub fn decision(&self, service: &str) -> Option<&'static str> {
        self.offer(service).map(|offer| offer.state.word())
    }

    /// Whether it accepts a key of this site.
    pub(super) fn accepts(&self, key: &PublicKey, now: Instant) -> bool {
        let text = key.to_string();
        let report = self.report.as_ref().filter(|_| self.is_heard(now));
        report.is_some_and(|report| report.keys.contains(&text))
    }
}

impl Overview {
    /// Everything that does not work or does not fit.
    pub fn problems(&self) -> Vec<String> {
        let faults = self.faults.iter().cloned();
        faults.chain(self.sites.values().flat_map(|site| site.problems.clone())).collect()
    }
}

/// What does not fit between this site and another one.
pub(super) fn problems(
    wanted: &Wanted,
    site: &WantedSite,
    view: &SiteView,
    now: Instant,
) -> Vec<String> {
    let name = &site.name;
    if let Some(silence) = view.silence(now) {
        return vec![silent(site, view, silence)];
    }
    let Some(report) = &view.report else { return Vec::new() };
    let mut problems = Vec::new();
    if report.site != *name {
        problems.push(format!(
            "site {name}: it calls itself `{}`, and its [[site]] here `{name}`: write the same name \
             at both, or their addresses differ",
            report.site
        ));
    }
    if report.peer != wanted.site {
        problems.push(format!(
            "site {name}: it calls this site `{}`, and [backbone] here `{}`: write the same name at \
             both, or their addresses differ",
            report.peer, wanted.site
        ));
    }
    for want in &site.wants {
        let service = &want.service;
        let Some(offer) = view.offer(service.as_str()) else {
            let offered = report.offers.iter().map(|offer| offer.service.as_str());
            let help = suggestion(service.as_str(), offered.clone()).unwrap_or_else(|| {
                format!("there, add an [[endpoint]] in the network `{}` for it", wanted.site)
            });
            problems.push(format!(
                "site {name}: it gives this site no service `{service}`, which endpoints here use: \
                 {help}"
            ));
            continue;
        };
        let missing = want.ports.iter().filter(|port| !offer.ports.contains(port));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            problems.push(format!(
                "site {name}: `{name}/{service}` has {} here, and `{service}` there has {}",
                missing.join(", "),
                offer.ports.join(", "),
            ));
        }
    }
    for want in &report.wants {
        let is_offered = site.offers.iter().any(|offer| offer.service == want.service);
        if !is_offered {
            problems.push(format!(
                "site {name}: its endpoints use the service `{}`, and no [[endpoint]] here is in the \
                 network `{name}` and has that `service`: add one, or correct the name there",
                want.service
            ));
        }
    }
    problems
}

fn silent(site: &WantedSite, view: &SiteView, silence: Duration) -> String {
    let name = &site.name;
    let seconds = silence.as_secs();
    let since = match view.heard {
        Some(_) => format!("silent for {seconds} s"),
        None => format!("not heard in {seconds} s"),
    };
    let handshake = view.handshake.and_then(|at| at.elapsed().ok());
    let recent = handshake.is_some_and(|age| age < Duration::from_secs(180));
    let advice = match (recent, site.address) {
        (true, _) => "the encrypted link stands: is its daemon running?".to_owned(),
        (false, Some(address)) => format!(
            "is it at {address}, does it list this site's public key, and is its own the one that is \
             listed here?"
        ),
        (false, None) => {
            "it has no `address` here, so it must dial: does it have this site's address and \
             public key?"
                .to_owned()
        }
    };
    format!("site {name}: {since}; {advice}")
}

#[cfg(test)]
mod tests {
    use super::{super::report::Want, *};
    use crate::state::connection::Acceptance;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn wanted() -> Wanted {
        let text = include_str!("../config/tests/site-a.toml");
        let model = crate::config::from_text("gw.toml", text).unwrap().model;
        Wanted::of(&model, &crate::state::State::default()).unwrap()
    }

    fn view(peer: &str, site: &str, offered: &[(&str, &str)], used: &[&str]) -> SiteView {
        let offers = offered.iter().map(|(service, port)| Offer {
            service: name(service),
            ports: vec![(*port).to_owned(), "tcp/9092-9099".to_owned()],
            state: Acceptance::Pending,
        });
        let wants = used.iter().map(|one| Want { service: name(one), ports: Vec::new() });
        let (wants, offers): (Vec<_>, Vec<_>) = (wants.collect(), offers.collect());
        let report = Report::new((&name(site), &name(peer)), &[], (&wants, &offers));
        let now = Instant::now();
        SiteView { heard: Some(now), since: Some(now), report: Some(report), ..SiteView::default() }
    }

    fn said(view: &SiteView, later: Duration) -> Vec<String> {
        let wanted = wanted();
        problems(&wanted, &wanted.sites[0], view, Instant::now() + later)
    }

    #[test]
    fn what_fits_is_no_problem() {
        let view = view("site-a", "site-b", &[("payments", "tcp/443")], &[]);
        assert_eq!(said(&view, Duration::ZERO), [""; 0]);
        assert_eq!(view.decision("payments"), Some("pending-acceptance"));
        assert_eq!(view.decision("mail"), None);
    }

    #[test]
    fn a_typo_names_both() {
        let offered = [("payments", "tcp/443")];
        for (view, parts) in [
            (view("site-a", "site-bb", &offered, &[]), ["`site-bb`", "`site-b`"]),
            (view("site-aa", "site-b", &offered, &[]), ["`site-aa`", "`site-a`"]),
            (
                view("site-a", "site-b", &[("paymnets", "tcp/443")], &[]),
                ["no service `payments`", "did you mean `paymnets`?"],
            ),
            (view("site-a", "site-b", &[("payments", "tcp/80")], &[]), ["tcp/443 here", "tcp/80"]),
            (view("site-a", "site-b", &offered, &["mail"]), ["`mail`", "network `site-b`"]),
        ] {
            let found = said(&view, Duration::ZERO);
            let [one] = &found[..] else { panic!("{found:?}") };
            assert!(parts.iter().all(|part| one.contains(part)), "{one}");
        }
    }

    #[test]
    fn silence_is_a_problem_after_a_while_only() {
        let view = view("site-a", "site-b", &[("payments", "tcp/443")], &[]);
        assert_eq!(said(&view, SILENT / 2), [""; 0]);
        let found = said(&view, SILENT * 2);
        assert!(found[0].starts_with("site site-b: silent for 20 s; is it at 198.51.100.2:51820"));
    }
}
