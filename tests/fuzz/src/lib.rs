//! What the fuzzers do with the bytes that they think of: `cargo xtask fuzz` starts them.
//!
//! The inputs of `corpus/` have names and are played by `cargo test` as well.

pub mod judge;
pub mod script;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Error, Result, ensure};
use hickory_proto::op::{Message, MessageType};
use privatelink_tests::fixtures::{Gateway as _, Host, MAX_FLOWS};
use privatelink_user::api::front::authorities::Authorities;
use privatelink_user::api::front::channel::{Connected, LONGEST, MOST_CERTIFICATES};
use privatelink_user::config;
use privatelink_user::dns::server::answer::{Reply, Transport, UDP_MOST, answer, truncated};
use privatelink_user::dns::server::table::Table;
use privatelink_user::dns::{Data, Record, ServedNames, Zone};
use privatelink_user::framing::FrameReader;
use rustls::pki_types::UnixTime;

use crate::script::{Event, INTERFACES, Trace, perform, traces};

/// Plays a [`script`] on the packet function, and judges each frame that comes out.
///
/// # Errors
/// What was wrong with a frame.
pub fn packets(script: &[u8]) -> Result<()> {
    static TRACES: OnceLock<Result<Vec<Trace>, String>> = OnceLock::new();
    let recorded = TRACES.get_or_init(|| traces(&INTERFACES).map_err(|fault| format!("{fault:?}")));
    let traces = recorded.as_ref().map_err(Error::msg)?;
    let mut host = Host::new(MAX_FLOWS);
    let mut act = |event: &Event| match event {
        Event::Load(tables) => host.load(tables),
        Event::Frame(port, frame) => {
            let outcome = host.frame(INTERFACES.index(*port), frame)?;
            judge::judge(frame, &outcome)
        }
    };
    match perform(script, traces, |event| match act(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Reads a text as a configuration, and shows what is wrong with it.
///
/// # Errors
/// When it is refused without a word.
pub fn configuration(text: &[u8]) -> Result<()> {
    let Ok(text) = std::str::from_utf8(text) else { return Ok(()) };
    if let Err(diagnostics) = config::from_text("gateway.toml", text) {
        ensure!(diagnostics.count() > 0, "refused for no reason");
        ensure!(diagnostics.to_json().len() == diagnostics.count(), "some faults are lost");
        for color in [false, true] {
            ensure!(!diagnostics.render(color).is_empty(), "nothing is said");
        }
    }
    Ok(())
}

/// Asks the name server something, in a datagram and over a connection, and judges the answer.
///
/// # Errors
/// What was wrong with an answer.
pub fn queries(query: &[u8]) -> Result<()> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let table = TABLE.get_or_init(|| Table::new(&names(), 1));
    let mut out = Vec::new();
    for (transport, most) in [(Transport::Udp, usize::from(UDP_MOST)), (Transport::Tcp, 65_535)] {
        match answer(table, query, transport, &mut out) {
            Reply::Silence => ensure!(
                query.len() < 12 || query.get(2).is_some_and(|flags| flags & 0x80 != 0),
                "a query gets no answer"
            ),
            Reply::Forward { most: forwarded } => ensure!(usize::from(forwarded) <= most),
            Reply::Answer => judge_answer(query, &out, most)?,
        }
    }
    if truncated(query, &mut out) {
        judge_answer(query, &out, usize::from(UDP_MOST))?;
    }
    Ok(())
}

/// Reads what the HTTPS process says to the daemon, frame by frame, and what callers say of
/// themselves there.
///
/// # Errors
/// When a connection is described that the process could not have.
pub fn messages(bytes: &[u8]) -> Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    let bytes = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    near.write_all(bytes)?;
    near.shutdown(Shutdown::Write)?;
    let mut reader = FrameReader::limited(far, LONGEST);
    while let Ok(Some(connected)) = reader.receive::<Connected>() {
        let Some(remote) = connected.clone().with(near.try_clone()?) else { continue };
        ensure!(remote.certificates.len() <= MOST_CERTIFICATES, "too many certificates");
        let again = Connected::of(remote.peer, &remote.certificates);
        ensure!(again.peer == connected.peer, "another caller");
        let same = |(one, other): (&String, &String)| one.eq_ignore_ascii_case(other);
        ensure!(again.certificates.iter().zip(&connected.certificates).all(same), "not the same");
        let holder = Authorities::default().holder_of(&remote.certificates, UnixTime::now());
        ensure!(holder.is_none(), "a certificate of no authority counts");
    }
    Ok(())
}

/// What fits into a socket that nobody reads yet.
const MOST_BYTES: usize = 64 << 10;

fn judge_answer(query: &[u8], answer: &[u8], most: usize) -> Result<()> {
    let message = Message::from_vec(answer).context("the answer cannot be read")?;
    ensure!(answer.len() <= most, "the answer is too long");
    ensure!(answer.get(..2) == query.get(..2), "the answer is to another query");
    ensure!(message.metadata.message_type == MessageType::Response, "the answer is a query");
    Ok(())
}

/// Names of every kind, and another server for all others.
fn names() -> ServedNames {
    let record = |name: &str, data| Record { name: name.to_owned(), data };
    let zone = |records: &[Record]| Zone { records: records.to_vec() };
    let target = "a.web.internal".to_owned();
    let own = [
        record("ns.internal", Data::A([10, 1, 0, 1].into())),
        record("a.web.internal", Data::A([10, 1, 0, 50].into())),
        record("a.web.internal", Data::Aaaa([0xfd00, 0, 0, 0, 0, 0, 0, 1].into())),
        record("a.web.internal", Data::Txt("service=web".into())),
        record("_web._tcp.a.web.internal", Data::Srv { port: 80, target: target.clone() }),
        record("*.wild.internal", Data::A([10, 1, 0, 51].into())),
    ];
    let many = (0..=u8::MAX).map(|last| record("many.test", Data::A([10, 1, 1, last].into())));
    let reverse = "50.0.1.10.in-addr.arpa";
    let zones = [
        ("internal", zone(&own)),
        ("many.test", zone(&many.collect::<Vec<_>>())),
        ("absent.test", zone(&[])),
        (reverse, zone(&[record(reverse, Data::Ptr(target))])),
    ];
    ServedNames {
        interface: "eth1".into(),
        server: "ns.internal".into(),
        ttl: 60,
        zones: zones.into_iter().map(|(apex, zone)| (apex.to_owned(), zone)).collect(),
        forwarders: vec![[10, 1, 0, 2].into()],
        rate: 1_000,
        resolver: None,
        providers: BTreeMap::new(),
    }
}

/// Gives `target` the content of each file named on the command line.
///
/// # Errors
/// The first file that is not as it should be.
pub fn replay(target: fn(&[u8]) -> Result<()>) -> Result<()> {
    std::env::args_os().skip(1).try_for_each(|path| {
        let path = Path::new(&path);
        let input = std::fs::read(path).map_err(Error::from);
        input.and_then(|input| target(&input)).with_context(|| path.display().to_string())
    })
}
