//! Principals: which unix users act for them.

use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        raw,
        source::Located,
    },
    model::{Name, Principal, Quota},
};

/// Validates the members of a principal.
pub(super) fn validate(
    name: &Name,
    raw: Located<raw::Principal>,
    report: &mut Report,
) -> Option<Principal> {
    let mut members = |list: Located<List<String>>| {
        list.value.into_iter().filter_map(|name| member(name, report)).collect()
    };
    let (users, groups) = (members(raw.value.users), members(raw.value.groups));
    let client_ca = raw.value.client_ca.map(|file| file.value);
    let quota = raw.value.quota.map_or_else(Quota::default, |quota| self::quota(&quota.value));
    Some(Principal { name: name.clone(), users, groups, client_ca, quota })
}

fn quota(raw: &raw::Quota) -> Quota {
    Quota {
        services: raw.services.as_ref().map(|count| count.value),
        endpoints: raw.endpoints.as_ref().map(|count| count.value),
        targets: raw.targets.as_ref().map(|count| count.value),
        flows: raw.flows.as_ref().map(|count| count.value),
    }
}

/// The name of a unix user or group.
pub(super) fn member(name: Located<String>, report: &mut Report) -> Option<String> {
    if name.value.is_empty() {
        report.push(
            Fault::new("the name of a unix user or group is empty")
                .at(name.at)
                .help("write the name, or leave this one out"),
        );
        return None;
    }
    Some(name.value)
}
