//! The conversation with the kernel: dumps, requests and the stream of changes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourState},
};
use rtnetlink::{Handle, LinkUnspec, MulticastGroup, new_connection, new_multicast_connection};

use super::{
    error::Error,
    facts::{self, HostFacts},
    groups::Groups,
};

/// Requests to the kernel, and what is known from its answers.
#[derive(Debug)]
pub struct Host {
    handle: Handle,
    facts: HostFacts,
    watched: BTreeSet<(u32, IpAddr)>,
    /// The next hops that were last asked for.
    hops: BTreeSet<(u32, IpAddr)>,
    groups: Groups,
}

/// The kernel's messages about changes.
pub struct Events(Messages);

type Messages =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = NetlinkPayload<RouteNetlinkMessage>> + Send>>;

/// What the daemon has to do about an event.
#[derive(Debug)]
pub enum Event {
    /// Apply this message.
    Message(Box<RouteNetlinkMessage>),
    /// Messages were lost: list everything again.
    Lost,
    /// There will be no more.
    Closed,
}

impl Events {
    /// Waits for the next one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        while let Some(payload) = self.0.next().await {
            if let NetlinkPayload::InnerMessage(message) = payload {
                return Event::Message(Box::new(message));
            }
            if let NetlinkPayload::Overrun(_) = payload {
                return Event::Lost;
            }
        }
        Event::Closed
    }

    /// The next one, if it is there already.
    pub fn waiting(&mut self) -> Option<Event> {
        self.next().now_or_never()
    }
}

impl Host {
    /// Subscribes to changes, then lists everything. In this order nothing is missed: a change in
    /// between is in both.
    ///
    /// # Errors
    /// When the kernel refuses a socket or a listing.
    pub async fn open() -> Result<(Self, Events), Error> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        // Two sockets: an overrun of the events must not take answers with it.
        let (listener, _, events) = new_multicast_connection(&groups).map_err(Error::Open)?;
        tokio::spawn(listener);
        let (connection, handle, _) = new_connection().map_err(Error::Open)?;
        tokio::spawn(connection);
        let (watched, hops) = (BTreeSet::new(), BTreeSet::new());
        let (facts, groups) = (HostFacts::default(), Groups::default());
        let mut host = Self { handle, facts, watched, hops, groups };
        host.learn().await?;
        let payloads = events.map(|(message, _)| message.payload);
        Ok((host, Events(Box::pin(payloads))))
    }

    /// What is known of the host.
    pub fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// Lists everything again; returns whether anything differs from what was known.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn learn(&mut self) -> Result<bool, Error> {
        let mut facts = HostFacts::default();
        let mut links = std::pin::pin!(self.handle.link().get().execute());
        let failed = |source| Error::Dump { what: "the interfaces", source };
        while let Some(link) = links.try_next().await.map_err(failed)? {
            facts.apply(&RouteNetlinkMessage::NewLink(link));
        }
        let mut addresses = std::pin::pin!(self.handle.address().get().execute());
        let failed = |source| Error::Dump { what: "the addresses", source };
        while let Some(address) = addresses.try_next().await.map_err(failed)? {
            facts.apply(&RouteNetlinkMessage::NewAddress(address));
        }
        let mut neighbours = std::pin::pin!(self.handle.neighbours().get().execute());
        let failed = |source| Error::Dump { what: "the neighbours", source };
        while let Some(neighbour) = neighbours.try_next().await.map_err(failed)? {
            facts.apply(&RouteNetlinkMessage::NewNeighbour(neighbour));
        }
        self.groups.learn(&self.handle).await?;
        let changed = facts != self.facts;
        self.facts = facts;
        // The message that deleted a watched neighbour may have been lost: it is watched anew.
        self.watched
            .retain(|(ifindex, address)| self.facts.neighbour(*ifindex, *address).is_some());
        Ok(changed)
    }

    /// Makes an interface accept every multicast frame.
    ///
    /// Consumers ask for an endpoint's IPv6 address by a multicast to the group of that address.
    /// The gateway's stack has not joined it, so a NIC would filter the frame out, and XDP sees
    /// only what the NIC lets through.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn take_all_multicast(&self, ifindex: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(ifindex).allmulticast(true).build();
        let set = self.handle.link().set(message).execute().await;
        set.map_err(|source| Error::Allmulti { ifindex, source })
    }

    /// Applies one change; returns whether there is anything to do about it.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) -> bool {
        // The kernel forgets all neighbours of an interface that goes down, watched or not.
        let forgotten = facts::deleted_neighbour(message)
            .is_some_and(|neighbour| self.watched.remove(&neighbour));
        let changed = self.facts.apply(message);
        if let Some(ifindex) = facts::link_of(message)
            && self.facts.link_at(ifindex).is_none_or(|link| !link.up)
        {
            self.groups.forget(ifindex);
        }
        // Of all other hosts nothing follows, and anybody on a link can make them change.
        let matters = facts::neighbour_of(message).is_none_or(|key| self.hops.contains(&key));
        changed && matters || forgotten
    }

    /// Makes the kernel resolve and keep resolving those next hops that it does not watch yet.
    ///
    /// Returns the failures; the next call tries them again.
    pub async fn watch(&mut self, wanted: &BTreeSet<(u32, IpAddr)>) -> Vec<Error> {
        self.watched.retain(|hop| wanted.contains(hop));
        self.hops.clone_from(wanted);
        let mut errors = Vec::new();
        for &(ifindex, address) in wanted {
            // Managing an entry that an operator has set as permanent would overwrite it.
            let fixed = self.facts.neighbour(ifindex, address).is_some_and(|n| n.fixed);
            if fixed || self.watched.contains(&(ifindex, address)) {
                continue;
            }
            match self.watch_one(ifindex, address).await {
                Ok(()) => {
                    self.watched.insert((ifindex, address));
                }
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// Makes the kernel report the groups by which hosts ask for these addresses of the gateway, and
    /// no others on the interfaces that `is_ours` says.
    ///
    /// Returns the failures; the next call tries them again.
    pub async fn listen(
        &mut self,
        wanted: &BTreeSet<(u32, Ipv6Addr)>,
        is_ours: impl Fn(u32) -> bool,
    ) -> Vec<Error> {
        self.groups.reconcile(&self.handle, wanted, is_ours).await
    }

    async fn watch_one(&self, ifindex: u32, address: IpAddr) -> Result<(), Error> {
        let request = || {
            let request = self.handle.neighbours().add(ifindex, address).replace();
            request.state(NeighbourState::None)
        };
        let mut managed = request();
        let flag = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
        managed.message_mut().attributes.push(flag);
        if managed.execute().await.is_ok() {
            return Ok(());
        }
        // Kernels before Linux 5.16 have no managed neighbours; they resolve one that is marked as
        // used, though only once.
        let used = request().flags(NeighbourFlags::Use).execute().await;
        used.map_err(|source| Error::Neighbour { address, ifindex, source })
    }
}
