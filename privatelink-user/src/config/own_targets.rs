//! Refuses targets that are the gateway itself, which only the host knows.

use std::net::IpAddr;

use super::{diagnostic::Diagnostics, load::Loaded, source::ObjectKind};
use crate::model::{Network, Service, TargetAddress};

/// Refuses each target for which `is_own` holds.
///
/// # Errors
/// Every such target, with its place.
pub fn review(
    loaded: &Loaded,
    is_own: impl Fn(&Network, IpAddr) -> bool,
) -> Result<(), Diagnostics> {
    let networks = loaded.model.networks();
    let mut refused: Option<Diagnostics> = None;
    for service in loaded.model.services().values() {
        let Some(network) = networks.get(&service.network) else { continue };
        for (key, address) in written(service) {
            let TargetAddress::Ip(ip) = address else { continue };
            if !is_own(network, *ip) {
                continue;
            }
            let message =
                format!("the target {ip} of the service `{}` is the gateway itself", service.name);
            let help = "use the address of another host: what the gateway's host serves is not for \
                        consumers";
            let sources = &loaded.sources;
            let fault = sources.refuse(ObjectKind::Service, &service.name, &key, message, help);
            refused = Some(match refused {
                Some(others) => others.and(fault),
                None => fault,
            });
        }
    }
    refused.map_or(Ok(()), Err)
}

/// The targets of a service, each with the key that it is written under.
fn written(service: &Service) -> impl Iterator<Item = (String, &TargetAddress)> {
    let shared = service.targets.iter().enumerate();
    let shared = shared.map(|(number, one)| (format!("target.{number}.address"), &one.address));
    let own = service.listeners.iter().enumerate();
    let own =
        own.filter_map(|(number, one)| Some((format!("listener.{number}"), one.target.as_ref()?)));
    shared.chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    #[test]
    fn the_place_of_such_a_target_is_shown() {
        let loaded = from_text("t.toml", include_str!("../desired/tests.toml")).unwrap();
        review(&loaded, |_, _| false).unwrap();
        let own: IpAddr = "10.0.0.20".parse().unwrap();
        let faults = review(&loaded, |_, address| address == own).unwrap_err().to_json();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0]["text"], "\"10.0.0.20\"");
        let message = faults[0]["message"].as_str().unwrap();
        assert_eq!(message, "the target 10.0.0.20 of the service `web` is the gateway itself");
    }
}
