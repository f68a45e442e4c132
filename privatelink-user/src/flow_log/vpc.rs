//! Records in the format of AWS VPC Flow Logs, for the tools that read it.

use std::fmt::Write as _;

use privatelink_common::{TCP, UDP};

use super::record::{Record, RecordKind};
use crate::{model::LogField, timestamp::Timestamp};

/// Placeholder for a missing value.
const NONE: &str = "-";

/// The first line of a file, with the names of its fields.
pub(super) fn heading(fields: &[LogField]) -> String {
    let words: Vec<&str> = fields.iter().map(|field| field.word()).collect();
    words.join(" ") + "\n"
}

/// One direction of a record.
#[derive(Clone, Copy)]
struct Direction<'a> {
    record: &'a Record<'a>,
    gateway: &'a str,
    version: u8,
    egress: bool,
}

/// Adds a line for each direction that has packets.
pub(super) fn write(text: &mut String, record: &Record<'_>, gateway: &str, fields: &[LogField]) {
    let version = version(fields);
    for egress in [false, true] {
        let packets = if egress { record.packets_out } else { record.packets_in };
        if packets > 0 {
            line(text, fields, |field, text| {
                Direction { record, gateway, version, egress }.value(field, text);
            });
        }
    }
}

/// Adds the line for a gap in the records.
pub(super) fn skipped(text: &mut String, start: Timestamp, end: Timestamp, fields: &[LogField]) {
    line(text, fields, |field, text| {
        if field == LogField::Version {
            put(text, version(fields));
        } else if field == LogField::Start {
            put(text, start.seconds());
        } else if field == LogField::End {
            put(text, end.seconds());
        } else {
            text.push_str(if field == LogField::LogStatus { "SKIPDATA" } else { NONE });
        }
    });
}

fn line(text: &mut String, fields: &[LogField], mut value: impl FnMut(LogField, &mut String)) {
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            text.push(' ');
        }
        value(*field, text);
    }
    text.push('\n');
}

fn version(fields: &[LogField]) -> u8 {
    fields.iter().map(|field| field.version()).max().unwrap_or(0).max(2)
}

fn put(text: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

impl Direction<'_> {
    fn value(self, field: LogField, text: &mut String) {
        let record = self.record;
        let (from, to) = self.turned(record.client, record.address);
        let behind = record.target.unwrap_or(record.address);
        let (first, last) = self.turned(record.client, behind);
        match field {
            LogField::Version => put(text, self.version),
            LogField::AccountId => word(text, &record.principal),
            LogField::InterfaceId => word(text, &record.endpoint),
            LogField::SrcAddr => put(text, from.ip()),
            LogField::DstAddr => put(text, to.ip()),
            LogField::SrcPort => put(text, from.port()),
            LogField::DstPort => put(text, to.port()),
            LogField::Protocol => put(text, number(&record.protocol)),
            LogField::Packets => put(text, self.turned(record.packets_in, record.packets_out).0),
            LogField::Bytes => put(text, self.turned(record.bytes_in, record.bytes_out).0),
            LogField::Start => put(text, record.start.seconds()),
            LogField::End => put(text, record.end.seconds()),
            LogField::Action => {
                word(text, if record.kind == RecordKind::Refused { "REJECT" } else { "ACCEPT" });
            }
            LogField::LogStatus => text.push_str("OK"),
            LogField::VpcId => word(text, &record.network),
            LogField::TcpFlags => {
                put(text, self.turned(record.tcp_flags_in, record.tcp_flags_out).0);
            }
            LogField::Type => word(text, if from.is_ipv4() { "IPv4" } else { "IPv6" }),
            LogField::PktSrcAddr => put(text, first.ip()),
            LogField::PktDstAddr => put(text, last.ip()),
            LogField::AzId => word(text, self.gateway),
            LogField::FlowDirection => word(text, if self.egress { "egress" } else { "ingress" }),
            LogField::Service => word(text, &record.service),
            LogField::Provider => word(text, &record.provider),
            LogField::SourceAddr => given(text, record.source.map(|source| source.ip())),
            LogField::SourcePort => given(text, record.source.map(|source| source.port())),
            LogField::TargetAddr => given(text, record.target.map(|target| target.ip())),
            LogField::TargetPort => given(text, record.target.map(|target| target.port())),
            LogField::Reason => word(text, &record.reason),
            LogField::SubnetId
            | LogField::InstanceId
            | LogField::Region
            | LogField::SublocationType
            | LogField::SublocationId
            | LogField::PktSrcAwsService
            | LogField::PktDstAwsService
            | LogField::TrafficPath => text.push_str(NONE),
        }
    }

    /// Orders a pair of values as sender and receiver of this direction.
    fn turned<T>(self, consumer: T, provider: T) -> (T, T) {
        if self.egress { (provider, consumer) } else { (consumer, provider) }
    }
}

fn word(text: &mut String, value: &str) {
    text.push_str(if value.is_empty() { NONE } else { value });
}

fn given(text: &mut String, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => put(text, value),
        None => text.push_str(NONE),
    }
}

fn number(protocol: &str) -> String {
    match protocol {
        "tcp" => TCP.to_string(),
        "udp" => UDP.to_string(),
        other => other.to_owned(),
    }
}

