//! The store that this gateway shares with others: how it is, and who else is there.

use crate::{
    chain::Chain,
    interface::types::{Fleet, FleetGateway},
    state::GroupStore,
};

/// What of the group's state cannot be carried out here.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Sharing {
    unfit: Option<String>,
}

impl Sharing {
    /// Notes whether the group's objects could be adopted.
    pub fn note(&mut self, adopted: &Result<(), crate::daemon::error::Error>) {
        self.unfit = adopted.as_ref().err().map(|error| Chain(error).to_string());
    }

    /// What does not work.
    pub fn problems(&self, group: Option<&GroupStore>) -> Vec<String> {
        let Some(group) = group else { return Vec::new() };
        let mut problems = Vec::new();
        if let Some(why) = group.down() {
            let age = match group.age() {
                Some(age) => format!("for {} s", age.as_secs()),
                None => "since the daemon began".to_owned(),
            };
            problems.push(format!(
                "the store of the fleet is not reached {age}: packets are forwarded as before, \
                 rejections act on this gateway alone, and all else that it keeps is refused: {why}"
            ));
        }
        if group.differs() {
            let others: Vec<String> =
                others(group).iter().map(|name| format!("`{name}`")).collect();
            problems.push(format!(
                "the files of this gateway say something else than those of {}: write the same \
                 networks, services and endpoints everywhere, and reload; until then nothing is \
                 forgotten, and no rule moves a connection",
                others.join(", ")
            ));
        }
        if let Some(why) = &self.unfit {
            problems.push(format!(
                "objects of the group `{}` do not fit the files of this gateway, which goes on \
                 without the latest ones: {why}",
                group.membership().group
            ));
        }
        problems
    }
}

/// The gateways with another configuration than this one.
fn others(group: &GroupStore) -> Vec<String> {
    let fleet = fleet(group);
    let others = fleet.gateways.into_iter().filter(|one| !one.same_configuration);
    others.map(|one| one.name).collect()
}

/// The group as this gateway knows it.
pub(in crate::daemon) fn fleet(group: &GroupStore) -> Fleet {
    let membership = group.membership();
    let fellows = group.fellows();
    let fellows = fellows.borrow();
    let own = group.configuration();
    let gateways = fellows.iter().map(|(name, fellow)| FleetGateway {
        name: name.to_string(),
        version: fellow.hello.version.clone(),
        since: fellow.hello.since.to_string(),
        applied: fellow.applied,
        // What this gateway has said last may be under way.
        same_configuration: *name == membership.name
            || own == Some(fellow.hello.configuration.as_str()),
    });
    Fleet {
        group: membership.group.to_string(),
        gateway: membership.name.to_string(),
        reached: group.down().is_none(),
        problem: group.down().map(ToOwned::to_owned),
        age_milliseconds: group.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        revision: group.revision(),
        gateways: gateways.collect(),
    }
}
