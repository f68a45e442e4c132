//! Answers one query: a function of its bytes and a table.
//!
//! hickory parses the query. Nothing here blocks, allocates without a bound, or depends on anything
//! but the arguments.

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};

use super::table::{NameLookup, Set, Table, kind};

/// Maximum length of an answer over UDP to a client with EDNS: it passes every path unfragmented.
pub const UDP_MOST: u16 = 1_232;
/// Maximum length of an answer over UDP to a client without EDNS.
const UDP_LEAST: u16 = 512;
const HEADER: usize = 12;
const IN: u16 = 1;

/// The transport of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP, where the source address may be forged.
    Udp,
    /// TCP.
    Tcp,
}

/// What to do about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send nothing.
    Silence,
    /// Send the answer in the buffer.
    Answer,
    /// Forward the query.
    Forward {
        /// Maximum length of the answer.
        most: u16,
    },
}

/// Answers a query, in `out`.
pub fn answer(table: &Table, query: &[u8], transport: Transport, out: &mut Vec<u8>) -> Reply {
    out.clear();
    let Some(header) = query.first_chunk::<HEADER>() else { return Reply::Silence };
    // Never answer a response: that could start a loop.
    if header[2] & 0x80 != 0 {
        return Reply::Silence;
    }
    let Ok(message) = Message::from_vec(query) else {
        refuse(header, ResponseCode::FormErr, out);
        return Reply::Answer;
    };
    if message.metadata.op_code != OpCode::Query {
        refuse(header, ResponseCode::NotImp, out);
        return Reply::Answer;
    }
    let [question] = message.queries.as_slice() else {
        refuse(header, ResponseCode::FormErr, out);
        return Reply::Answer;
    };
    let mut asked = ParsedQuery { header, question, edns: message.edns.as_ref(), transport, out };
    asked.reply(table, message.metadata.recursion_desired)
}

/// Makes a truncated answer, after which the client retries over TCP.
pub fn truncated(query: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let Some(header) = query.first_chunk::<HEADER>() else { return false };
    let Ok(message) = Message::from_vec(query) else { return false };
    let [question] = message.queries.as_slice() else { return false };
    if header[2] & 0x80 != 0 || message.metadata.op_code != OpCode::Query {
        return false;
    }
    let edns = message.edns.as_ref();
    ParsedQuery { header, question, edns, transport: Transport::Udp, out }.truncate();
    true
}

