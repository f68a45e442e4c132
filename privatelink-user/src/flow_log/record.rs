//! A record of the flow log, independent of its format.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use privatelink_common::{
    End, EndCause, Endpoint, Reason, RefusedFlow, Source, TCP, TICK_SHIFT, Target, UDP,
    flow::{Flow, Phase},
};
use serde::{Deserialize, Serialize};

use super::index_names::{EndpointNames, IndexNames};
use crate::{datapath::flow_records::FlowRecords, timestamp::Timestamp};

/// The datapath's clock and the wall clock, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The datapath's clock, in ticks.
    pub ticks: u32,
    /// The wall clock.
    pub now: Timestamp,
}

impl Clock {
    /// The wall clock at `tick`.
    pub fn at(&self, tick: u32) -> Timestamp {
        let age = self.ticks.wrapping_sub(tick);
        // A packet that arrived after the clock was read.
        let age = if age > u32::MAX / 2 { 0 } else { age };
        self.now.before(Duration::from_nanos(u64::from(age) << TICK_SHIFT))
    }
}

/// Why there is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// The flow has ended.
    End,
    /// The flow is live.
    Interval,
    /// The flow was refused.
    Refused,
    /// Records are missing.
    Lost,
}

/// A record of the flow log. Counts start at the flow's previous record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// Why there is a record.
    pub kind: RecordKind,
    /// `accept` or `reject`.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    /// Why the flow ended or was refused, or the phase of a live flow.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Name of the endpoint.
    #[serde(borrow)]
    pub endpoint: Cow<'a, str>,
    /// Name of the service.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// The consumer's network.
    #[serde(borrow)]
    pub network: Cow<'a, str>,
    /// The consumer's principal.
    #[serde(borrow)]
    pub principal: Cow<'a, str>,
    /// The provider's principal.
    #[serde(borrow)]
    pub provider: Cow<'a, str>,
    /// The provider's network.
    #[serde(borrow)]
    pub provider_network: Cow<'a, str>,
    /// `tcp`, `udp` or a number.
    #[serde(borrow)]
    pub protocol: Cow<'a, str>,
    /// Address and port of the client.
    pub client: SocketAddr,
    /// The endpoint's address and the listener's port.
    pub address: SocketAddr,
    /// The gateway's address and port towards the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SocketAddr>,
    /// Address and port of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SocketAddr>,
    /// Packets from the client.
    pub packets_in: u64,
    /// IP bytes of these packets.
    pub bytes_in: u64,
    /// Packets to the client.
    pub packets_out: u64,
    /// IP bytes of these packets.
    pub bytes_out: u64,
    /// TCP's flags from the client since the flow began: FIN 1, SYN 2, RST 4, ACK 16 with a SYN.
    pub tcp_flags_in: u8,
    /// TCP's flags to the client, likewise.
    pub tcp_flags_out: u8,
    /// When the flow began.
    pub opened: Timestamp,
    /// Begin of the period that the counts cover.
    pub start: Timestamp,
    /// Time of the last packet, which ends that period.
    pub end: Timestamp,
}

/// The counts of a flow in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DirectionCounts {
    pub packets_in: u32,
    pub packets_out: u32,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl DirectionCounts {
    /// The difference to earlier counts. Packets are counted modulo 2^32.
    pub fn since(self, before: Self) -> Self {
        Self {
            packets_in: self.packets_in.wrapping_sub(before.packets_in),
            packets_out: self.packets_out.wrapping_sub(before.packets_out),
            bytes_in: self.bytes_in.wrapping_sub(before.bytes_in),
            bytes_out: self.bytes_out.wrapping_sub(before.bytes_out),
        }
    }
}

/// A flow with the objects behind its indices.
pub(super) struct ResolvedFlow<'a> {
    /// The direction from the client.
    pub flow: &'a Flow,
    /// TCP's flags to the client.
    pub flags_out: u8,
    pub endpoint: &'a Endpoint,
    pub source: Source,
    pub target: &'a Target,
    /// Tick of the last packet.
    pub last_seen: u32,
}

