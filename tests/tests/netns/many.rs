//! High volume: as many flows as a source address has ports, and many bytes.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeSet,
    env,
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
        sockopt,
    },
};
use privatelink_tests::lab::{Daemon, Host, client, provider::ECHO_PORT};

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, Scene, at, lay};

/// Each port of each address is a separate client; a few sockets serve them all.
const ADDRESSES: u16 = 240;
const PORTS: u16 = 250;
const FIRST_PORT: u16 = 20_000;
const FLOWS: usize = ADDRESSES as usize * PORTS as usize;
/// The prefix of the clients' addresses, which their host serves as local.
const CLIENTS: [u8; 3] = [10, 1, 7];
/// The only address from which the gateway speaks to the target.
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 240);
/// Datagrams on their way at a time: few enough that no buffer overflows.
const WINDOW: usize = 48;
/// How often the server looks whether it should end.
const POLL: Duration = Duration::from_millis(50);

/// One client's port: a socket that speaks from many addresses.
struct Clients(UdpSocket);

impl Clients {
    fn bind(port: u16) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_read_timeout(Some(SOON))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        Ok(Self(socket))
    }

    fn send(&self, from: Ipv4Addr, to: SocketAddrV4, payload: &[u8]) -> Result<()> {
        let any = libc::in_addr { s_addr: 0 };
        let from = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
        let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let (fd, to) = (self.0.as_raw_fd(), SockaddrIn::from(to));
        let sent = sendmsg(fd, &[IoSlice::new(payload)], &control, MsgFlags::empty(), Some(&to))?;
        ensure!(sent == payload.len(), "{sent} bytes of a datagram were sent");
        Ok(())
    }

    /// One datagram, and the address at which it arrived.
    fn receive(&self) -> Result<(Ipv4Addr, Vec<u8>)> {
        let (mut buffer, mut space) = ([0; 128], cmsg_space!(libc::in_pktinfo));
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let fd = self.0.as_raw_fd();
        let message = recvmsg::<SockaddrIn>(fd, &mut parts, Some(&mut space), MsgFlags::empty())
            .context("a datagram did not come back")?;
        let length = message.bytes;
        let Some(ControlMessageOwned::Ipv4PacketInfo(info)) = message.cmsgs()?.next() else {
            bail!("the kernel does not say where a datagram arrived");
        };
        let at = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
        Ok((at, buffer[..length].to_vec()))
    }
}

fn address(number: u16) -> Ipv4Addr {
    let [a, b, c] = CLIENTS;
    Ipv4Addr::new(a, b, c, u8::try_from(number).unwrap())
}

/// The payload of one client in a round, which is unique.
fn words(from: Ipv4Addr, port: u16, round: u8) -> Vec<u8> {
    format!("round {round} of {from} port {port}").into_bytes()
}

/// Sends every client's payload and receives its echo; returns the source ports that the server
/// saw, in the clients' order.
fn round(clients: &[Clients], number: u8, endpoint: SocketAddrV4) -> Result<Vec<u16>> {
    let mut known_as = vec![0; FLOWS];
    let every: Vec<u16> = (0..ADDRESSES).collect();
    for (of_port, (client, port)) in clients.iter().zip(FIRST_PORT..).enumerate() {
        for some in every.chunks(WINDOW) {
            for &index in some {
                let from = address(index);
                client.send(from, endpoint, &words(from, port, number))?;
            }
            for _ in some {
                let (to, answer) = client.receive()?;
                let (said, known) = answer.split_at(answer.len().saturating_sub(2));
                let heard = String::from_utf8_lossy(said);
                ensure!(said == words(to, port, number), "{to} port {port} heard {heard:?}");
                let index = of_port * usize::from(ADDRESSES) + usize::from(to.octets()[3]);
                let [high, low] = *known else { bail!("an answer without a port") };
                ensure!(known_as[index] == 0, "{to} port {port} heard {heard:?} twice");
                known_as[index] = u16::from_be_bytes([high, low]);
            }
        }
    }
    Ok(known_as)
}

