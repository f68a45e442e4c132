//! The gateway's own settings.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use super::values::FlowLogFormat;
use crate::{
    config::{
        decode::{Decode, List, OneOrMore},
        diagnostic::Report,
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::{Written, quoted},
    },
    etcd::Endpoint,
    model::{
        self, Destination, DnsName, DnsTtl, LogField, LogFiles, LogInterval, LogLevel, MaxFlows,
        Name, Quantity, WebhookUrl,
    },
};

section! {
    /// The gateway's own settings.
    Gateway "[gateway]" {
        /// Name of the gateway, which is also the name of its zone.
        name: Name = required r#"name = "gw-a""#,
        /// Suffix of generated DNS names.
        domain: DnsName = optional quoted(model::Gateway::DEFAULT_DOMAIN),
        /// Name server that is asked whether the owner of a private name agrees to its use: see
        /// [private names](dns.md).
        dns_proof: IpAddr = optional "none: no proof is needed",
        /// How long clients may cache answers about names.
        dns_ttl: DnsTtl = default model::Gateway::DEFAULT_DNS_TTL,
        /// Where [metrics](metrics.md) are served, such as `"127.0.0.1:9469"`.
        metrics: SocketAddr = optional "none: not served",
        /// File with the token for which scrapes see the series of networks, services and endpoints.
        /// Users of the host must not be able to read it.
        metrics_token_file: PathBuf = optional "none: scrapes see totals only",
        /// Capacity of the flow table. Flows beyond it are refused and counted.
        max_flows: MaxFlows = default model::Gateway::DEFAULT_MAX_FLOWS,
        /// Directory for decisions and allocated addresses.
        state_dir: PathBuf = default PathBuf::from(model::Gateway::DEFAULT_STATE_DIR),
        /// The daemon's control socket.
        socket: PathBuf = default PathBuf::from(model::Gateway::DEFAULT_SOCKET),
        /// Unix group whose members administer the gateway, besides root.
        group: String = optional "the group of the socket's file",
        /// Name servers for targets that are DNS names.
        resolvers: OneOrMore<IpAddr> = optional "the host's name servers",
        /// Directory in which maps, programs and links are pinned.
        pin_dir: PathBuf = default PathBuf::from(model::Gateway::DEFAULT_PIN_DIR),
        /// The least important messages that the daemon logs; `RUST_LOG` in its environment outranks
        /// it.
        log_level: LogLevel = default LogLevel::Info,
        /// Where flow records go, and what they contain: see `[gateway.flow_log]` below.
        flow_log: FlowLog = optional "none: no records",
        /// Programs to start for each [event](events.md).
        on_event: List<PathBuf> = default List::new(),
        /// Unix user that these programs run as, if the daemon is root; otherwise they run as the
        /// daemon's user.
        hook_user: String = optional quoted(model::Subscriptions::DEFAULT_HOOK_USER),
        /// URL to which each event is posted.
        webhook: WebhookUrl = optional "none",
        /// Certificates in PEM, one of which must have signed the webhook's certificate.
        webhook_ca_file: PathBuf = optional "those that the host trusts",
    }
}

section! {
    /// HTTPS for callers on other hosts.
    Api "[api]" {
        /// Address and port, such as `"10.9.0.1:9443"`. No network's interface leads to it, unless
        /// that network has `host = "all"`.
        listen: SocketAddr = required r#"listen = "10.9.0.1:9443""#,
        /// Certificate in PEM for that address, with those that lead to its authority. It is read
        /// again when it changes.
        certificate: PathBuf = required r#"certificate = "/etc/privatelink/api.pem""#,
        /// Private key of the certificate, in PEM.
        key: PathBuf = required r#"key = "/etc/privatelink/api.key""#,
        /// Certificates in PEM of the authority whose client certificates act for administrators.
        client_ca: PathBuf = optional "none",
    }
}

section! {
    /// The store that several gateways share.
    Store "[store]" {
        /// The members of etcd. They are asked in this order, so gateways that begin with different
        /// ones spread the load.
        etcd: OneOrMore<Endpoint> = required r#"etcd = ["https://10.9.0.11:2379"]"#,
        /// Certificates in PEM of the authority that has signed those of etcd. Required unless all
        /// addresses are on this host.
        ca: PathBuf = optional "none",
        /// The gateway's certificate in PEM. Its common name is the gateway's user in etcd.
        certificate: PathBuf = optional "none",
        /// Private key of the certificate, in PEM.
        key: PathBuf = optional "none",
        /// The gateways that share their state, such as those of a zone.
        group: Name = required r#"group = "east""#,
        /// The gateway's name in the group, which no other gateway of it has.
        name: Name = optional "the gateway's `name`",
    }
}

section! {
    /// Where flow records go, and what they contain.
    FlowLog "[gateway.flow_log]" {
        /// A file, a unix socket on which another program listens, or the daemon's standard output.
        to: Destination = required r#"to = "/var/log/privatelink/flows.log""#,
        /// `"json"`: one JSON object per line; `"vpc"`: lines of AWS VPC Flow Logs.
        format: FlowLogFormat = default FlowLogFormat::Json,
        /// The fields of the format `"vpc"`, in their order.
        fields: OneOrMore<LogField> as "list of field names" = optional "those of version 2",
        /// Time between interval records of a live flow.
        interval: LogInterval = default model::FlowLog::DEFAULT_INTERVAL,
        /// Whether refused flows get records as well.
        refusals: bool = default true,
        /// Size in bytes at which a file is rotated.
        rotate_size: Quantity = default model::FlowLog::DEFAULT_ROTATE_SIZE,
        /// How many rotated files are kept. With 0, another program must remove full files and
        /// make the daemon reload.
        rotate_count: LogFiles = default model::FlowLog::DEFAULT_ROTATE_COUNT,
    }
}
