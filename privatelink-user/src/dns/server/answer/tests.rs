//! Answers, checked with hickory's parser.

use std::str::FromStr as _;

use hickory_proto::{
    op::{Edns, MessageType},
    rr::{DNSClass, Name, RData, RecordType},
};
use proptest::prelude::*;

use super::*;
use crate::dns::tests::names;

fn table() -> Table {
    Table::new(&names(&[], true), 7)
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0xbeef;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn said(table: &Table, query: &Message, transport: Transport) -> Message {
    let mut out = Vec::new();
    let reply = answer(table, &query.to_vec().unwrap(), transport, &mut out);
    assert_eq!(reply, Reply::Answer);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.metadata.id, 0xbeef);
    assert_eq!(message.metadata.message_type, MessageType::Response);
    message
}

fn ask(name: &str, kind: RecordType) -> Message {
    said(&table(), &query(name, kind), Transport::Udp)
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

const OWN: &str = "acme-web.web.privatelink.internal.";

#[test]
fn every_kind_of_record_is_served() {
    for (name, kind, expected) in [
        (OWN, RecordType::A, "10.1.0.50"),
        (OWN, RecordType::AAAA, "fd00:1::50"),
        (OWN, RecordType::TXT, "service=web"),
        ("web.internal.", RecordType::A, "10.1.0.50"),
        ("any.thing.web.internal.", RecordType::A, "10.1.0.50"),
        ("50.0.1.10.in-addr.arpa.", RecordType::PTR, OWN),
        ("_web._tcp.web.internal.", RecordType::SRV, "0 0 80 web.internal."),
        ("privatelink.internal.", RecordType::NS, "ns.privatelink.internal."),
        ("ns.privatelink.internal.", RecordType::A, "10.1.0.1"),
        (OWN, RecordType::ANY, "10.1.0.50"),
    ] {
        let message = ask(name, kind);
        assert_eq!(data(&message), [expected], "{name} {kind}");
        assert!(message.metadata.authoritative, "{name}");
        assert_eq!(message.answers[0].name, Name::from_str(name).unwrap(), "{name}");
        assert_eq!(message.answers[0].ttl, 60, "{name}");
    }
}

#[test]
fn the_case_of_the_question_is_preserved() {
    let message = ask("ACME-web.Web.PrivateLink.internal.", RecordType::A);
    assert_eq!(message.queries[0].name().to_ascii(), "ACME-web.Web.PrivateLink.internal.");
    assert_eq!(data(&message), ["10.1.0.50"]);
}

#[test]
fn negative_answers_have_the_soa_of_their_zone() {
    for (name, kind, code, apex) in [
        (OWN, RecordType::MX, ResponseCode::NoError, "privatelink.internal."),
        (
            "web.privatelink.internal.",
            RecordType::A,
            ResponseCode::NoError,
            "privatelink.internal.",
        ),
        (
            "globex-web.web.privatelink.internal.",
            RecordType::A,
            ResponseCode::NXDomain,
            "privatelink.internal.",
        ),
        ("nothing.internal.", RecordType::A, ResponseCode::NXDomain, "internal."),
        ("a._tcp.web.internal.", RecordType::A, ResponseCode::NXDomain, "web.internal."),
        ("_tcp.web.internal.", RecordType::A, ResponseCode::NoError, "web.internal."),
    ] {
        let message = ask(name, kind);
        assert_eq!(message.metadata.response_code, code, "{name}");
        assert!(message.answers.is_empty() && message.metadata.authoritative, "{name}");
        let [soa] = message.authorities.as_slice() else { panic!("{name}: no SOA") };
        assert_eq!((soa.name.to_ascii().as_str(), soa.ttl), (apex, 5), "{name}");
        let RData::SOA(data) = &soa.data else { panic!("{name}: {soa}") };
        assert_eq!((data.serial, data.minimum), (7, 5));
    }
}

#[test]
fn a_name_that_is_not_available_does_not_exist() {
    for change in [("# acme\n", "forwarders = [\"10.1.0.2\"]\n"), ("# acme\n", "\n")] {
        let manual = ("acceptance = \"automatic\"", "acceptance = \"manual\"");
        let table = Table::new(&names(&[change, manual], true), 7);
        for name in ["web.internal.", "a.web.internal.", OWN] {
            let message = said(&table, &query(name, RecordType::A), Transport::Udp);
            assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{name}");
            assert!(message.metadata.authoritative && message.authorities.len() == 1);
        }
    }
    let apex = ask("internal.", RecordType::A);
    assert_eq!(apex.metadata.response_code, ResponseCode::NoError, "there are names below it");
}

#[test]
fn other_names_are_refused_or_forwarded() {
    let elsewhere = query("example.com.", RecordType::A);
    let message = said(&table(), &elsewhere, Transport::Udp);
    assert_eq!(message.metadata.response_code, ResponseCode::Refused);
    let forwards = Table::new(&names(&[("# acme", "forwarders = [\"10.1.0.2\"]")], true), 7);
    let mut out = Vec::new();
    let bytes = elsewhere.to_vec().unwrap();
    let reply = answer(&forwards, &bytes, Transport::Udp, &mut out);
    assert_eq!(reply, Reply::Forward { most: 512 });
    let reply = answer(&forwards, &bytes, Transport::Tcp, &mut out);
    assert_eq!(reply, Reply::Forward { most: u16::MAX });
    // Queries for own names, and queries without RD, are not forwarded.
    let ours =
        said(&forwards, &query("x.web.privatelink.internal.", RecordType::A), Transport::Udp);
    assert_eq!(ours.metadata.response_code, ResponseCode::NXDomain);
    let mut alone = elsewhere;
    alone.metadata.recursion_desired = false;
    let message = said(&forwards, &alone, Transport::Udp);
    assert_eq!(message.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn unusual_queries_are_refused() {
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut update = query("a.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    let mut versions = query(OWN, RecordType::A);
    versions.set_edns(Edns::new()).edns.as_mut().unwrap().set_version(1);
    let mut two = query(OWN, RecordType::A);
    two.add_query(Query::query(Name::root(), RecordType::A));
    for (message, code) in [
        (chaos, ResponseCode::Refused),
        (query("privatelink.internal.", RecordType::AXFR), ResponseCode::Refused),
        (update, ResponseCode::NotImp),
        (two, ResponseCode::FormErr),
        (versions, ResponseCode::BADVERS),
    ] {
        let said = said(&table(), &message, Transport::Tcp).metadata.response_code;
        assert_eq!(u16::from(said), u16::from(code));
    }
}

#[test]
fn long_answers_are_truncated_over_udp_only() {
    let mut long = names(&[], true);
    let zone = long.zones.get_mut("web.internal").unwrap();
    for last in 100..200 {
        let data = crate::dns::Data::A([10, 1, 0, last].into());
        zone.records.push(crate::dns::Record { name: "web.internal".into(), data });
    }
    let table = Table::new(&long, 7);
    let mut plain = query("web.internal.", RecordType::A);
    for (edns, transport, most) in [
        (None, Transport::Udp, 512),
        (Some(100), Transport::Udp, 512),
        (Some(65_535), Transport::Udp, 1_232),
        (None, Transport::Tcp, 65_535),
    ] {
        plain.edns = edns.map(|most| Edns::new().set_max_payload(most).clone());
        let message = said(&table, &plain, transport);
        assert!(message.to_vec().unwrap().len() <= most);
        assert_eq!(message.metadata.truncation, transport == Transport::Udp, "{edns:?}");
        assert_eq!(message.answers.len(), if transport == Transport::Tcp { 101 } else { 0 });
        assert_eq!(message.edns.is_some(), edns.is_some());
    }
    let mut out = Vec::new();
    assert!(truncated(&plain.to_vec().unwrap(), &mut out));
    assert!(Message::from_vec(&out).unwrap().metadata.truncation);
}

#[test]
fn responses_and_noise_get_no_answer() {
    let mut out = Vec::new();
    let mut response = query(OWN, RecordType::A);
    response.metadata.message_type = MessageType::Response;
    for bytes in [&response.to_vec().unwrap()[..], b"", b"short"] {
        assert_eq!(answer(&table(), bytes, Transport::Udp, &mut out), Reply::Silence);
        assert!(!truncated(bytes, &mut out));
    }
}

proptest! {
    #[test]
    fn any_answer_can_be_parsed(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..80usize,
    ) {
        let table = table();
        let mut valid = query(OWN, RecordType::A).to_vec().unwrap();
        valid.splice(cut.min(valid.len()).., bytes.iter().copied());
        for bytes in [&bytes, &valid] {
            let mut out = Vec::new();
            if answer(&table, bytes, Transport::Udp, &mut out) == Reply::Answer {
                prop_assert!(out.len() <= usize::from(UDP_MOST));
                prop_assert_eq!(&out[..2], &bytes[..2]);
                let message = Message::from_vec(&out).unwrap();
                prop_assert_eq!(message.metadata.message_type, MessageType::Response);
            }
        }
    }
}

#[test]
fn dnssec_ok_comes_back_as_it_came() {
    for wanted in [false, true] {
        for name in [OWN, "nothing.web.internal.", "elsewhere.example."] {
            let mut query = query(name, RecordType::A);
            query.metadata.recursion_desired = false;
            query.set_edns(Edns::new().set_dnssec_ok(wanted).clone());
            let said = said(&table(), &query, Transport::Udp);
            assert_eq!(said.edns.unwrap().flags().dnssec_ok, wanted, "{name}");
        }
    }
}

#[test]
fn only_those_who_ask_hear_that_an_answer_is_authentic() {
    for (ad, dnssec_ok, kept) in [
        (false, None, false),
        (false, Some(false), false),
        (true, None, true),
        (false, Some(true), true),
    ] {
        let mut query = query("elsewhere.example.", RecordType::A);
        query.metadata.authentic_data = ad;
        if let Some(wanted) = dnssec_ok {
            query.set_edns(Edns::new().set_dnssec_ok(wanted).clone());
        }
        let mut answer = query.clone();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.authentic_data = true;
        let mut bytes = answer.to_vec().unwrap();
        keep_authentic(&query.to_vec().unwrap(), &mut bytes);
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(answer.metadata.authentic_data, kept, "{ad} {dnssec_ok:?}");
    }
}
