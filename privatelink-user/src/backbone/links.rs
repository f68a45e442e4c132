//! Interfaces, addresses, routes and rules: in the transport namespace, and the ends outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use futures_util::TryStreamExt as _;
use ipnet::Ipv6Net;
use netlink_packet_route::{
    address::AddressAttribute,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute},
    route::{RouteScope, RouteType},
    rule::RuleAction,
};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkWireguard, RouteMessageBuilder,
    new_connection,
};

use super::Error;
use crate::model::TRANSIT_ROUTER;

/// What a decrypted packet may have at most: WireGuard adds 80 bytes over IPv6, to 1,500.
pub(super) const MTU: u32 = 1_420;
/// The routing table of packets that were decrypted, and the priority of its rule.
const TABLE: u32 = 4_817;
const PRIORITY: u32 = 100;
/// After all routes.
const LAST: u32 = u32::MAX;

/// One end's conversation with the kernel.
#[derive(Debug)]
pub(super) struct Side(Handle);

/// The kernel refuses because a thing is there already, is not there, or is unknown to it.
fn is(error: &rtnetlink::Error, code: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.code.is_some_and(|found| found.get() == -code))
}

fn failed(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.into();
    move |source| Error::Netlink { what, source }
}

impl Side {
    /// Speaks to the network namespace that this thread is in.
    pub fn open() -> io::Result<Self> {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The interfaces by name.
    pub async fn interfaces(&self) -> Result<BTreeMap<String, u32>, Error> {
        let mut found = BTreeMap::new();
        let mut links = std::pin::pin!(self.0.link().get().execute());
        while let Some(link) = links.try_next().await.map_err(failed("list interfaces"))? {
            let name = link.attributes.iter().find_map(|attribute| {
                if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
            });
            found.extend(name.map(|name| (name, link.header.index)));
        }
        Ok(found)
    }

    async fn index(&self, name: &str) -> Result<Option<u32>, Error> {
        Ok(self.interfaces().await?.get(name).copied())
    }

    /// Makes an interface of the kernel's WireGuard; `false` if it has none.
    pub async fn add_wireguard(&self, name: &str) -> Result<bool, Error> {
        match self.0.link().add(LinkWireguard::new(name).build()).execute().await {
            Ok(()) => Ok(true),
            Err(error) if is(&error, libc::EEXIST) => Ok(true),
            Err(error) if is(&error, libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(failed(format!("add {name}"))(error)),
        }
    }

    /// Moves an interface of this side to another namespace.
    pub async fn move_to(&self, name: &str, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let moved = LinkUnspec::new_with_name(name).setns_by_fd(namespace.as_raw_fd()).build();
        let what = format!("move {name} into the transport namespace");
        self.0.link().set(moved).execute().await.map_err(failed(what))
    }

    /// Makes a pair of interfaces of the same name, one of them in another namespace.
    pub async fn add_pair(&self, name: &str, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let peer = LinkUnspec::new_with_name(name).mtu(MTU);
        let peer = peer.setns_by_fd(namespace.as_raw_fd()).build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth);
        let pair = pair.name(name).mtu(MTU).set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        let added = self.0.link().add(pair.build()).execute().await;
        added.map_err(failed(format!("add the pair {name}")))
    }

    /// Takes an interface up, with the MTU of links.
    pub async fn take_up(&self, name: &str) -> Result<(), Error> {
        let up = LinkUnspec::new_with_name(name).mtu(MTU).up().build();
        self.0.link().set(up).execute().await.map_err(failed(format!("take {name} up")))
    }

    /// Takes the loopback interface up: without it, the namespace does not reach itself.
    pub async fn take_up_loopback(&self) -> Result<(), Error> {
        let up = LinkUnspec::new_with_name("lo").up().build();
        self.0.link().set(up).execute().await.map_err(failed("take lo up"))
    }

    /// Removes an interface, if it is there.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        let removed = self.0.link().del(index).execute().await;
        removed.map_err(failed(format!("remove {name}")))
    }

