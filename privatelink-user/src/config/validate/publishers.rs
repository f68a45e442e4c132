//! Who may publish in a network: its owner, and those whom the owner lists.

use crate::{
    config::{
        diagnostic::{Fault, Report},
        source::Located,
    },
    model::{Name, Network},
};

/// Reports the service of a principal that may not publish in the network.
pub(super) fn check(
    service: &Name,
    principal: &Located<Name>,
    network: &Network,
    report: &mut Report,
) {
    let owner = &network.principal;
    if principal.value == *owner || network.publishers.contains(&principal.value) {
        return;
    }
    report.push(
        Fault::new(format!(
            "the service `{service}` of `{}` is in the network `{}`, which belongs to `{owner}`",
            principal.value, network.name
        ))
        .at(principal.at)
        .label("may not publish there")
        .help(format!(
            "let `{owner}` write `publishers = [\"{}\"]` in its network, or choose a network of \
             `{}`",
            principal.value, principal.value
        )),
    );
}
