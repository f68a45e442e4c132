//! The thread: reconciles namespace, interfaces and peers, and exchanges reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv6Addr, SocketAddr},
    os::fd::AsFd as _,
    process::Command,
    time::{Duration, Instant},
};

use ipnet::Ipv6Net;
use log::{info, warn};
use tokio::time::sleep;

use super::{
    Error,
    device::{Device, DeviceChange, DeviceState, KernelDevice, PeerChange, UserspaceDevice},
    exchange::Exchange,
    features,
    keys::Keys,
    links::{self, Side},
    namespace::{self, Entered},
    report::Report,
    seen::SiteView,
    wanted::{Wanted, WantedSite},
};
use crate::model::{Name, Namespace, PublicKey, WireGuard, report_address};

/// How often `wireguard-go` is asked for its socket after its start, and how many times.
const STARTING: (Duration, u32) = (Duration::from_millis(50), 100);
/// A site that has not reported for so long, of which it does every second, is sought.
const QUIET: Duration = Duration::from_millis(1_500);

/// A transport namespace with its interfaces, as this thread is in it.
#[derive(Debug)]
pub(super) struct Transport {
    namespace: Namespace,
    interface: String,
    entered: Entered,
    outside: Side,
    inside: Side,
    device: Device,
    keys: Keys,
    exchange: Exchange,
    applied: Applied,
}

/// Where a site is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seek {
    /// It is not.
    No,
    /// Where it was last heard.
    WhereItWas,
    /// Where the configuration says it is.
    AtItsAddress,
}

/// What the kernel and WireGuard were last given.
#[derive(Debug, Default)]
struct Applied {
    /// The configured addresses.
    addresses: BTreeMap<Name, Option<SocketAddr>>,
    /// Pairs by interface, and routes into them.
    pairs: BTreeMap<String, BTreeSet<Ipv6Net>>,
    /// Routes into the encryption.
    routes: BTreeSet<Ipv6Net>,
    /// The keys that sites use.
    active: BTreeMap<Name, PublicKey>,
    /// When a silent site was last sought.
    sought: BTreeMap<Name, Instant>,
}

impl Transport {
    /// Makes what is not there yet, and adopts what a daemon before has left.
    pub async fn open(wanted: &Wanted) -> Result<Self, Error> {
        let keys = Keys::open(&wanted.state_dir)?;
        let netlink = |source| Error::Exchange(source);
        let outside = Side::open().map_err(netlink)?;
        let entered = Entered::enter(&wanted.namespace)?;
        let made = Self::inside(wanted, &outside, &entered, &keys).await;
        match made {
            Ok((inside, device, exchange)) => Ok(Self {
                namespace: wanted.namespace.clone(),
                interface: wanted.interface(),
                entered,
                outside,
                inside,
                device,
                keys,
                exchange,
                applied: Applied::default(),
            }),
            Err(error) => {
                // The thread must begin anew where it came from.
                let _ = entered.leave();
                Err(error)
            }
        }
    }

    /// What is made while the thread is in the namespace.
    async fn inside(
        wanted: &Wanted,
        outside: &Side,
        entered: &Entered,
        keys: &Keys,
    ) -> Result<(Side, Device, Exchange), Error> {
        let name = wanted.interface();
        links::make_router()?;
        let inside = Side::open().map_err(Error::Exchange)?;
        inside.take_up_loopback().await?;
        let device = device(wanted, &name, (outside, &inside), entered).await?;
        let present = device.read().map_err(|source| Error::Device { what: "read", source })?;
        let listen = (present.listen != wanted.listen).then_some(wanted.listen);
        let private_key = Some(keys.present());
        let change = DeviceChange { private_key, listen, ..DeviceChange::default() };
        device.apply(&change).map_err(|source| Error::Device { what: "set", source })?;
        inside.take_up(&name).await?;
        inside.confine_decrypted(&name).await?;
        let exchange = open_exchange(&inside, &name, keys).await?;
        Ok((inside, device, exchange))
    }

