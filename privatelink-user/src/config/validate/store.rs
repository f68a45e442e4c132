//! The store that several gateways share.

use crate::{
    config::{
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    etcd::Endpoint,
    model::{Name, SharedStore, StoreTls},
};

/// Validates the one table of the store, if there is one; `gateway` is the gateway's name.
pub(super) fn validate(
    stores: Vec<Located<raw::Store>>,
    gateway: &Name,
    report: &mut Report,
) -> Option<SharedStore> {
    let mut stores = stores.into_iter();
    let first = stores.next()?;
    for other in stores {
        report.push(
            Fault::new("there are two [store] tables")
                .at(other.at)
                .label("another one here")
                .related(first.at, "first one here")
                .help("keep one of the two: a gateway belongs to one group"),
        );
    }
    let Located { value: raw, at } = first;
    let etcd = raw.etcd?.value.0;
    for member in &etcd {
        let is_outside = !member.value.is_secure() && !is_here(&member.value);
        if is_outside {
            report.push(
                Fault::new(format!(
                    "`{}` is another host, and is not reached by TLS",
                    member.value
                ))
                .at(member.at)
                .label("decisions and digests of keys would cross the network in clear text")
                .help("write `https`, and set `ca`, `certificate` and `key`"),
            );
        }
    }
    let is_secure = etcd.iter().any(|member| member.value.is_secure());
    let files = [
        ("ca", raw.ca.map(|file| file.value)),
        ("certificate", raw.certificate.map(|file| file.value)),
        ("key", raw.key.map(|file| file.value)),
    ];
    let tls = match files {
        [(_, Some(ca)), (_, Some(certificate)), (_, Some(key))] => {
            Some(StoreTls { ca, certificate, key })
        }
        files if is_secure || files.iter().any(|(_, file)| file.is_some()) => {
            let missing = files.iter().filter(|(_, file)| file.is_none());
            missing.for_each(|(key, _)| report.push(without(key, at)));
            return None;
        }
        _ => None,
    };
    let name = raw.name.map_or_else(|| gateway.clone(), |name| name.value);
    let etcd = etcd.into_iter().map(|member| member.value).collect();
    Some(SharedStore { etcd, tls, group: raw.group?.value, name })
}

fn without(key: &str, at: Location) -> Fault {
    Fault::new(format!("[store] has no `{key}`"))
        .at(at)
        .label("etcd and the gateway have to prove who they are")
        .help(format!("add `{key} = \"/etc/privatelink/etcd/{key}.pem\"`"))
}

/// Whether a member is on this very host.
fn is_here(member: &Endpoint) -> bool {
    member.host() == "localhost"
        || member.host().parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
