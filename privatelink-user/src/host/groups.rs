//! The groups by which hosts ask for the gateway's IPv6 addresses.
//!
//! A neighbour solicitation goes to a group that follows from the address. A switch that snoops on
//! MLD forwards it only to ports where a listener was reported (RFC 4541), and forgets a listener
//! that does not report again when the querier asks. So the kernel reports them: it listens to the
//! group of each of its proxy neighbours. Unlike a socket's membership, a proxy neighbour outlives
//! the daemon; unlike an address, it makes the host answer to nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use futures_util::{TryStreamExt as _, future};
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage},
    route::RouteProtocol,
};
use rtnetlink::Handle;

use super::error::Error;

/// Says of a proxy neighbour that a gateway has added it; no routing protocol has this number.
const MARK: RouteProtocol = RouteProtocol::Other(112);
/// Requests that are under way at a time.
const BATCH: usize = 64;

/// The addresses whose groups the kernel listens to.
#[derive(Debug, Default)]
pub(super) struct Groups {
    joined: BTreeSet<(u32, Ipv6Addr)>,
}

impl Groups {
    /// Lists what gateways on this host have added.
    pub async fn learn(&mut self, handle: &Handle) -> Result<(), Error> {
        let failed = |source| Error::Dump { what: "the proxy neighbours", source };
        let joined = marked(handle).await.map_err(failed)?;
        self.joined = joined.iter().filter_map(place).collect();
        Ok(())
    }

    /// The kernel has forgotten the proxy neighbours of an interface.
    pub fn forget(&mut self, ifindex: u32) {
        self.joined.retain(|(index, _)| *index != ifindex);
    }

    /// Makes the kernel listen to the groups of these addresses, and of no others on the interfaces
    /// that `is_ours` says. Returns a failure of each interface; the next call tries again.
    pub async fn reconcile(
        &mut self,
        handle: &Handle,
        wanted: &BTreeSet<(u32, Ipv6Addr)>,
        is_ours: impl Fn(u32) -> bool,
    ) -> Vec<Error> {
        let needless = self.joined.difference(wanted).filter(|(ifindex, _)| is_ours(*ifindex));
        let needless: Vec<_> = needless.copied().collect();
        for batch in needless.chunks(BATCH) {
            // One that has gone meanwhile is what was wanted.
            future::join_all(batch.iter().map(|(ifindex, address)| {
                handle.neighbours().del(proxy(handle, *ifindex, *address)).execute()
            }))
            .await;
            self.joined.retain(|place| !batch.contains(place));
        }
        let missing: Vec<_> = wanted.difference(&self.joined).copied().collect();
        let mut failed = BTreeMap::new();
        for batch in missing.chunks(BATCH) {
            let results = future::join_all(batch.iter().map(|(ifindex, address)| async move {
                let mut request = handle.neighbours().add(*ifindex, IpAddr::V6(*address)).replace();
                *request.message_mut() = proxy(handle, *ifindex, *address);
                request.execute().await
            }))
            .await;
            for (place @ (ifindex, address), result) in batch.iter().copied().zip(results) {
                match result {
                    Ok(()) => drop(self.joined.insert(place)),
                    Err(source) => drop(failed.entry(ifindex).or_insert((address, source))),
                }
            }
        }
        let error = |(ifindex, (address, source))| Error::Group { address, ifindex, source };
        failed.into_iter().map(error).collect()
    }
}

/// The proxy neighbour of an address.
fn proxy(handle: &Handle, ifindex: u32, address: Ipv6Addr) -> NeighbourMessage {
    let request = handle.neighbours().add(ifindex, IpAddr::V6(address));
    let mut request = request.flags(NeighbourFlags::Proxy);
    let message = request.message_mut();
    message.attributes.push(NeighbourAttribute::Protocol(MARK));
    message.clone()
}

/// The proxy neighbours that gateways on this host have added.
pub(super) async fn marked(handle: &Handle) -> Result<Vec<NeighbourMessage>, rtnetlink::Error> {
    let request = handle.neighbours().get().set_address_family(AddressFamily::Inet6).proxies();
    let mut proxies = std::pin::pin!(request.execute());
    let mut found = Vec::new();
    while let Some(proxy) = proxies.try_next().await? {
        if proxy.attributes.contains(&NeighbourAttribute::Protocol(MARK)) {
            found.push(proxy);
        }
    }
    Ok(found)
}

/// The interface and the address of a proxy neighbour.
fn place(proxy: &NeighbourMessage) -> Option<(u32, Ipv6Addr)> {
    proxy.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) = attribute else {
            return None;
        };
        Some((proxy.header.ifindex, *address))
    })
}