    /// Whether this is the one that a configuration asks for.
    pub fn is_of(&self, wanted: &Wanted) -> bool {
        self.namespace == wanted.namespace
    }

    /// The socket of the reports.
    pub fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// The keys of this site.
    pub fn keys(&mut self) -> &mut Keys {
        &mut self.keys
    }

    /// What encrypts.
    pub fn implementation(&self) -> &'static str {
        self.device.implementation()
    }

    /// Where reports of each site come from: the addresses that its keys authenticate.
    pub fn senders(wanted: &Wanted) -> BTreeMap<Ipv6Addr, Name> {
        let sites = wanted.sites.iter();
        let one = |site: &WantedSite| {
            let name = site.name.clone();
            let addresses = site.keys.iter().map(report_address);
            addresses.map(move |address| (address, name.clone())).collect::<Vec<_>>()
        };
        sites.flat_map(one).collect()
    }

    /// Sends each site what it needs to know.
    pub fn report(&self, wanted: &Wanted) {
        for site in &wanted.sites {
            let report =
                Report::new((&wanted.site, &site.name), &site.keys, (&site.wants, &site.offers));
            let Some(bytes) = report.encode() else {
                warn!("site {}: the report is too long; it has too many services", site.name);
                continue;
            };
            // While it changes its key, it is not known which of them it has.
            for key in &site.keys {
                self.exchange.send(key, &bytes);
            }
        }
    }

    /// Uses the next key from now on.
    pub async fn advance(&mut self) -> Result<(), Error> {
        self.keys.advance()?;
        let private_key = Some(self.keys.present());
        let change = DeviceChange { private_key, ..DeviceChange::default() };
        self.device.apply(&change).map_err(|source| Error::Device { what: "set", source })?;
        self.exchange = open_exchange(&self.inside, &self.interface, &self.keys).await?;
        info!("this site uses the key {} from now on", self.keys.present().public());
        Ok(())
    }

    /// Reconciles the pairs of interfaces, and the routes.
    pub async fn reconcile_links(&mut self, wanted: &Wanted) -> Result<(), Error> {
        let (outside, inside) = (self.outside.interfaces().await?, self.inside.interfaces().await?);
        let names: BTreeSet<&str> = wanted.sites.iter().map(|site| &*site.interface).collect();
        for name in inside.keys().filter(|name| name.starts_with("site-")) {
            if !names.contains(name.as_str()) {
                self.inside.remove(name).await?;
                self.applied.pairs.remove(name);
            }
        }
        for site in &wanted.sites {
            let name = &site.interface;
            if !outside.contains_key(name) || !inside.contains_key(name) {
                // One end without the other leads nowhere.
                self.outside.remove(name).await?;
                self.inside.remove(name).await?;
                self.applied.pairs.remove(name);
                self.outside.add_pair(name, self.entered.inside().as_fd()).await?;
            }
            let routes = BTreeSet::from([site.here]);
            if self.applied.pairs.get(name) == Some(&routes) {
                continue;
            }
            self.outside.take_up(name).await?;
            self.inside.take_up(name).await?;
            let failed = |source| Error::Features { name: name.clone(), source };
            features::poll(name).map_err(failed)?;
            self.inside.set_addresses(name, &BTreeSet::new(), true).await?;
            let before = self.applied.pairs.get(name).cloned().unwrap_or_default();
            for decrypted in [false, true] {
                self.inside.set_routes(name, (&routes, &before), decrypted).await?;
            }
            self.applied.pairs.insert(name.clone(), routes);
        }
        let reports = wanted.sites.iter().flat_map(|site| &site.keys).map(report_address);
        let theirs = wanted.sites.iter().map(|site| site.there);
        let routes: BTreeSet<Ipv6Net> = theirs.chain(reports.map(Ipv6Net::from)).collect();
        if routes != self.applied.routes {
            let all = (&routes, &self.applied.routes);
            self.inside.set_routes(&self.interface, all, false).await?;
            self.applied.routes = routes;
        }
        Ok(())
    }

    /// Reconciles the peers; `views` gets what WireGuard tells of them.
    pub fn reconcile_peers(
        &mut self,
        wanted: &Wanted,
        views: &mut BTreeMap<Name, SiteView>,
        now: Instant,
    ) -> Result<(), Error> {
        let present =
            self.device.read().map_err(|source| Error::Device { what: "read", source })?;
        let mut change = DeviceChange {
            listen: (present.listen != wanted.listen).then_some(wanted.listen),
            ..DeviceChange::default()
        };
        let mut listed = BTreeSet::new();
        for site in &wanted.sites {
            let view = views.entry(site.name.clone()).or_default();
            let active = self.choose(site, &present);
            self.applied.active.insert(site.name.clone(), active);
            view.public_key = Some(active);
            let peer = present.peers.get(&active).cloned().unwrap_or_default();
            (view.endpoint, view.handshake) = (peer.endpoint, peer.handshake);
            view.bytes = (peer.received, peer.sent);
            let seeks = self.seeks(site, view, now);
            for key in &site.keys {
                listed.insert(*key);
                let peer = present.peers.get(key);
                let endpoint = self.endpoint(site, peer.and_then(|peer| peer.endpoint), seeks);
                let report = Ipv6Net::from(report_address(key));
                let own = (*key == active).then_some(site.there);
                let allowed: BTreeSet<Ipv6Net> = own.into_iter().chain([report]).collect();
                let keepalive = site.keepalive;
                // What is right is not written again: for a moment, its packets would be strangers'.
                let is_right = peer.is_some_and(|peer| {
                    peer.allowed == allowed && peer.keepalive == keepalive && endpoint.is_none()
                });
                if !is_right {
                    change.peers.push((*key, PeerChange { endpoint, keepalive, allowed }));
                }
            }
        }
        change.removed.extend(present.peers.keys().filter(|key| !listed.contains(*key)));
        if change.listen.is_some() || !change.peers.is_empty() || !change.removed.is_empty() {
            self.device.apply(&change).map_err(|source| Error::Device { what: "set", source })?;
        }
        let addresses = wanted.sites.iter().map(|site| (site.name.clone(), site.address));
        self.applied.addresses = addresses.collect();
        Ok(())
    }

    /// Where a site is from now on; `None` leaves it where it was last heard.
    fn endpoint(
        &self,
        site: &WantedSite,
        known: Option<SocketAddr>,
        seeks: Seek,
    ) -> Option<SocketAddr> {
        // What a daemon before has learned is kept: the site may have moved since.
        let before = self.applied.addresses.get(&site.name);
        let is_new = before.is_some_and(|before| *before != site.address);
        match (known, seeks) {
            (None, _) | (Some(_), Seek::AtItsAddress) => site.address,
            (Some(_), Seek::No | Seek::WhereItWas) if is_new => site.address,
            // Told again, WireGuard forgets from which of this host's addresses it has sent.
            (Some(known), Seek::WhereItWas) => Some(known),
            (Some(_), Seek::No) => None,
        }
    }

    /// Whether a site that does not report is to be sought, and where.
    fn seeks(&mut self, site: &WantedSite, view: &SiteView, now: Instant) -> Seek {
        let last = view.heard.or(view.since);
        let is_quiet = last.is_some_and(|last| now.duration_since(last) >= QUIET);
        let sought = self.applied.sought.get(&site.name);
        if !is_quiet || sought.is_some_and(|at| now.duration_since(*at) < QUIET) {
            return Seek::No;
        }
        self.applied.sought.insert(site.name.clone(), now);
        match view.silence(now) {
            Some(_) if site.address.is_some() => Seek::AtItsAddress,
            Some(_) | None => Seek::WhereItWas,
        }
    }

    /// The key that a site uses: that of its latest handshake.
    fn choose(&self, site: &WantedSite, present: &DeviceState) -> PublicKey {
        let handshake = |key: &PublicKey| present.peers.get(key).and_then(|peer| peer.handshake);
        let before = self.applied.active.get(&site.name).filter(|key| site.keys.contains(key));
        let mut chosen = before.or(site.keys.first()).copied();
        for key in &site.keys {
            if chosen.is_none_or(|chosen| handshake(key) > handshake(&chosen)) {
                chosen = Some(*key);
            }
        }
        // The model has at least one key for each site.
        chosen.unwrap_or(PublicKey::new([0; PublicKey::LENGTH]))
    }

    /// Leaves everything as it is, for the next daemon.
    pub fn leave(self) {
        if let Err(error) = self.entered.leave() {
            warn!("cannot leave the transport namespace: {error}");
        }
    }

    /// Removes links, interfaces and namespace.
    pub async fn remove(self, wanted: Option<&Wanted>) -> Result<(), Error> {
        let Self { namespace, interface, entered, outside, inside, .. } = self;
        // `wireguard-go` ends with its interface.
        inside.remove(&interface).await?;
        for site in wanted.iter().flat_map(|wanted| &wanted.sites) {
            outside.remove(&site.interface).await?;
        }
        let left = entered.leave();
        left.map_err(|source| Error::Namespace { what: "leave", name: namespace.clone(), source })?;
        namespace::remove(&namespace)
    }
}

