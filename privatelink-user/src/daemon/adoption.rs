//! Another configuration: whether it can be carried out, and what it would change.

use std::path::Path;

use log::warn;

use super::{error::Error, snapshot::Snapshot};
use crate::{
    api::{
        missing_members,
        server::{self, Door},
    },
    chain::Chain,
    config::{Loaded, Origins, Warning, lockout, own_targets, unsupported},
    desired::{Pools, desired},
    events::{Event, Kind},
    interface::types::{Action, Change, Difference},
    model::{Gateway, Model},
    state::{
        State,
        objects::{self, ObjectName, Objects},
    },
    view::difference::{self, Side},
};

/// A configuration that can be adopted, and what follows from it.
pub(super) struct Prepared {
    /// The configuration.
    pub loaded: Loaded,
    /// What to keep under it.
    pub state: State,
    pools: Pools,
    warnings: Vec<Warning>,
}

/// Refuses what this release cannot do, and logs what it does not do.
pub(super) fn check(loaded: &Loaded) -> Result<(), Error> {
    log_warnings(&unsupported::review(loaded)?, &loaded.model);
    Ok(lockout::review(loaded)?)
}

/// Works out what follows from a configuration, if this release can carry it out.
pub(super) fn prepare(
    now: &Snapshot<'_>,
    loaded: Loaded,
    objects: Objects,
) -> Result<Prepared, Error> {
    lockout::review(&loaded)?;
    prepare_objects(now, loaded, objects)
}

/// As [`prepare`], where only these objects of the API have changed: networks are files'.
pub(super) fn prepare_objects(
    now: &Snapshot<'_>,
    loaded: Loaded,
    objects: Objects,
) -> Result<Prepared, Error> {
    let warnings = unsupported::review(&loaded)?;
    let (model, facts) = (&loaded.model, now.facts);
    own_targets::review(&loaded, |network, ip| facts.is_gateway_itself(model, network, ip))?;
    let mut state = State { objects, ..now.state.clone() };
    state.follow(&loaded.model, now.facts, now.inputs, now.at.now)?;
    let pools = now.targets.rearranged(&loaded.model, &state, now.tables)?;
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
    difference.warnings = next.warnings.iter().map(Warning::to_string).collect();
    difference
}

/// Where the object of a change is declared, or was.
fn source(change: &Change, origins: [&Origins; 2]) -> Option<String> {
    let kind = objects::Kind::ALL.into_iter().find(|kind| kind.word() == change.kind)?;
    let object = ObjectName { kind, name: change.name.parse().ok()? };
    let origin = origins.into_iter().find_map(|origins| origins.find(&object))?;
    Some(origin.to_string())
}

impl Prepared {
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

fn log_warnings(warnings: &[Warning], model: &Model) {
    for warning in warnings {
        warn!("{warning}");
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
            let error = Chain(error).to_string();
            let first = error.lines().next().unwrap_or_default().trim_end_matches(':');
            let text = format!("the configuration was not applied: {first}");
            Event::new(Kind::ConfigurationRefused, text)
        }
    }
}
