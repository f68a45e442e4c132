//! Asks the targets, by connections of the gateway's own: whether they answer where flows would go.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpSocket, task::JoinSet, time::timeout};

use super::{
    subject::{Link, Subject},
    walk::{self, Walk},
};
use crate::model::Protocol;

/// How long a target may take to answer.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// The most targets that one test asks.
const MOST: usize = 32;

/// What a target said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The target.
    pub at: SocketAddr,
    /// What it said.
    pub reply: Reply,
}

/// What a target said to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It accepted it, with segments of at most so many bytes.
    Accepted(Option<u32>),
    /// It refused it.
    Refused,
    /// Nothing.
    Silence,
    /// The gateway could not ask, for this reason; that says nothing of the target.
    Unasked(String),
}

/// Asks all targets that serve, at the ports that these packets lead to.
pub async fn all(subject: &Subject, walks: &[Walk]) -> Vec<Probed> {
    let ports = walks.iter().filter(|walk| walk.protocol == Protocol::Tcp);
    let ports: BTreeSet<u16> =
        ports.filter_map(|walk| Some(walk::target_port(subject, walk)?.get())).collect();
    let mut wanted = BTreeSet::new();
    for target in subject.serving() {
        // A connection to the gateway itself would tell a provider what its host serves.
        if subject.own_targets.contains(&target.address) {
            continue;
        }
        let Ok(address) = target.address.parse::<IpAddr>() else { continue };
        let is_range = target.ports.contains('-');
        let its = ports.iter().filter(|port| is_range || **port == target.port);
        let its: Vec<u16> = its.copied().collect();
        // A target may have a port of its own, whatever the listener says.
        let its = if its.is_empty() && !ports.is_empty() { vec![target.port] } else { its };
        wanted.extend(its.into_iter().map(|port| SocketAddr::new(address, port)));
    }
    let mut asked = JoinSet::new();
    for at in wanted.into_iter().take(MOST) {
        let link = subject.provider_link.clone();
        asked.spawn(async move { Probed { at, reply: ask(&link, at).await } });
    }
    let mut all = asked.join_all().await;
    all.sort_by_key(|probed| probed.at);
    all
}

async fn ask(link: &Link, at: SocketAddr) -> Reply {
    let (has_own, family) =
        if at.is_ipv4() { (link.own[0], "IPv4") } else { (link.own[1], "IPv6") };
    let Some(stack) = link.stack.as_ref().filter(|_| has_own) else {
        return Reply::Unasked(format!(
            "the gateway has no {family} address of its own on {} to ask from",
            link.interface
        ));
    };
    match timeout(PATIENCE, connect(stack, at)).await {
        Ok(Ok(segment)) => Reply::Accepted(segment),
        Err(_) => Reply::Silence,
        Ok(Err(error)) => match error.raw_os_error() {
            Some(libc::ECONNREFUSED | libc::ECONNRESET) => Reply::Refused,
            Some(libc::EHOSTUNREACH | libc::ETIMEDOUT) => Reply::Silence,
            _ => Reply::Unasked(error.to_string()),
        },
    }
}

async fn connect(interface: &str, at: SocketAddr) -> std::io::Result<Option<u32>> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind_device(Some(interface.as_bytes()))?;
    let stream = socket.connect(at).await?;
    Ok(socket2::SockRef::from(&stream).tcp_mss().ok())
}
