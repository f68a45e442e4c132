//! Queries over connections: where a datagram is too small.

use std::{
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    answer::{Reply, Transport, answer, failed},
    forward,
    limit::Allowance,
    network::Network,
};

/// How long a client may take for its next query, and for taking its answer.
const IDLE: Duration = Duration::from_secs(5);
/// How long one conversation may last.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait after the socket has refused a connection, for want of descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest query that is looked at.
const QUERY: usize = 4_096;

/// Answers whoever connects.
pub async fn serve(socket: OwnedFd, network: Arc<Network>) -> io::Result<()> {
    let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
    // They end with this one.
    let mut conversations = JoinSet::new();
    loop {
        let Ok(room) = Arc::clone(&network.connections).acquire_owned().await else {
            return Ok(());
        };
        let accepted = listener.accept().await;
        while conversations.try_join_next().is_some() {}
        let Ok((stream, client)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let network = Arc::clone(&network);
        conversations.spawn_local(async move {
            // How it ends is the client's business.
            let _ = timeout(LONGEST, converse(stream, client.ip(), &network)).await;
            drop(room);
        });
    }
}

async fn converse(mut stream: TcpStream, client: IpAddr, network: &Network) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let Ok(query) = timeout(IDLE, read(&mut stream)).await else { return Ok(()) };
        let query = query?;
        network.counters().tcp.queries += 1;
        if network.limiter().share(client, Instant::now()) != Allowance::Answer {
            network.counters().tcp.limited += 1;
            return Ok(());
        }
        let served = network.served();
        match answer(&served.table, &query, Transport::Tcp, &mut out) {
            Reply::Silence => {
                network.counters().tcp.ignored += 1;
                return Ok(());
            }
            Reply::Answer => {}
            Reply::Forward { .. } => {
                match forward::forward(network, &query, Transport::Tcp).await {
                    Some(answer) => out = answer,
                    None => failed(&query, &mut out),
                }
            }
        }
        network.counters().tcp.answered(&out);
        let length = u16::try_from(out.len()).map_err(io::Error::other)?.to_be_bytes();
        let written = timeout(IDLE, stream.write_all(&[&length[..], &out].concat())).await;
        written.map_err(io::Error::from)??;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY {
        return Err(io::Error::other("a query is too long"));
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
