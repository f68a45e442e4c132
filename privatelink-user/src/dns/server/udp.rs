//! Answers queries over UDP, in batches.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::{io::Interest, net::UdpSocket, task::yield_now, time::sleep};

use super::{
    answer::{Reply, Transport, answer, failed, truncated},
    forward,
    limit::Allowance,
    network::Network,
};

/// Maximum number of queries in a batch, after which another socket has its turn.
const BATCH: usize = 32;
/// Maximum length of a query.
const LONGEST: usize = 1_500;
/// Wait after a failed receive.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers queries on a socket.
pub async fn serve(socket: OwnedFd, network: Arc<Network>) -> io::Result<()> {
    let socket = Rc::new(UdpSocket::from_std(std::net::UdpSocket::from(socket))?);
    let mut batch = QueryBatch::new();
    loop {
        let received = socket.async_io(Interest::READABLE, || batch.receive(&socket)).await;
        if received.is_err() {
            // For example an ICMP error from a client that no longer exists.
            sleep(PAUSE).await;
            continue;
        }
        let forwarded = batch.answer(&network);
        batch.send(&socket);
        for (client, query, most) in forwarded {
            tokio::task::spawn_local(forward_and_send(
                Rc::clone(&socket),
                network.clone(),
                client,
                query,
                most,
            ));
        }
        // Let another network's socket have its turn, however many queries wait in this one.
        yield_now().await;
    }
}

/// Forwards a query and sends the answer.
async fn forward_and_send(
    socket: Rc<UdpSocket>,
    network: Arc<Network>,
    client: SockaddrStorage,
    query: Vec<u8>,
    most: u16,
) {
    let mut out = Vec::new();
    match forward::forward(&network, &query, Transport::Udp).await {
        Some(answer) if answer.len() <= usize::from(most) => out = answer,
        Some(_) => drop(truncated(&query, &mut out)),
        None => failed(&query, &mut out),
    }
    network.counters().udp.answered(&out);
    send(&socket, &[(client, out)]);
}

/// Queries received together, and the answers to them.
struct QueryBatch {
    buffers: Vec<[u8; LONGEST]>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Sender and length of each query.
    received: Vec<(SockaddrStorage, usize)>,
    answers: Vec<(SockaddrStorage, Vec<u8>)>,
    /// Buffers for reuse.
    spare: Vec<Vec<u8>>,
}

impl QueryBatch {
    fn new() -> Self {
        Self {
            buffers: vec![[0; LONGEST]; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
            answers: Vec::with_capacity(BATCH),
            spare: Vec::new(),
        }
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.received.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages =
            recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)?;
        // A query without a source address gets no answer.
        let unknown = || SockaddrStorage::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let all = messages.map(|one| (one.address.unwrap_or_else(unknown), one.bytes));
        self.received.extend(all);
        Ok(())
    }

    /// Makes the answers, and returns the queries to forward.
    fn answer(&mut self, network: &Network) -> Vec<(SockaddrStorage, Vec<u8>, u16)> {
        let mut forwarded = Vec::new();
        let served = network.served();
        let now = Instant::now();
        let mut limiter = network.limiter();
        let count = &mut network.counters().udp;
        for ((client, length), buffer) in self.received.iter().zip(&self.buffers) {
            let (Some(address), Some(query)) = (ip(client), buffer.get(..*length)) else {
                continue;
            };
            count.queries += 1;
            let mut out = self.spare.pop().unwrap_or_default();
            let answered = match limiter.allowance(address, now) {
                Allowance::Nothing => {
                    count.limited += 1;
                    false
                }
                Allowance::Truncated if truncated(query, &mut out) => {
                    count.truncated += 1;
                    true
                }
                Allowance::Truncated => {
                    count.ignored += 1;
                    false
                }
                Allowance::Answer => match answer(&served.table, query, Transport::Udp, &mut out) {
                    Reply::Silence => {
                        count.ignored += 1;
                        false
                    }
                    Reply::Answer => {
                        count.answered(&out);
                        true
                    }
                    Reply::Forward { most } => {
                        forwarded.push((*client, query.to_vec(), most));
                        false
                    }
                },
            };
            if answered { self.answers.push((*client, out)) } else { self.spare.push(out) }
        }
        forwarded
    }

    fn send(&mut self, socket: &UdpSocket) {
        send(socket, &self.answers);
        self.spare.extend(self.answers.drain(..).map(|(_, buffer)| buffer));
    }
}

/// Sends what the socket accepts now. Other answers are lost, and the clients retry.
fn send(socket: &UdpSocket, answers: &[(SockaddrStorage, Vec<u8>)]) {
    let mut rest = answers;
    while !rest.is_empty() {
        let slices: Vec<[IoSlice<'_>; 1]> =
            rest.iter().map(|(_, answer)| [IoSlice::new(answer)]).collect();
        let clients: Vec<Option<SockaddrStorage>> =
            rest.iter().map(|(client, _)| Some(*client)).collect();
        let mut headers = MultiHeaders::preallocate(rest.len(), None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), clients, [], flags);
        // Skip an answer that cannot be sent, so that it does not block the others.
        let sent = sent.map_or(1, |sent| sent.count().max(1));
        rest = rest.get(sent..).unwrap_or_default();
    }
}

fn ip(client: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = client.as_sockaddr_in().filter(|one| one.port() != 0).map(|one| IpAddr::V4(one.ip()));
    let v6 = client.as_sockaddr_in6().filter(|one| one.port() != 0);
    v4.or_else(|| v6.map(|one| IpAddr::V6(one.ip())))
}
