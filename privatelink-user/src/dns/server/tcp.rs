//! Answers queries over TCP.

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

/// Timeout for a client's next query, and for reading its answer.
const IDLE: Duration = Duration::from_secs(5);
/// Maximum duration of a connection.
const LONGEST: Duration = Duration::from_secs(60);
/// Wait after a failed `accept`, for example when file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum length of a query.
const QUERY: usize = 4_096;

/// Answers queries on all connections to a listener.
pub async fn serve(socket: OwnedFd, network: Arc<Network>) -> io::Result<()> {
    let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
    // Dropping the set ends its connections.
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
            // An error concerns this client only.
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
        if network.limiter().allowance(client, Instant::now()) != Allowance::Answer {
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
        return Err(io::Error::other("query is too long"));
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