/// Answers every datagram with itself, and the port that it came from.
fn serve(socket: &UdpSocket, stop: &AtomicBool) -> Result<()> {
    let mut buffer = [0; 128];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        ensure!(peer.ip() == SOURCE, "the server was spoken to by {peer}");
        let mut answer = buffer[..length].to_vec();
        answer.extend(peer.port().to_be_bytes());
        socket.send_to(&answer, peer)?;
    }
    Ok(())
}

fn speak(host: &Host) -> Result<()> {
    let SocketAddr::V4(endpoint) = at(ENDPOINT[0], 7) else { bail!("an endpoint of IPv4") };
    let clients: Vec<_> = host.run(|| {
        (0..PORTS).map(|number| Clients::bind(FIRST_PORT + number)).collect::<Result<_>>()
    })?;
    let first = round(&clients, 1, endpoint).context("in the first round")?;
    let distinct: BTreeSet<_> = first.iter().collect();
    ensure!(distinct.len() == FLOWS, "{} ports for {FLOWS} flows", distinct.len());
    // All flows are live at once: each keeps its source port.
    let second = round(&clients, 2, endpoint).context("in the second round")?;
    ensure!(first == second, "some flows have another source port than before");
    Ok(())
}

#[test]
fn sixty_thousand_flows_share_one_source_address() {
    let lab = lay().unwrap();
    // Another endpoint would have half of the ports as its own.
    let (alone, _) = CONFIG.split_once("[[endpoint]]\nname = \"globex-web\"").unwrap();
    let config = alone
        .replace("max_flows = 4096", "max_flows = 65536")
        .replace("10.0.0.240/29", &format!("{SOURCE}/32"));
    let acme = lab.host("acme");
    let [a, b, c] = CLIENTS;
    acme.namespace().ip(&format!("route add local {a}.{b}.{c}.0/24 dev lo")).unwrap();
    let server = lab.host("vendor").run(|| Ok(UdpSocket::bind(at(SERVER[0], ECHO_PORT))?)).unwrap();
    server.set_read_timeout(Some(POLL)).unwrap();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    let (spoken, served) = thread::scope(|scope| {
        let server = scope.spawn(|| serve(&server, &stop));
        let spoken = speak(acme);
        stop.store(true, Ordering::Relaxed);
        (spoken, server.join().unwrap())
    });
    println!("{FLOWS} flows spoke twice in {:?}", begin.elapsed());
    let status = daemon.status().unwrap();
    served.unwrap();
    assert!(spoken.is_ok(), "{spoken:?}: {status}");
    for reason in ["ports_exhausted", "flow_table_full", "contended"] {
        assert_eq!(status["drops"][reason], 0, "{status}");
    }
    let endpoint = daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    assert_eq!(endpoint["active_flows"], FLOWS, "{endpoint}");
}

/// Bytes each way, unless this variable has another number.
const BYTES: u64 = 256_000_000;
const BYTES_VARIABLE: &str = "PRIVATELINK_TEST_BYTES";

#[test]
fn many_bytes_return_unchanged() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let bytes =
        env::var(BYTES_VARIABLE).map_or(BYTES, |number| number.parse().expect(BYTES_VARIABLE));
    let scene = Scene::start().unwrap();
    let begin = Instant::now();
    let echoed =
        scene.acme().run(|| client::tcp_echo(at(ENDPOINT[0], 7), bytes, 11, PATIENCE)).unwrap();
    println!("{bytes} bytes went each way in {:?}, hash {:016x}", begin.elapsed(), echoed.hash);
    assert_eq!(echoed.bytes, bytes);
    let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    for direction in ["bytes_in", "bytes_out"] {
        assert!(endpoint[direction].as_u64().unwrap() > bytes, "{endpoint}");
    }
}