/// The value of a field in words, as Markdown.
fn meaning(field: LogField) -> &'static str {
    match field {
        LogField::Version => "the highest version among the fields",
        LogField::AccountId => "the consumer's principal",
        LogField::InterfaceId => "the endpoint",
        LogField::SrcAddr => "the sender's address, as the consumer's network sees it",
        LogField::DstAddr => "the receiver's address, as the consumer's network sees it",
        LogField::SrcPort => "the sender's port, as the consumer's network sees it",
        LogField::DstPort => "the receiver's port, as the consumer's network sees it",
        LogField::Protocol => "the IP protocol number",
        LogField::Packets => "packets in this direction",
        LogField::Bytes => "their IP bytes",
        LogField::Start => "begin of the period that the counts cover, in seconds since 1970",
        LogField::End => "time of the last packet, in seconds since 1970",
        LogField::Action => "`REJECT` for refused flows, otherwise `ACCEPT`",
        LogField::LogStatus => "`SKIPDATA` where records are missing, otherwise `OK`",
        LogField::VpcId => "the consumer's network",
        LogField::TcpFlags => "TCP flags seen so far: FIN 1, SYN 2, RST 4, ACK 16 with a SYN",
        LogField::Type => "`IPv4` or `IPv6`",
        LogField::PktSrcAddr => "the sender: the client or the target",
        LogField::PktDstAddr => "the receiver: the target or the client",
        LogField::AzId => "the gateway",
        LogField::FlowDirection => "`ingress` from the client, `egress` to it",
        LogField::Service => "the service",
        LogField::Provider => "the provider's principal",
        LogField::SourceAddr => "the gateway's address towards the target",
        LogField::SourcePort => "the gateway's port towards the target",
        LogField::TargetAddr => "the target's address",
        LogField::TargetPort => "the target's port",
        LogField::Reason => "why the flow ended or was refused",
        LogField::SubnetId
        | LogField::InstanceId
        | LogField::Region
        | LogField::SublocationType
        | LogField::SublocationId
        | LogField::PktSrcAwsService
        | LogField::PktDstAwsService
        | LogField::TrafficPath => "always `-`",
    }
}

/// The table of all fields in `docs/flow-log.md`, as Markdown.
pub fn fields_table() -> String {
    let mut table = "| field | version | value |\n|---|---|---|\n".to_owned();
    for field in LogField::ALL {
        let version = match field.version() {
            0 => NONE.to_owned(),
            version => version.to_string(),
        };
        table += &format!("| `{}` | {version} | {} |\n", field.word(), meaning(*field));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        serde_json::from_str(
            r#"{"kind":"end","verdict":"accept","reason":"closed","endpoint":"acme-web",
            "service":"web","network":"acme","principal":"acme","provider":"vendor",
            "provider_network":"vendor",
            "protocol":"tcp","client":"10.1.0.2:40000","address":"10.1.0.50:80",
            "source":"10.0.0.240:1024","target":"10.0.0.10:8080","packets_in":5,"bytes_in":500,
            "packets_out":4,"bytes_out":4000,"tcp_flags_in":3,"tcp_flags_out":19,
            "opened":"1970-01-01T00:00:10.500Z","start":"1970-01-01T00:00:10.500Z",
            "end":"1970-01-01T00:01:00.000Z"}"#,
        )
        .unwrap()
    }

    fn lines(record: &Record<'_>, fields: &[LogField]) -> String {
        let mut text = String::new();
        write(&mut text, record, "gw-a", fields);
        text
    }

    #[test]
    fn each_direction_is_a_line_of_version_2() {
        let fields = LogField::default_fields();
        let heading = heading(&fields);
        let expected = "version account-id interface-id srcaddr dstaddr srcport dstport protocol \
                        packets bytes start end action log-status\n";
        assert_eq!(heading, expected);
        assert_eq!(
            lines(&record(), &fields),
            "2 acme acme-web 10.1.0.2 10.1.0.50 40000 80 6 5 500 10 60 ACCEPT OK\n\
             2 acme acme-web 10.1.0.50 10.1.0.2 80 40000 6 4 4000 10 60 ACCEPT OK\n"
        );
    }

    #[test]
    fn all_fields_are_of_version_5_and_show_both_sides() {
        assert_eq!(
            lines(&record(), LogField::ALL),
            "5 acme acme-web 10.1.0.2 10.1.0.50 40000 80 6 5 500 10 60 ACCEPT OK acme - - 3 IPv4 \
             10.1.0.2 10.0.0.10 - gw-a - - - - ingress - web vendor 10.0.0.240 1024 10.0.0.10 \
             8080 closed\n\
             5 acme acme-web 10.1.0.50 10.1.0.2 80 40000 6 4 4000 10 60 ACCEPT OK acme - - 19 \
             IPv4 10.0.0.10 10.1.0.2 - gw-a - - - - egress - web vendor 10.0.0.240 1024 \
             10.0.0.10 8080 closed\n"
        );
    }

    #[test]
    fn refusals_and_gaps_have_lines_of_their_own() {
        let fields = LogField::default_fields();
        let refused = Record {
            kind: RecordKind::Refused,
            packets_in: 1,
            bytes_in: 60,
            packets_out: 0,
            target: None,
            ..record()
        };
        assert_eq!(
            lines(&refused, &fields),
            "2 acme acme-web 10.1.0.2 10.1.0.50 40000 80 6 1 60 10 60 REJECT OK\n"
        );
        let mut text = String::new();
        let [start, end] = [1_000, 2_999].map(Timestamp::from_millis);
        skipped(&mut text, start, end, &fields);
        assert_eq!(text, "2 - - - - - - - - - 1 2 - SKIPDATA\n");
    }

    #[test]
    fn the_page_lists_every_field_with_its_value() {
        let page = include_str!("../../../docs/flow-log.md");
        let (_, rest) = page.split_once("<!-- generated: vpc-fields -->\n").unwrap();
        let (table, _) = rest.split_once("<!-- end -->").unwrap();
        assert_eq!(table.trim(), fields_table().trim(), "run `cargo xtask docs`");
    }
}
