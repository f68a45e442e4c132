//! WireGuard in user space, through the text protocol of its socket.
//!
//! The protocol is described at <https://www.wireguard.com/xplatform/#configuration-protocol>.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::state::{DeviceChange, DeviceState, PeerState};
use crate::{
    digest::{bytes, hexadecimal},
    model::PublicKey,
};

/// Where implementations have their sockets.
const DIRECTORY: &str = "/var/run/wireguard";
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer; a peer has about 500 bytes.
const LONGEST: u64 = 16 << 20;

/// An interface of `wireguard-go`.
#[derive(Debug)]
pub(in crate::backbone) struct UserspaceDevice {
    socket: PathBuf,
}

impl UserspaceDevice {
    /// The interface of this name, whether or not it exists.
    pub fn new(interface: &str) -> Self {
        Self { socket: PathBuf::from(DIRECTORY).join(format!("{interface}.sock")) }
    }

    /// Reads its state; fails if no process serves it.
    pub fn read(&self) -> io::Result<DeviceState> {
        state(&self.exchange("get=1\n\n")?)
    }

    /// Changes it.
    pub fn apply(&self, change: &DeviceChange<'_>) -> io::Result<()> {
        self.exchange(&order(change)).map(drop)
    }

    fn exchange(&self, request: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        // It serves one request after the other until it reads the end.
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.take(LONGEST).read_to_string(&mut answer)?;
        let code = answer.lines().rev().find_map(|line| line.strip_prefix("errno="));
        match code.and_then(|code| code.parse().ok()) {
            Some(0) => Ok(answer),
            Some(code) => Err(io::Error::from_raw_os_error(i32::abs(code))),
            None => Err(io::Error::other("an answer without an end")),
        }
    }
}

/// What changes, as the protocol has it.
fn order(change: &DeviceChange<'_>) -> String {
    let mut text = String::from("set=1\n");
    // Writing to a string never fails.
    if let Some(key) = change.private_key {
        let _ = writeln!(text, "private_key={}", hexadecimal(key.bytes()));
    }
    if let Some(listen) = change.listen {
        let _ = writeln!(text, "listen_port={listen}");
    }
    for key in &change.removed {
        let _ = writeln!(text, "public_key={}\nremove=true", hexadecimal(key.bytes()));
    }
    for (key, peer) in &change.peers {
        let _ = writeln!(text, "public_key={}", hexadecimal(key.bytes()));
        if let Some(endpoint) = peer.endpoint {
            let _ = writeln!(text, "endpoint={endpoint}");
        }
        let _ = writeln!(text, "persistent_keepalive_interval={}", peer.keepalive.as_secs());
        text += "replace_allowed_ips=true\n";
        for prefix in &peer.allowed {
            let _ = writeln!(text, "allowed_ip={prefix}");
        }
    }
    text.push('\n');
    text
}

/// The state that an answer tells.
fn state(answer: &str) -> io::Result<DeviceState> {
    let mut state = DeviceState::default();
    let mut peer = None;
    let mut handshake = (0, 0);
    let odd = |line: &str| {
        // The value may be a key: the name alone is shown.
        let key = line.split('=').next().unwrap_or_default().to_owned();
        move || io::Error::other(format!("odd value of `{key}`"))
    };
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let odd = odd(line);
        if key == "public_key" {
            let bytes = bytes(value).and_then(|bytes| bytes.try_into().ok()).ok_or_else(odd)?;
            let key = PublicKey::new(bytes);
            state.peers.insert(key, PeerState::default());
            (peer, handshake) = (Some(key), (0, 0));
            continue;
        }
        if key == "listen_port" {
            state.listen = value.parse().map_err(|_| odd())?;
        }
        let Some(peer) = peer.and_then(|key| state.peers.get_mut(&key)) else { continue };
        match key {
            "endpoint" => peer.endpoint = Some(value.parse().map_err(|_| odd())?),
            "persistent_keepalive_interval" => {
                peer.keepalive = Duration::from_secs(value.parse().map_err(|_| odd())?);
            }
            "allowed_ip" => drop(peer.allowed.insert(value.parse().map_err(|_| odd())?)),
            "rx_bytes" => peer.received = value.parse().map_err(|_| odd())?,
            "tx_bytes" => peer.sent = value.parse().map_err(|_| odd())?,
            "last_handshake_time_sec" => handshake.0 = value.parse().map_err(|_| odd())?,
            "last_handshake_time_nsec" => {
                handshake.1 = value.parse().map_err(|_| odd())?;
                let since = Duration::new(handshake.0, handshake.1);
                peer.handshake = (!since.is_zero()).then(|| SystemTime::UNIX_EPOCH + since);
            }
            _ => {}
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::{super::state::PeerChange, *};

    const PEER: &str = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

    fn key() -> PublicKey {
        PublicKey::new(bytes(PEER).unwrap().try_into().unwrap())
    }

    #[test]
    fn an_order_names_what_changes_and_nothing_else() {
        let peer = PeerChange {
            endpoint: None,
            keepalive: Duration::from_secs(25),
            allowed: ["fd00::/64".parse().unwrap()].into(),
        };
        let change = DeviceChange { peers: vec![(key(), peer)], ..DeviceChange::default() };
        assert_eq!(
            order(&change),
            format!(
                "set=1\npublic_key={PEER}\npersistent_keepalive_interval=25\n\
                 replace_allowed_ips=true\nallowed_ip=fd00::/64\n\n"
            )
        );
        let change =
            DeviceChange { listen: Some(7), removed: vec![key()], ..DeviceChange::default() };
        let expected = format!("set=1\nlisten_port=7\npublic_key={PEER}\nremove=true\n\n");
        assert_eq!(order(&change), expected);
    }

    #[test]
    fn an_answer_tells_of_each_peer() {
        // The example of the protocol's description, shortened.
        let answer = format!(
            "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
             listen_port=12912\npublic_key={PEER}\npreshared_key=00\nallowed_ip=fd00::4/128\n\
             endpoint=[abcd:23::33]:51820\nlast_handshake_time_sec=0\n\
             last_handshake_time_nsec=0\ntx_bytes=38333\nrx_bytes=2224\n\
             protocol_version=1\nerrno=0\n\n"
        );
        let state = state(&answer).unwrap();
        assert_eq!(state.listen, 12_912);
        let peer = &state.peers[&key()];
        assert_eq!((peer.sent, peer.received, peer.handshake), (38_333, 2224, None));
        assert_eq!(peer.allowed, ["fd00::4/128".parse().unwrap()].into());
        assert_eq!(peer.endpoint, Some("[abcd:23::33]:51820".parse().unwrap()));
    }

    #[test]
    fn a_fault_never_shows_a_value() {
        let wrong = state("public_key=zz\n").unwrap_err().to_string();
        assert_eq!(wrong, "odd value of `public_key`");
    }
}
