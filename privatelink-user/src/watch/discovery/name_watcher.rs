//! Resolves targets' DNS names, and resolves them again when the answer's TTL has expired.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::{Duration, Instant},
};

use hickory_resolver::{
    Resolver,
    config::{NameServerConfig, ResolverConfig},
    net::{
        NetError,
        runtime::{RuntimeProvider, TokioRuntimeProvider, iocompat::AsyncIoTokioAsStd},
    },
    proto::rr::RecordType,
};
use ipnet::IpNet;
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::mpsc::UnboundedSender,
    time::{sleep, timeout},
};

use super::{
    finding::{Finding, WatchedName},
    tasks::Tasks,
};
use crate::{model::Interface, supervision::keep_polling};

/// Minimum interval between two queries for a name, whatever its TTL.
const SHORTEST: Duration = Duration::from_secs(1);
/// Maximum interval: the host's own /etc/hosts may change at any time.
const LONGEST: Duration = Duration::from_secs(300);
/// Interval after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Timeout of one query.
const PATIENCE: Duration = Duration::from_secs(2);
/// Number of queries before a name counts as unanswered.
const ATTEMPTS: usize = 2;
/// Connect timeout towards a name server.
const CONNECT: Duration = Duration::from_secs(5);

/// Resolves names, until it is dropped.
#[derive(Debug)]
pub struct NameWatcher {
    tasks: Tasks<WatchedName>,
    findings: UnboundedSender<Finding>,
}

impl NameWatcher {
    /// Resolves nothing yet; results will go to `findings`.
    pub fn new(findings: UnboundedSender<Finding>) -> Self {
        Self { tasks: Tasks::default(), findings }
    }

    /// Resolves these names from now on, and no others.
    pub fn follow(&mut self, wanted: &BTreeSet<WatchedName>) {
        self.tasks.follow(wanted, |watched| {
            let findings = self.findings.clone();
            tokio::spawn(async move {
                let begin = || poll(watched.clone(), findings.clone());
                keep_polling("a watcher of names", begin).await;
            })
        });
    }
}

async fn poll(watched: WatchedName, findings: UnboundedSender<Finding>) {
    let mut last = None;
    loop {
        let (found, pause) = match ask(&watched).await {
            Ok((addresses, valid)) => (Ok(addresses), valid.clamp(SHORTEST, LONGEST)),
            Err(why) => (Err(why), RETRY),
        };
        if last.as_ref() != Some(&found) {
            last = Some(found.clone());
            if findings.send(Finding::Name(watched.clone(), found)).is_err() {
                return;
            }
        }
        sleep(pause).await;
    }
}

/// Addresses of both families in ascending order, and how long they are valid.
async fn ask(watched: &WatchedName) -> Result<(Vec<IpAddr>, Duration), String> {
    // A new resolver each time: the host's settings may have changed, and a cache must not answer.
    let runtime = InterfaceRuntime {
        network: watched.network.clone(),
        tokio: TokioRuntimeProvider::default(),
    };
    let mut builder = if watched.servers.is_empty() {
        let read = |error: NetError| format!("cannot read the host's /etc/resolv.conf: {error}");
        Resolver::builder(runtime).map_err(read)?
    } else {
        let servers = watched.servers.iter().copied().map(NameServerConfig::udp_and_tcp);
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Resolver::builder_with_config(config, runtime)
    };
    builder.options_mut().timeout = PATIENCE;
    builder.options_mut().attempts = ATTEMPTS;
    let resolver = builder.build().map_err(|error| error.to_string())?;
    // Fully qualified, so that no search list applies.
    let name = format!("{}.", watched.name);
    let mut addresses = BTreeSet::new();
    let mut until: Option<Instant> = None;
    for family in [RecordType::A, RecordType::AAAA] {
        let lookup = match resolver.lookup(name.as_str(), family).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() && !error.is_nx_domain() => continue,
            Err(error) if error.is_nx_domain() => return Err("the name does not exist".into()),
            // With the addresses of one family only, the other's targets would be removed.
            Err(error) => return Err(error.to_string()),
        };
        let valid = lookup.valid_until();
        until = Some(until.map_or(valid, |until| until.min(valid)));
        addresses.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()));
    }
    match until {
        Some(until) => {
            Ok((addresses.into_iter().collect(), until.saturating_duration_since(Instant::now())))
        }
        None => Err("the name has no addresses".into()),
    }
}

/// Reaches name servers in the targets' network through its interface, and others by the host's
/// routes.
#[derive(Clone)]
struct InterfaceRuntime {
    network: Option<(Interface, Vec<IpNet>)>,
    tokio: TokioRuntimeProvider,
}

impl InterfaceRuntime {
    fn interface_to(&self, server: SocketAddr) -> Option<Interface> {
        let (interface, subnets) = self.network.as_ref()?;
        let inside = subnets.iter().any(|subnet| subnet.contains(&server.ip()));
        inside.then(|| interface.clone())
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for InterfaceRuntime {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        own: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pending<Self::Tcp> {
        let interface = self.interface_to(server);
        Box::pin(async move {
            let v4 = server.is_ipv4();
            let socket = if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(interface) = interface {
                socket.bind_device(Some(interface.as_str().as_bytes()))?;
            }
            if let Some(own) = own {
                socket.bind(own)?;
            }
            let connected = timeout(patience.unwrap_or(CONNECT), socket.connect(server)).await;
            Ok(AsyncIoTokioAsStd(connected.map_err(|_| io::ErrorKind::TimedOut)??))
        })
    }

    fn bind_udp(&self, own: SocketAddr, server: SocketAddr) -> Pending<Self::Udp> {
        let interface = self.interface_to(server);
        Box::pin(async move {
            let socket = UdpSocket::bind(own).await?;
            if let Some(interface) = interface {
                socket.bind_device(Some(interface.as_str().as_bytes()))?;
            }
            // From networks, the datapath lets nothing through but what a connected socket awaits.
            socket.connect(server).await?;
            Ok(socket)
        })
    }
}
