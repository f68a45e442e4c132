//! Many flows that say nothing: each is one datagram, and its echo, from a port of its own.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    ops::Range,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Daemon, Host, client};

/// A host's flows to one echo.
#[derive(Debug)]
pub struct Crowd<'h> {
    host: &'h Host,
    echo: SocketAddr,
    ports: Range<u16>,
}

impl<'h> Crowd<'h> {
    /// Flows from these ports of a host; none of them is there yet.
    pub fn new(host: &'h Host, echo: SocketAddr, ports: Range<u16>) -> Self {
        Self { host, echo, ports }
    }

    /// Exchanges a datagram over each flow.
    ///
    /// # Errors
    /// When one is not answered within `timeout`.
    pub fn speak(&self, timeout: Duration) -> Result<()> {
        let any = if self.echo.is_ipv4() { "0.0.0.0" } else { "::" };
        self.host.run(|| {
            for port in self.ports.clone() {
                let socket = UdpSocket::bind((any, port))
                    .with_context(|| format!("cannot bind port {port}"))?;
                socket.connect(self.echo)?;
                client::udp_exchange(&socket, &port.to_be_bytes(), timeout)
                    .with_context(|| format!("from port {port}"))?;
            }
            Ok(())
        })
    }
}

/// Who speaks with whom by which source port, for every flow that the daemon lists.
///
/// # Errors
/// When it lists none.
pub fn flows(daemon: &Daemon) -> Result<BTreeSet<String>> {
    let listed = daemon.ask(&["flows", "--json", "--limit", "100000000"])?;
    let listed = listed.as_array().context("`flows --json` is no list")?;
    let word = |flow: &serde_json::Value, key: &str| {
        flow.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let keys = ["endpoint", "protocol", "client", "address", "source", "target"];
    Ok(listed.iter().map(|flow| keys.map(|key| word(flow, key)).join(" ")).collect())
}
