//! Opens flows through a program as clients and targets do: one packet after the other, each on the
//! interface on which it would arrive.

use std::net::SocketAddrV4;

use anyhow::{Context, Result, ensure};
use aya::programs::Xdp;

use super::harness::test_run;
use super::host::Ports;
use super::packet::{FlowTuple, Protocol, Segment, check_translation, frame};
use super::subject::XDP_REDIRECT;

/// Opens a flow: SYN, SYN-ACK and ACK, or one datagram each way. Returns the source that the
/// target saw.
///
/// # Errors
///
/// When a packet is not forwarded, or not translated as it should be.
pub fn open(
    program: &Xdp,
    flow: &FlowTuple,
    protocol: Protocol,
    ports: &Ports,
) -> Result<SocketAddrV4> {
    let conversation = Conversation { program, flow, protocol, ports };
    let source = conversation.ask(Segment::Syn)?;
    conversation.answer(source)?;
    if protocol == Protocol::Tcp {
        conversation.ask(Segment::Ack)?;
    }
    Ok(source)
}

struct Conversation<'a> {
    program: &'a Xdp,
    flow: &'a FlowTuple,
    protocol: Protocol,
    ports: &'a Ports,
}

impl Conversation<'_> {
    fn ask(&self, segment: Segment) -> Result<SocketAddrV4> {
        let macs = &self.ports.macs;
        let ends = (macs.client, macs.consumer_port);
        let FlowTuple { client, endpoint, .. } = *self.flow;
        let before = frame(ends, client, endpoint, self.protocol, segment, 64)?;
        let after =
            self.forwarded(self.ports.consumer, &before).with_context(|| format!("{segment:?}"))?;
        check_translation(&before, &after, self.flow, macs)
            .with_context(|| format!("{segment:?} from {client}"))
    }

    fn answer(&self, source: SocketAddrV4) -> Result<()> {
        let macs = &self.ports.macs;
        let ends = (macs.target, macs.provider_port);
        let FlowTuple { client, endpoint, target, .. } = *self.flow;
        let before = frame(ends, target, source, self.protocol, Segment::SynAck, 64)?;
        let after = self.forwarded(self.ports.provider, &before).context("the answer")?;
        // Seen from the target, the roles and the ends of the cable are swapped.
        let back = FlowTuple { client: target, endpoint: source, source: endpoint, target: client };
        let reversed = super::packet::Macs {
            client: macs.target,
            consumer_port: macs.provider_port,
            provider_port: macs.consumer_port,
            target: macs.client,
        };
        let seen = check_translation(&before, &after, &back, &reversed)
            .with_context(|| format!("the answer to {client}"))?;
        ensure!(seen == endpoint, "the answer to {client} comes from {seen}, not {endpoint}");
        Ok(())
    }

    fn forwarded(&self, ingress: u32, frame: &[u8]) -> Result<Vec<u8>> {
        let mut out = vec![0; frame.len()];
        let (action, size) = test_run(self.program, ingress, frame, 1, Some(&mut out))?;
        let client = self.flow.client;
        ensure!(action == XDP_REDIRECT, "a packet of {client} got action {action}");
        out.truncate(size);
        Ok(out)
    }
}
