//! A name server with a few names, whose answers a test changes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use super::Namespace;

/// How often the server checks whether it should end.
const POLL: Duration = Duration::from_millis(100);
/// How many seconds an answer is valid.
const TTL: u32 = 1;
/// The length of a message's header.
const HEADER: usize = 12;
/// The types of records that it has, as RFC 1035 and RFC 3596 number them.
const A: u16 = 1;
const AAAA: u16 = 28;

/// A running name server; dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    names: Arc<Mutex<Names>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The addresses of each name.
type Names = BTreeMap<String, Vec<IpAddr>>;

impl NameServer {
    /// Answers at port 53 of this address of a namespace.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(namespace: &Namespace, address: IpAddr) -> Result<Self> {
        let local = SocketAddr::new(address, 53);
        let socket = namespace.run(|| Ok(UdpSocket::bind(local)?));
        let socket = socket.with_context(|| format!("cannot serve names at {local}"))?;
        socket.set_read_timeout(Some(POLL))?;
        let (names, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (known, end) = (Arc::clone(&names), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut question = [0; 512];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let question = question.get(..length).unwrap_or_default();
                if let Some(answer) = answer(question, &lock(&known)) {
                    // A client that does not receive it asks again.
                    let _sent = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { names, stop, thread: Some(thread) })
    }

    /// Sets the addresses of a name.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        lock(&self.names).insert(name.to_owned(), addresses.to_vec());
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to a question for one name; `None` if it is something else.
fn answer(message: &[u8], names: &Names) -> Option<Vec<u8>> {
    let (name, end) = name(message)?;
    let kind = u16::from_be_bytes(message.get(end..end + 2)?.try_into().ok()?);
    let question = message.get(HEADER..end + 4)?;
    let known = names.get(&name);
    let of_kind = |address: &&IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
    let addresses: Vec<&IpAddr> = known.into_iter().flatten().filter(of_kind).collect();
    // An answer with authority; a name that is not known does not exist.
    let code = if known.is_some() { 0 } else { 3 };
    let mut answer = message.get(..2)?.to_vec();
    answer.extend([0x85, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(question);
    for address in addresses {
        // The name is that of the question.
        answer.extend([0xc0, HEADER as u8]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(TTL.to_be_bytes());
        match address {
            IpAddr::V4(v4) => answer.extend([&[0, 4][..], &v4.octets()].concat()),
            IpAddr::V6(v6) => answer.extend([&[0, 16][..], &v6.octets()].concat()),
        }
    }
    Some(answer)
}

/// The name that is asked for, in lower case, and where it ends.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_answered() {
        let names: Names = [("a.b".to_owned(), vec!["10.0.0.1".parse().unwrap()])].into();
        let ask = |name: &[u8], kind: u8| {
            let head = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            answer(&[&head[..], name, &[0, kind, 0, 1]].concat(), &names).unwrap()
        };
        let found = ask(b"\x01A\x01b\x00", 1);
        assert_eq!((found[3] & 15, found[7]), (0, 1));
        assert!(found.ends_with(&[0, 4, 10, 0, 0, 1]));
        assert_eq!(ask(b"\x01a\x01b\x00", 28)[7], 0);
        assert_eq!(ask(b"\x01c\x00", 1)[3] & 15, 3);
    }
}
