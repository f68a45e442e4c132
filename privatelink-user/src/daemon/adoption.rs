//! Another configuration: whether it can be carried out, and what it would change.

use std::path::Path;

use log::warn;

use super::{error::Error, joining, snapshot::Snapshot};
use crate::{
    api::{
        missing_members,
        server::{self, Door},
    },
    chain::Chain,
    config::{
        Loaded, ObjectKind, Origins, Warning, Warnings, host_claims, lockout, own_targets,
        unsupported,
    },
    desired::{Pools, desired},
    events::{Event, Kind},
    host::addresses_at,
    interface::types::{Action, Change, Difference},
    model::{Gateway, Model, Name, Network},
    state::{
        Beside, State, Store as _,
        objects::{self, ObjectName, Objects},
    },
    timestamp::Timestamp,
    view::difference::{self, Side},
};

/// Warnings that are logged of one configuration.
const LOGGED: usize = 30;

/// A configuration that can be adopted, and what follows from it.
pub(super) struct Prepared {
    /// The configuration.
    pub loaded: Loaded,
    /// What to keep under it.
    pub state: State,
    pools: Pools,
    warnings: Warnings,
}

/// Refuses what this release cannot do, and logs what it does not do.
pub(super) fn check(loaded: &Loaded) -> Result<(), Error> {
    let warnings = Warnings::new(unsupported::review(loaded)?, &loaded.sources);
    log_warnings(&warnings, &loaded.model);
    Ok(lockout::review(loaded)?)
}

/// Works out what follows from a configuration, if this release can carry it out.
pub(super) fn prepare(
    now: &Snapshot<'_>,
    loaded: Loaded,
    objects: Objects,
) -> Result<Prepared, Error> {
    lockout::review(&loaded)?;
    let missing = host_claims::missing_interfaces(&loaded.model, &addresses_at);
    let configuration = now.group.map(|_| joining::configuration(&loaded.model, &loaded.origins));
    prepare_with(now, loaded, objects, (missing, configuration))
}

/// As [`prepare`], where only these objects of the API have changed: networks are files'.
pub(super) fn prepare_objects(
    now: &Snapshot<'_>,
    loaded: Loaded,
    objects: Objects,
) -> Result<Prepared, Error> {
    prepare_with(now, loaded, objects, (Vec::new(), None))
}

fn prepare_with(
    now: &Snapshot<'_>,
    loaded: Loaded,
    objects: Objects,
    (mut warnings, configuration): (Vec<Warning>, Option<String>),
) -> Result<Prepared, Error> {
    warnings.extend(unsupported::review(&loaded)?);
    host_claims::review(&loaded, &addresses_at)?;
    let (model, facts) = (&loaded.model, now.facts);
    own_targets::review(&loaded, |network, ip| facts.is_gateway_itself(model, network, ip))?;
    let mut state = State { objects, ..now.state.clone() };
    let gone = now.state.objects.keys().filter(|name| !state.objects.contains_key(name));
    let gone = gone.filter(|name| name.kind == objects::Kind::Endpoint);
    let removed = gone.map(|name| name.name.clone()).collect();
    let beside =
        now.group.map_or(Beside::none(), |group| group.beside(configuration.as_deref(), removed));
    state.follow_beside(&loaded.model, now.facts, now.inputs, now.at.now, &beside)?;
    let pools = now.targets.rearranged(&loaded.model, &state, now.tables)?;
    let warnings = Warnings::new(warnings, &loaded.sources);
    Ok(Prepared { loaded, state, pools, warnings })
}

/// What a configuration would change.
pub(super) fn compare(now: &Snapshot<'_>, next: &Prepared) -> Difference {
    let Snapshot { model, state, facts, inputs, .. } = *now;
    let mut difference = Difference::default();
    // Most reloads change nothing, and large configurations take a while to compare.
    if *model != next.loaded.model || *state != next.state {
        let tables = desired(model, state, facts, inputs, now.targets.pools(), now.at.now);
        let before = Side { model, state, inputs, tables: &tables };
        let (model, state, inputs) = (&next.loaded.model, &next.state, &next.state.inputs);
        let tables = desired(model, state, facts, inputs, &next.pools, now.at.now);
        let after = Side { model, state, inputs, tables: &tables };
        difference = difference::between(before, after, now.datapath.reader().flows());
    }
    for change in &mut difference.changes {
        change.source = source(change, [&next.loaded.origins, now.origins]);
    }
    difference.warnings = next.warnings(|_, _| true);
    difference.warnings.extend(ended_by_missing_interfaces(now, next, &difference));
    difference
}