/// Clears the flag AD of an answer to a query that does not ask for it, by AD or DO (RFC 6840,
/// section 5.7): without, the client does not know the flag.
pub fn keep_authentic(query: &[u8], answer: &mut [u8]) {
    const AD: u8 = 0x20;
    let asks = query.get(3).is_some_and(|flags| flags & AD != 0)
        || Message::from_vec(query)
            .is_ok_and(|query| query.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    if let Some(flags) = answer.get_mut(3).filter(|_| !asks) {
        *flags &= !AD;
    }
}

/// Makes an answer that says that forwarding failed.
pub fn failed(query: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if let Some(header) = query.first_chunk::<HEADER>() {
        refuse(header, ResponseCode::ServFail, out);
    }
}

/// Makes an answer of only a header.
fn refuse(header: &[u8; HEADER], code: ResponseCode, out: &mut Vec<u8>) {
    let [id, id_low, flags, ..] = *header;
    out.extend([id, id_low, 0x80 | flags & 0x79, code.low(), 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// A valid query and the answer in progress.
struct ParsedQuery<'a> {
    header: &'a [u8; HEADER],
    question: &'a Query,
    edns: Option<&'a Edns>,
    transport: Transport,
    out: &'a mut Vec<u8>,
}

/// The sections and flags of an answer.
#[derive(Default)]
struct Sections<'a> {
    answers: Option<&'a Set>,
    soa: Option<&'a [u8]>,
    authoritative: bool,
    recursive: bool,
    truncated: bool,
}

impl ParsedQuery<'_> {
    fn reply(&mut self, table: &Table, recursion_desired: bool) -> Reply {
        let recursive = !table.forwarders.is_empty();
        let refused = Sections { recursive, ..Sections::default() };
        if self.edns.is_some_and(|edns| edns.version() != 0) {
            return self.compose(ResponseCode::BADVERS, &refused);
        }
        let kind = u16::from(self.question.query_type());
        if u16::from(self.question.query_class()) != IN || [kind::AXFR, kind::IXFR].contains(&kind)
        {
            return self.compose(ResponseCode::Refused, &refused);
        }
        let known = Sections { authoritative: true, recursive, ..Sections::default() };
        let name = self.name().to_ascii_lowercase();
        match table.find(&name) {
            NameLookup::Exists(node) => {
                let answers = node.set(kind);
                let soa = if answers.is_none() { Some(table.soa(node)) } else { None };
                self.compose(ResponseCode::NoError, &Sections { answers, soa, ..known })
            }
            NameLookup::Absent(soa) => {
                self.compose(ResponseCode::NXDomain, &Sections { soa: Some(soa), ..known })
            }
            NameLookup::Foreign if recursive && recursion_desired => {
                Reply::Forward { most: self.most() }
            }
            NameLookup::Foreign => self.compose(ResponseCode::Refused, &refused),
        }
    }

    fn truncate(&mut self) {
        let sections = Sections { truncated: true, ..Sections::default() };
        self.compose(ResponseCode::NoError, &sections);
    }

    /// The queried name in wire format, with its case preserved.
    fn name(&self) -> Vec<u8> {
        let mut name = Vec::with_capacity(64);
        for label in self.question.name().iter() {
            name.push(u8::try_from(label.len()).unwrap_or(0));
            name.extend(label);
        }
        name.push(0);
        name
    }

    /// Maximum length of an answer to this client.
    fn most(&self) -> u16 {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => UDP_LEAST,
            (Transport::Udp, Some(edns)) => edns.max_payload().clamp(UDP_LEAST, UDP_MOST),
        }
    }

    fn compose(&mut self, code: ResponseCode, sections: &Sections<'_>) -> Reply {
        let [id, id_low, flags, more, ..] = *self.header;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let name = self.name();
        self.out.clear();
        self.out.extend([
            id,
            id_low,
            // QR, AA, TC, and RD as it came.
            0x80 | bit(sections.authoritative, 4) | bit(sections.truncated, 2) | flags & 1,
            // RA, CD as it came, and the code.
            bit(sections.recursive, 0x80) | more & 0x10 | code.low(),
        ]);
        let answers = sections.answers.map_or(0, |set| set.count);
        let counts = [1, answers, sections.soa.is_some().into(), self.edns.is_some().into()];
        self.out.extend(counts.map(u16::to_be_bytes).as_flattened());
        self.out.extend(name);
        self.out.extend(u16::from(self.question.query_type()).to_be_bytes());
        self.out.extend(u16::from(self.question.query_class()).to_be_bytes());
        self.out.extend(sections.answers.map_or(&[][..], |set| &set.bytes));
        self.out.extend(sections.soa.unwrap_or_default());
        if let Some(edns) = self.edns {
            self.out.push(0);
            self.out.extend(kind::OPT.to_be_bytes());
            self.out.extend(UDP_MOST.to_be_bytes());
            // DO as it came (RFC 3225, section 3), and no options.
            self.out.extend([code.high(), 0, bit(edns.flags().dnssec_ok, 0x80), 0, 0, 0]);
        }
        if self.out.len() > usize::from(self.most()) {
            let sections = Sections {
                truncated: true,
                authoritative: sections.authoritative,
                recursive: sections.recursive,
                ..Sections::default()
            };
            return self.compose(code, &sections);
        }
        Reply::Answer
    }
}

#[cfg(test)]
mod tests;
