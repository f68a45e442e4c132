//! Forwards queries for other names to the network's own name servers, through its own interface.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::op::{Message, MessageType};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    answer::{Transport, keep_authentic},
    network::{Network, NetworkSnapshot},
    random::unpredictable,
};
use crate::dns::sockets::PORT;

/// Timeout of one name server.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Asks the network's name servers in order; `None` if none of them answers or too many queries
/// wait already.
pub async fn forward(network: &Network, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let answer = ask_all(network, query, transport).await;
    let mut counters = network.counters();
    let count = if answer.is_some() { &mut counters.forwarded } else { &mut counters.failed };
    *count += 1;
    drop(counters);
    answer
}

async fn ask_all(network: &Network, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let _room = network.forwarded.try_acquire().ok()?;
    let served = network.served();
    for server in &served.table.forwarders {
        let asked = timeout(PATIENCE, ask(&served, *server, query, transport)).await;
        if let Ok(Ok(mut answer)) = asked {
            keep_authentic(query, &mut answer);
            return Some(answer);
        }
    }
    None
}

async fn ask(
    served: &NetworkSnapshot,
    server: IpAddr,
    query: &[u8],
    transport: Transport,
) -> io::Result<Vec<u8>> {
    let server = SocketAddr::new(server, PORT);
    let mut query = query.to_vec();
    let mut own = [0; 2];
    if let Some(id) = query.first_chunk_mut::<2>() {
        // A random identifier and port protect against forged answers.
        own = std::mem::replace(id, unpredictable());
    }
    let mut answer = match transport {
        Transport::Udp => by_udp(served, server, &query).await?,
        Transport::Tcp => by_tcp(served, server, &query).await?,
    };
    if let Some(id) = answer.first_chunk_mut::<2>() {
        *id = own;
    }
    Ok(answer)
}

async fn by_udp(served: &NetworkSnapshot, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    // A new socket for each query, so that the kernel chooses a random port.
    let socket = bound(served, server, Type::DGRAM)?;
    socket.connect(&server.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if answers(query, answer) {
            return Ok(answer.to_vec());
        }
    }
}

async fn by_tcp(served: &NetworkSnapshot, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = TcpSocket::from_std_stream(bound(served, server, Type::STREAM)?.into());
    let mut stream: TcpStream = socket.connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?.to_be_bytes();
    stream.write_all(&[&length[..], query].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if answers(query, &answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A socket bound to the network's interface.
fn bound(served: &NetworkSnapshot, server: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), kind.nonblocking(), None)?;
    socket.bind_device(Some(served.interface().as_bytes()))?;
    Ok(socket)
}

/// Whether `answer` responds to `query`.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    let (Ok(query), Ok(answer)) = (Message::from_vec(query), Message::from_vec(answer)) else {
        return false;
    };
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == query.metadata.id
        && answer.queries == query.queries
}
