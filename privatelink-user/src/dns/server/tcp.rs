//! Answers queries over TCP.

use std::{
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    answer::{Reply, Transport, answer, failed},
    connections::Place,
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
/// Maximum number of forwarded queries of a connection at a time.
const PIPELINED: usize = 32;
/// Maximum length of a query.
const QUERY: usize = 4_096;

/// Answers queries on all connections to a listener.
pub async fn serve(socket: OwnedFd, network: Arc<Network>) -> io::Result<()> {
    let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
    // Dropping the set ends its connections.
    let mut conversations = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while conversations.try_join_next().is_some() {}
        let Ok((stream, client)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let network = Arc::clone(&network);
        conversations.spawn_local(async move {
            let client = client.ip();
            let (place, gives_way) = network.connections.enter(client, Instant::now());
            // An error concerns this client only.
            select! {
                _ = timeout(LONGEST, converse(stream, client, &network, &place)) => {}
                _ = gives_way => {}
            }
        });
    }
}

/// Answers the queries of a connection. Those that are forwarded do not hold up the others behind
/// them (RFC 7766, section 6.2.1.1): a client tells answers apart by identifier and question.
async fn converse(
    stream: TcpStream,
    client: IpAddr,
    network: &Arc<Network>,
    place: &Place<'_>,
) -> io::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let writer = Rc::new(Mutex::new(writer));
    // Dropping the set ends what is under way.
    let mut forwarded = JoinSet::new();
    let mut out = Vec::new();
    loop {
        if forwarded.len() >= PIPELINED {
            forwarded.join_next().await;
        }
        while forwarded.try_join_next().is_some() {}
        let Ok(Ok(query)) = timeout(IDLE, read(&mut reader)).await else { break };
        place.used(Instant::now());
        network.counters().tcp.queries += 1;
        if network.limiter().allowance(client, Instant::now()) != Allowance::Answer {
            network.counters().tcp.limited += 1;
            break;
        }
        let served = network.served();
        match answer(&served.table, &query, Transport::Tcp, &mut out) {
            Reply::Silence => {
                network.counters().tcp.ignored += 1;
                break;
            }
            Reply::Answer => send(&writer, network, &out).await?,
            Reply::Forward { .. } => {
                let (writer, network) = (Rc::clone(&writer), Arc::clone(network));
                forwarded.spawn_local(async move {
                    let mut out = Vec::new();
                    match forward::forward(&network, &query, Transport::Tcp).await {
                        Some(answer) => out = answer,
                        None => failed(&query, &mut out),
                    }
                    // A client that does not take it ends the connection by that.
                    let _ = send(&writer, &network, &out).await;
                });
            }
        }
    }
    // One that asks nothing more may still wait for answers.
    while forwarded.join_next().await.is_some() {}
    Ok(())
}

/// Sends an answer, whole before any other.
async fn send(writer: &Mutex<OwnedWriteHalf>, network: &Network, out: &[u8]) -> io::Result<()> {
    network.counters().tcp.answered(out);
    let length = u16::try_from(out.len()).map_err(io::Error::other)?.to_be_bytes();
    let message = [&length[..], out].concat();
    let mut writer = writer.lock().await;
    let written = timeout(IDLE, writer.write_all(&message)).await;
    written.map_err(io::Error::from)?
}

async fn read(stream: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY {
        return Err(io::Error::other("query is too long"));
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