    /// Gives an interface exactly these addresses, and the link-local one of the router.
    pub async fn set_addresses(
        &self,
        name: &str,
        wanted: &BTreeSet<Ipv6Addr>,
        is_router: bool,
    ) -> Result<(), Error> {
        let index = self.index(name).await?.ok_or_else(|| Error::NoInterface(name.to_owned()))?;
        let what = || failed(format!("set the addresses of {name}"));
        let mut present = BTreeSet::new();
        let list = self.0.address().get().set_link_index_filter(index);
        let mut list = std::pin::pin!(list.execute());
        while let Some(address) = list.try_next().await.map_err(what())? {
            let found = address.attributes.iter().find_map(|attribute| {
                if let AddressAttribute::Address(IpAddr::V6(v6)) = attribute {
                    Some(*v6)
                } else {
                    None
                }
            });
            let Some(v6) = found else { continue };
            let stays = wanted.contains(&v6) || v6.is_unicast_link_local();
            if stays {
                present.insert(v6);
            } else {
                self.0.address().del(address).execute().await.map_err(what())?;
            }
        }
        let router = match TRANSIT_ROUTER {
            IpAddr::V6(router) if is_router => Some((router, 64)),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        let all = wanted.iter().map(|address| (*address, 128)).chain(router);
        for (address, length) in all.filter(|(address, _)| !present.contains(address)) {
            let added = self.0.address().add(index, address.into(), length).replace();
            added.execute().await.map_err(what())?;
        }
        Ok(())
    }

    /// Makes an interface the way to exactly these prefixes; `decrypted` is for packets that come
    /// from the WireGuard interface, otherwise for all others.
    pub async fn set_routes(
        &self,
        name: &str,
        (wanted, before): (&BTreeSet<Ipv6Net>, &BTreeSet<Ipv6Net>),
        decrypted: bool,
    ) -> Result<(), Error> {
        let index = self.index(name).await?.ok_or_else(|| Error::NoInterface(name.to_owned()))?;
        let table = if decrypted { TABLE } else { MAIN };
        for prefix in wanted {
            let what = format!("set the route to {prefix}");
            let route = route(*prefix, table).output_interface(index).build();
            self.0.route().add(route).replace().execute().await.map_err(failed(what))?;
        }
        for prefix in before.difference(wanted) {
            let gone = self.0.route().del(route(*prefix, table).output_interface(index).build());
            match gone.execute().await {
                Ok(()) => {}
                // The interface took it along.
                Err(error) if is(&error, libc::ESRCH) => {}
                Err(error) => return Err(failed(format!("remove the route to {prefix}"))(error)),
            }
        }
        Ok(())
    }

    /// Lets decrypted packets go nowhere but where [`set_routes`](Self::set_routes) says: not back
    /// into the encryption, towards a third site.
    pub async fn confine_decrypted(&self, wireguard: &str) -> Result<(), Error> {
        let what = || failed("confine decrypted packets");
        let none = route(Ipv6Net::default(), TABLE).kind(RouteType::Unreachable).priority(LAST);
        self.0.route().add(none.build()).replace().execute().await.map_err(what())?;
        let rule = self.0.rule().add().v6().input_interface(wireguard).table_id(TABLE);
        let rule = rule.priority(PRIORITY).action(RuleAction::ToTable);
        match rule.execute().await {
            Ok(()) => Ok(()),
            Err(error) if is(&error, libc::EEXIST) => Ok(()),
            Err(error) => Err(what()(error)),
        }
    }
}

const MAIN: u32 = 254;

fn route(prefix: Ipv6Net, table: u32) -> RouteMessageBuilder<Ipv6Addr> {
    let route = RouteMessageBuilder::<Ipv6Addr>::new();
    let route = route.destination_prefix(prefix.addr(), prefix.prefix_len());
    route.table_id(table).scope(RouteScope::Universe)
}

/// Makes the transport namespace, in which this thread is, a router of IPv6 that learns nothing
/// from what it receives.
pub(super) fn make_router() -> Result<(), Error> {
    for (setting, value) in [
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/all/accept_ra", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/all/accept_redirects", "0"),
        ("ipv6/conf/default/accept_redirects", "0"),
        // Nothing else is on these segments, and what waits for a probe cannot answer.
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        ("ipv4/ip_forward", "0"),
    ] {
        let path = format!("/proc/sys/net/{setting}");
        // Written again, a setting may make the kernel look at every interface anew.
        let is_set = fs::read_to_string(&path).is_ok_and(|present| present.trim() == value);
        if !is_set {
            fs::write(&path, value)
                .map_err(|source| Error::Setting { setting: setting.to_owned(), source })?;
        }
    }
    Ok(())
}
