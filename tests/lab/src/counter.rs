//! IP packets and bytes that a host sends, counted by its own kernel.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{network::DEVICE, network::Host, tool};

/// Counts what a host sends to some addresses; ends when the host goes.
#[derive(Debug)]
pub struct Counter<'a>(&'a Host);

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// IP packets.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

impl std::ops::Sub for Sent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

impl std::ops::Add for Sent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl<'a> Counter<'a> {
    /// Counts TCP and UDP packets to this IPv4 and this IPv6 address, or prefix.
    ///
    /// # Errors
    /// When `nft` or `ip` fails.
    pub fn of(host: &'a Host, v4: &str, v6: &str) -> Result<Self> {
        // Without this, a large segment would be counted before it is split.
        host.namespace().ip(&format!("link set {DEVICE} gso_max_segs 1"))?;
        let rules = format!(
            "table inet sent {{
                counter total {{}}
                chain out {{
                    type filter hook output priority 0;
                    meta l4proto {{ tcp, udp }} ip daddr {v4} counter name total
                    meta l4proto {{ tcp, udp }} ip6 daddr {v6} counter name total
                }}
            }}"
        );
        tool::run(host.command("nft").arg(rules))?;
        Ok(Self(host))
    }

    /// What was sent so far.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn sent(&self) -> Result<Sent> {
        let listed = tool::run(self.0.command("nft").args(["-j", "list", "counters"]))?;
        let listed: Value = serde_json::from_str(&listed).context("`nft -j` is not JSON")?;
        let objects = listed.get("nftables").and_then(Value::as_array);
        let mut counters = objects.into_iter().flatten().filter_map(|object| object.get("counter"));
        let counter = counters.next().context("`nft` lists no counter")?;
        let number = |key| counter.get(key).and_then(Value::as_u64).context("`nft` counts nothing");
        Ok(Sent { packets: number("packets")?, bytes: number("bytes")? })
    }
}