/// The live flows that end because a network moves to an interface that the host does not have.
fn ended_by_missing_interfaces(
    now: &Snapshot<'_>,
    next: &Prepared,
    difference: &Difference,
) -> Vec<String> {
    let networks = next.loaded.model.networks().values();
    let missing =
        networks.filter(|one| now.facts.link(one.attachment.interface.as_str()).is_none());
    let warning = |network: &Network| {
        let is_its =
            |change: &&Change| change.kind == "network" && change.name == network.name.as_str();
        let cut = difference.changes.iter().find(is_its)?.flows_cut;
        let word = if cut == 1 { "flow ends" } else { "flows end" };
        (cut > 0).then(|| {
            format!(
                "the network `{}`: {cut} live {word}, because `{}` does not exist",
                network.name, network.attachment.interface
            )
        })
    };
    missing.filter_map(warning).collect()
}

/// Where the object of a change is declared, or was.
fn source(change: &Change, origins: [&Origins; 2]) -> Option<String> {
    let kind = objects::Kind::ALL.into_iter().find(|kind| kind.word() == change.kind)?;
    let object = ObjectName { kind, name: change.name.parse().ok()? };
    let origin = origins.into_iter().find_map(|origins| origins.find(&object))?;
    Some(origin.to_string())
}

impl Prepared {
    /// The warnings about those objects that `is_meant` knows, each on a line.
    pub fn warnings(&self, is_meant: impl Fn(ObjectKind, &Name) -> bool) -> Vec<String> {
        self.warnings.lines(is_meant)
    }

    /// Logs what the configuration asks for and does not get, now or before the next start.
    pub fn log_warnings(&self, old: &Gateway) {
        log_warnings(&self.warnings, &self.loaded.model);
        let new = self.loaded.model.gateway();
        for (key, same) in [
            ("state_dir", old.state_dir == new.state_dir),
            ("socket", old.socket == new.socket),
            ("group", old.group == new.group),
            ("pin_dir", old.pin_dir == new.pin_dir),
        ] {
            if !same {
                warn!("the new `{key}` takes effect when the daemon is restarted");
            }
        }
    }

    /// Lets principals reach the control socket if the configuration names some.
    pub fn open_door(&self, socket: &Path) {
        if let Err(error) = server::open(socket, Door::of(&self.loaded.model).open) {
            warn!("cannot change who may use {}: {error}", socket.display());
        }
    }
}

fn log_warnings(warnings: &Warnings, model: &Model) {
    let lines = warnings.lines(|_, _| true);
    for warning in lines.iter().take(LOGGED) {
        warn!("{warning}");
    }
    if let Some(more) = lines.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        warn!("{more} more warnings about the configuration: see `privatelink check`");
    }
    missing_members(model).iter().for_each(|missing| warn!("{missing}"));
}

/// The outcome of a reload, as an event.
pub(super) fn reloaded(result: &Result<Difference, Error>) -> Event {
    match result {
        Ok(difference) => {
            let count =
                |action| difference.changes.iter().filter(|one| one.action == action).count();
            let text = format!(
                "the configuration was applied: {} added, {} changed, {} removed; {} live flows \
                 were cut",
                count(Action::Added),
                count(Action::Changed),
                count(Action::Removed),
                difference.flows_cut
            );
            Event::new(Kind::ConfigurationApplied, text)
        }
        Err(error) => {
            let text = format!("the configuration was not applied: {}", why(error));
            Event::new(Kind::ConfigurationRefused, text)
        }
    }
}

/// Why a configuration was refused, as a problem that lasts until another one is applied.
pub(super) fn refused(error: &Error) -> String {
    let why = why(error);
    format!(
        "the configuration on disk was refused at {}, and the one before is in force: {why}; correct \
         it and run `privatelink reload`",
        Timestamp::now().to_string().split('.').next().unwrap_or_default().to_owned() + "Z",
    )
}

/// Why a configuration was refused, on one line.
fn why(error: &Error) -> String {
    if let Error::Config(faults) = error { faults.brief() } else { Chain(error).to_string() }
}