impl ResolvedFlow<'_> {
    /// A record with these counts, which began at `start` or else with the flow.
    pub fn record<'n>(
        &self,
        names: &'n IndexNames,
        clock: &Clock,
        counts: DirectionCounts,
        start: Option<Timestamp>,
    ) -> Record<'n> {
        let flow = self.flow;
        let client = flow.client.to_ip();
        let address = match client {
            IpAddr::V4(_) => IpAddr::from(self.endpoint.v4.to_ne_bytes()),
            IpAddr::V6(_) => self.endpoint.v6.to_ip(),
        };
        let [client_port, listener_port] = flow.consumer_port_pair();
        let [target_port, source_port] = flow.provider_port_pair();
        let (opened, end) = (clock.at(flow.opened), clock.at(self.last_seen));
        let named = named(names, flow.endpoint());
        Record {
            client: SocketAddr::new(client, client_port),
            address: SocketAddr::new(address, listener_port),
            source: Some(SocketAddr::new(self.source.address.to_ip(), source_port)),
            target: Some(SocketAddr::new(self.target.address.to_ip(), target_port)),
            reason: Phase::of(flow.word).name().into(),
            protocol: protocol(flow.protocol().into()),
            packets_in: counts.packets_in.into(),
            bytes_in: counts.bytes_in,
            packets_out: counts.packets_out.into(),
            bytes_out: counts.bytes_out,
            tcp_flags_in: flow.tcp_flags(),
            tcp_flags_out: self.flags_out,
            opened,
            // The clock may have been set back since the previous record.
            start: start.unwrap_or(opened).min(end),
            end,
            ..named
        }
    }
}

/// A record of one direction of a live flow, without counts.
pub(crate) fn of_live<'n>(
    flow: &Flow,
    parts: &FlowRecords,
    names: &'n IndexNames,
    clock: &Clock,
) -> Option<Record<'n>> {
    let resolved = ResolvedFlow {
        flow,
        flags_out: 0,
        endpoint: parts.endpoints.get(&flow.endpoint())?,
        source: *parts.sources.get(&flow.source.into())?,
        target: parts.targets.get(&flow.target())?,
        last_seen: flow.last_seen,
    };
    Some(resolved.record(names, clock, DirectionCounts::default(), None))
}

/// The record of an ended flow.
pub(super) fn ended<'n>(
    end: &End,
    names: &'n IndexNames,
    clock: &Clock,
    counts: DirectionCounts,
    start: Option<Timestamp>,
) -> Record<'n> {
    let resolved = ResolvedFlow {
        flow: &end.flow,
        flags_out: Flow { word: end.word_out, ..Flow::default() }.tcp_flags(),
        endpoint: &end.endpoint,
        source: Source { address: end.source, ..Source::default() },
        target: &end.target,
        last_seen: end.last_seen,
    };
    let reason = EndCause::of(end.cause).map_or("unknown", EndCause::name);
    let record = resolved.record(names, clock, counts, start);
    Record { kind: RecordKind::End, reason: reason.into(), ..record }
}

/// TCP's flag that opens a flow.
const SYN: u8 = 2;

/// The record of a refused flow.
pub(super) fn refused<'n>(
    refused: &RefusedFlow,
    names: &'n IndexNames,
    clock: &Clock,
) -> Record<'n> {
    let pair = Flow { consumer_ports: refused.ports, ..Flow::default() }.consumer_port_pair();
    let [client_port, listener_port] = pair;
    let when = clock.at(refused.tick);
    Record {
        kind: RecordKind::Refused,
        verdict: "reject".into(),
        reason: Reason::of(refused.reason).map_or("unknown", Reason::name).into(),
        client: SocketAddr::new(refused.client.to_ip(), client_port),
        address: SocketAddr::new(refused.address.to_ip(), listener_port),
        protocol: protocol(refused.protocol),
        // Of TCP, only a SYN would have opened a flow.
        tcp_flags_in: if refused.protocol == u32::from(TCP) { SYN } else { 0 },
        packets_in: 1,
        bytes_in: refused.length.into(),
        opened: when,
        start: when,
        end: when,
        ..named(names, refused.endpoint)
    }
}

/// A record with the names of an endpoint and no other values.
fn named(names: &IndexNames, index: u32) -> Record<'_> {
    let nowhere = SocketAddr::new(IpAddr::from([0; 4]), 0);
    let unknown = Timestamp::from_millis(0);
    let name =
        |name: fn(&EndpointNames) -> &str| Cow::Borrowed(names.endpoint(index).map_or("", name));
    Record {
        kind: RecordKind::Interval,
        verdict: "accept".into(),
        reason: "".into(),
        endpoint: name(|names| &names.endpoint),
        service: name(|names| &names.service),
        network: name(|names| &names.network),
        principal: name(|names| &names.principal),
        provider: name(|names| &names.provider),
        provider_network: name(|names| &names.provider_network),
        protocol: "".into(),
        client: nowhere,
        address: nowhere,
        source: None,
        target: None,
        packets_in: 0,
        bytes_in: 0,
        packets_out: 0,
        bytes_out: 0,
        tcp_flags_in: 0,
        tcp_flags_out: 0,
        opened: unknown,
        start: unknown,
        end: unknown,
    }
}

fn protocol(number: u32) -> Cow<'static, str> {
    if number == u32::from(TCP) {
        "tcp".into()
    } else if number == u32::from(UDP) {
        "udp".into()
    } else {
        number.to_string().into()
    }
}