/// The interface that encrypts: found, or made.
async fn device(
    wanted: &Wanted,
    name: &str,
    (outside, inside): (&Side, &Side),
    entered: &Entered,
) -> Result<Device, Error> {
    let userspace = UserspaceDevice::new(name);
    let is_inside = inside.interfaces().await?.contains_key(name);
    if is_inside {
        // Of a daemon before, with its sessions.
        if userspace.read().is_ok() {
            return Ok(Device::Userspace(userspace));
        }
        let kernel = kernel(name)?;
        if kernel.read().is_ok() {
            return Ok(Device::Kernel(kernel));
        }
        inside.remove(name).await?;
    }
    if wanted.wireguard != WireGuard::Userspace && outside.add_wireguard(name).await? {
        outside.move_to(name, entered.inside().as_fd()).await?;
        return Ok(Device::Kernel(kernel(name)?));
    }
    if wanted.wireguard == WireGuard::Kernel {
        return Err(Error::NoKernelWireGuard);
    }
    // Without an interface, a process that answers serves one that was being moved.
    if userspace.read().is_err() {
        start(name, entered)?;
        let (pause, times) = STARTING;
        for _ in 0..times {
            if userspace.read().is_ok() {
                break;
            }
            sleep(pause).await;
        }
    }
    userspace.read().map_err(Error::Start)?;
    outside.move_to(name, entered.inside().as_fd()).await?;
    Ok(Device::Userspace(userspace))
}

fn kernel(name: &str) -> Result<KernelDevice, Error> {
    KernelDevice::new(name).map_err(|source| Error::Device { what: "name", source })
}

/// Starts `wireguard-go`, which goes on by itself: it outlives the daemon, as the kernel's does.
fn start(name: &str, entered: &Entered) -> Result<(), Error> {
    let mut command = Command::new("wireguard-go");
    // It warns where the kernel could do the work, and asks for this to go on.
    command.arg(name).env("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1");
    command.env("LOG_LEVEL", "error");
    let status = entered.run_outside(command).map_err(Error::Start)?;
    if status.success() { Ok(()) } else { Err(Error::Start(io::Error::other(status.to_string()))) }
}

/// Opens the socket of the reports at the address that goes with this site's key.
async fn open_exchange(inside: &Side, interface: &str, keys: &Keys) -> Result<Exchange, Error> {
    let present = keys.present().public();
    let own = BTreeSet::from([report_address(&present)]);
    inside.set_addresses(interface, &own, false).await?;
    Exchange::open(&present).map_err(Error::Exchange)
}
