//! Every family of metrics: name, type, labels and meaning, in one place.
//!
//! From here come the lines `# HELP` and `# TYPE` of a scrape, and the table of `docs/metrics.md`.

use std::fmt::Write as _;

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// A value that only grows, until the object that it counts for is removed.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// Always 1; the labels carry the information.
    Info,
}

impl MetricType {
    /// The name in OpenMetrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// A family: the samples that share a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name of each sample.
    pub name: &'static str,
    /// What their values are.
    pub metric_type: MetricType,
    /// The names of their labels.
    pub labels: &'static [&'static str],
    /// What they mean, in one line that both formats and the page show.
    pub help: &'static str,
    /// What only the page says besides, in Markdown; may be empty.
    pub details: &'static str,
    /// The names of the same or a similar metric in CloudWatch, in Markdown.
    pub cloudwatch: &'static str,
}

/// Defines the families, in the order of the page: after `=` the help, after `+` what only the page
/// says, after `as` the names in CloudWatch.
macro_rules! families {
    ($(
        $variant:ident: $type:ident $name:literal [$($label:literal),*]
            = $help:literal $(+ $details:literal)? $(as $cloudwatch:literal)?;
    )+) => {
        $(
            #[doc = $help]
            pub static $variant: Family = Family {
                name: $name,
                metric_type: MetricType::$type,
                labels: &[$($label),*],
                help: $help,
                details: concat!($($details)?),
                cloudwatch: [$($cloudwatch,)? "none"][0],
            };
        )+

        /// Every family, in the order of the page.
        pub static ALL: &[&Family] = &[$(&$variant,)+];
    };
}

families! {
    BUILD: Info "privatelink_build_info" ["gateway", "version"]
        = "The gateway's name and the release of its daemon.";
    START_TIME: Gauge "privatelink_start_time_seconds" []
        = "When the daemon was started, in seconds since 1970.";
    READY: Gauge "privatelink_ready" []
        = "Whether packets can flow: 1, or 0 while the daemon starts.";
    PROBLEMS: Gauge "privatelink_problems" []
        = "How many problems the status shows."
        + "See `privatelink status`.";
    CONVERGED: Gauge "privatelink_last_convergence_timestamp_seconds" []
        = "When maps and interfaces were last reconciled without an error."
        + "At least every 30 seconds, if the daemon is well.";
    RELOADS: Counter "privatelink_reloads_total" ["result"]
        = "Reloads of the configuration: success or failure."
        + "Counted from the start of the daemon; after a `failure` the configuration in force \
           stays.";
    RELOAD_SUCCESSFUL: Gauge "privatelink_last_reload_successful" []
        = "Whether the last reload was applied; 1 if there was none yet.";
    RELOAD_TIME: Gauge "privatelink_last_reload_success_timestamp_seconds" []
        = "When the configuration in force was read.";
    RELOAD_DURATION: Gauge "privatelink_last_reload_duration_seconds" []
        = "How long the last reload took; 0 if there was none yet.";
    FLOW_TABLE_FLOWS: Gauge "privatelink_flow_table_flows" []
        = "Flows in the flow table."
        + "Those of all endpoints.";
    FLOW_TABLE_CAPACITY: Gauge "privatelink_flow_table_capacity_flows" []
        = "Flows that the flow table has room for."
        + "The key `max_flows`.";
    DROPS: Counter "privatelink_drops_total" ["reason"]
        = "Packets not forwarded, by reason."
        + "The [reasons](drop-reasons.md); of all packets, whether or not their endpoint is \
           known."
        as "`PacketsDropped`, without reasons; `PortAllocationErrorCount` is `ports_exhausted`, \
            `SecurityGroupBlockedFlowCount` is `not_allowed`, `RejectedFlowCount` is `no_target`, \
            `flow_table_full` and the limits";
    ENDS_LOST: Counter "privatelink_flow_ends_lost_total" []
        = "Flow-end records dropped because the ring was full."
        + "The daemon did not run for a while, or was too slow. The flow log misses these \
           records; no other count is wrong.";
    REFUSALS_LEFT_OUT: Counter "privatelink_refused_flows_left_out_total" []
        = "Refused flows not reported to the daemon because there were too many."
        + "Each of their packets is counted as a drop.";
    ERRORS_LEFT_OUT: Counter "privatelink_icmp_errors_left_out_total" []
        = "Refused packets answered with no ICMP error because there were too many."
        + "See [the limit](drop-reasons.md#what-the-sender-is-told). Each is counted as a drop.";
    WRONG_KEYS: Counter "privatelink_api_wrong_keys_total" []
        = "HTTPS requests refused since the daemon was started because they brought no key of this gateway."
        + "See [access](access.md#wrong-keys).";
    FLOW_LOG_RECORDS: Counter "privatelink_flow_log_records_total" ["result"]
        = "Flow-log records since the daemon was started: written or lost."
        + "Records are `lost` when writing fails or is too slow, or when the kernel reports \
           nothing. Both stay 0 without a [flow log](flow-log.md).";
    DNS_UP: Gauge "privatelink_dns_server_up" []
        = "Whether the name server answers the daemon; absent if there are no names to serve."
        + "So are all others that begin with `privatelink_dns`. See [names](dns.md).";
    DNS_CONFLICTS: Gauge "privatelink_dns_conflicts" []
        = "Private names that are not served because their owners conflict.";
    DNS_TABLES: Counter "privatelink_dns_tables_total" ["network"]
        = "Name tables loaded."
        + "This and the following count from the start of the name server, which keeps running \
           when the daemon is restarted.";
    DNS_QUERIES: Counter "privatelink_dns_queries_total" ["network", "transport"]
        = "Queries for names, by transport."
        + "`udp` or `tcp`.";
    DNS_ANSWERS: Counter "privatelink_dns_answers_total" ["network", "transport", "code"]
        = "Answers to queries, by response code, including those of forwarders."
        + "`noerror`, `formerr`, `servfail`, `nxdomain`, `notimp`, `refused` or `other`.";
    DNS_LIMITED: Counter "privatelink_dns_limited_total" ["network", "transport", "result"]
        = "Queries beyond the client's rate: truncated, so that it asks again over TCP, or \
           dropped."
        + "The key `dns_rate`.";
    DNS_IGNORED: Counter "privatelink_dns_ignored_total" ["network", "transport"]
        = "Messages that are not valid queries."
        + "They are not answered.";
    DNS_FORWARDED: Counter "privatelink_dns_forwarded_total" ["network", "result"]
        = "Queries sent to forwarders: answered or failed."
        + "They are `failed` when none of the network's `forwarders` answers, or when too many \
           wait.";
    NETWORK_ATTACHED: Gauge "privatelink_network_attached" ["network", "interface", "mode"]
        = "Whether the network's packets are forwarded; mode is native, generic, tc or none.";
    SITE_UP: Gauge "privatelink_site_up" ["site"]
        = "Whether the other site reports."
        + "So are all others that begin with `privatelink_site`: absent without \
           [other sites](backbone.md).";
    SITE_HANDSHAKE_AGE: Gauge "privatelink_site_handshake_age_seconds" ["site"]
        = "Time since the last handshake with the other site."
        + "While packets pass, there is one every two minutes; absent before the first.";
    SITE_BYTES: Counter "privatelink_site_bytes_total" ["site", "direction"]
        = "Encrypted bytes exchanged with the other site: in or out."
        + "Counted from when the link was made, or the site's key changed.";
    EVENTS_LEFT_OUT: Counter "privatelink_events_left_out_total" ["principal"]
        = "Events of the principal beyond its budget: counted, not logged, stored or delivered."
        + "See [noise](events.md#noise). Counted from the start of the daemon.";
    EVENTS_UNLOGGED: Counter "privatelink_events_unlogged_total" ["principal"]
        = "Events of the principal without a line in the daemon's log."
        + "See [noise](events.md#noise). Counted from the start of the daemon.";
    EVENTS_UNDELIVERED: Counter "privatelink_events_undelivered_total" ["principal"]
        = "Events of the principal that a hook or the webhook did not get: too many were waiting."
        + "See [noise](events.md#noise). Counted from the start of the daemon.";
    REFUSED_FLOWS_UNLOGGED: Counter "privatelink_refused_flows_unlogged_total" ["principal"]
        = "Refused flows of the principal beyond its budget in the flow log."
        + "See [the flow log](flow-log.md#destinations). Counted from the start of the daemon; they \
           are among the lost records.";
    PRINCIPAL_USED: Gauge "privatelink_principal_used" ["principal", "resource"]
        = "How much the principal has: services, endpoints, targets or flows.";
    PRINCIPAL_QUOTA: Gauge "privatelink_principal_quota" ["principal", "resource"]
        = "How much the principal may have; absent without a limit."
        + "The key `quota`.";
    SERVICE_ENDPOINTS: Gauge "privatelink_service_endpoints" ["service", "state"]
        = "Endpoints of the service, by the state of their connection."
        as "`EndpointsCount`";
    SERVICE_TARGETS: Gauge "privatelink_service_targets" ["service", "health"]
        = "Targets of the service, by health."
        as "`HealthyHostCount`, `UnHealthyHostCount`";
    SERVICE_PORTS_USED: Gauge "privatelink_service_source_ports_used_ratio" ["service"]
        = "Highest share of source ports in use towards one target port of the service."
        + "Of all the service's source addresses together. Counted every 10 seconds, or less \
           often if that would take more than a fiftieth of a processor."
        as "none: `PortAllocationErrorCount` tells when it is too late";
    TARGET_RESOLVED: Gauge "privatelink_target_next_hop_resolved" ["service", "target"]
        = "Whether the next hop to the target answers.";
    TARGET_ACTIVE_FLOWS: Gauge "privatelink_target_active_flows" ["service", "target"]
        = "Flows to the target now."
        + "Counted like the source ports."
        as "`ActiveFlowCount`";
    TARGET_NEW_FLOWS: Counter "privatelink_target_new_flows_total" ["service", "target"]
        = "Flows opened to the target."
        as "`NewFlowCount`";
    TARGET_ANSWERED: Counter "privatelink_target_answered_flows_total" ["service", "target"]
        = "TCP flows that the target has answered."
        + "With SYN-ACK.";
    TARGET_REFUSED: Counter "privatelink_target_refused_flows_total" ["service", "target"]
        = "TCP flows that the target has reset instead of answering."
        + "Nothing listens there.";
    TARGET_RESETS: Counter "privatelink_target_resets_total" ["service", "target"]
        = "TCP resets from the target, refused flows among them."
        as "`TCP_Target_Reset_Count`";
    TARGET_UNREACHABLE: Counter "privatelink_target_unreachable_total" ["service", "target"]
        = "ICMP errors about flows that report the target unreachable.";
    TARGET_PACKETS: Counter "privatelink_target_ended_packets_total" ["service", "target", "direction"]
        = "Packets of flows that have ended: in to the target, out from it."
        + "Those of live flows are counted for the endpoint only.";
    TARGET_BYTES: Counter "privatelink_target_ended_bytes_total" ["service", "target", "direction"]
        = "Bytes of flows that have ended: in to the target, out from it.";
    ENDPOINT_STATE: Gauge "privatelink_endpoint_state" ["endpoint", "service", "network", "state"]
        = "1, with the state of the endpoint's connection as a label."
        + "`available`, `pending-acceptance`, `rejected` or `expired`.";
    ENDPOINT_PACKETS: Counter "privatelink_endpoint_packets_total" ["endpoint", "service", "network", "direction"]
        = "Packets forwarded: in from consumers, out to them."
        as "`ProcessedPackets`";
    ENDPOINT_BYTES: Counter "privatelink_endpoint_bytes_total" ["endpoint", "service", "network", "direction"]
        = "Bytes of the forwarded IP packets."
        + "From the IP header on, as they arrived."
        as "`BytesProcessed`, `ProcessedBytes`";
    ENDPOINT_NEW_FLOWS: Counter "privatelink_endpoint_new_flows_total" ["endpoint", "service", "network"]
        = "Flows opened."
        as "`NewConnections`, `NewFlowCount`";
    ENDPOINT_RESETS: Counter "privatelink_endpoint_resets_total" ["endpoint", "service", "network", "from"]
        = "TCP resets forwarded: from a consumer or a target; not those by which the other end confirms one."
        as "`RstPacketsReceived`, `RstPacketsSent`: from the target; `TCP_Client_Reset_Count`, \
            `TCP_Target_Reset_Count`";
    ENDPOINT_ANSWERS: Counter "privatelink_endpoint_answers_total" ["endpoint", "service", "network"]
        = "Refused packets that the gateway answered with a TCP reset or an ICMP error."
        as "`TCP_ELB_Reset_Count`";
    ENDPOINT_ERRORS: Counter "privatelink_endpoint_icmp_errors_total" ["endpoint", "service", "network"]
        = "ICMP errors about packets of flows, translated."
        + "They are not among packets and bytes.";
    ENDPOINT_ACTIVE_FLOWS: Gauge "privatelink_endpoint_active_flows" ["endpoint", "service", "network"]
        = "Flows now."
        + "Those that were opened and have not ended. A TCP flow that both ends have closed \
           counts for another 10 seconds or so."
        as "`ActiveConnections`, `ActiveFlowCount`";
    ENDPOINT_FLOW_SHARE: Gauge "privatelink_endpoint_flow_share" ["endpoint", "service", "network"]
        = "Flows that the endpoint may count on when the flow table is short of room."
        + "Compare `privatelink_endpoint_active_flows`.";
    ENDPOINT_BORROWED_FLOWS: Gauge "privatelink_endpoint_borrowed_flows" ["endpoint", "service", "network"]
        = "Flows now beyond the endpoint's share."
        + "When other endpoints need their own shares, these are displaced.";
    ENDPOINT_SOURCE_PORTS: Gauge "privatelink_endpoint_source_ports" ["endpoint", "service", "network"]
        = "Source ports that the endpoint has now."
        + "They are given out in blocks of 16; a block counts while it has a flow.";
    ENDPOINT_SOURCE_PORT_SHARE: Gauge "privatelink_endpoint_source_port_share" ["endpoint", "service", "network"]
        = "Source ports that the endpoint may count on when they are short."
        + "Compare `privatelink_endpoint_source_ports`.";
    ENDPOINT_BORROWED_SOURCE_PORTS: Gauge "privatelink_endpoint_borrowed_source_ports" ["endpoint", "service", "network"]
        = "Source ports that the endpoint has beyond its share."
        + "Two minutes after their last flow they can go back to the endpoints whose share they are.";
    ENDPOINT_DROPS: Counter "privatelink_endpoint_drops_total" ["endpoint", "service", "network", "reason"]
        = "Packets not forwarded, by reason; only reasons that there were."
        + "The [reasons](drop-reasons.md); only packets whose endpoint is known."
        as "as for `privatelink_drops_total`";
}

/// The families as a table in Markdown.
pub fn table() -> String {
    let mut table =
        "| metric | type | labels | meaning | CloudWatch |\n|---|---|---|---|---|\n".to_owned();
    for Family { name, metric_type, labels, help, details, cloudwatch } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let meaning = format!("{help} {details}");
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{name}` | {} | {} | {} | {cloudwatch} |",
            metric_type.word(),
            labels.join(", "),
            meaning.trim_end().trim_end_matches('.'),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_family() {
        let table = table();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows.len(), ALL.len());
        for (row, family) in rows.iter().zip(ALL) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 5, "{row}");
            assert_eq!(cells[0], format!("`{}`", family.name));
            assert!(cells[3].starts_with(family.help.trim_end_matches('.')), "{row}");
        }
    }

    #[test]
    fn names_follow_the_rules_of_both_formats() {
        for family in ALL {
            let name = family.name;
            assert!(name.starts_with("privatelink_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                family.metric_type == MetricType::Counter,
                "{name}"
            );
            assert_eq!(name.ends_with("_info"), family.metric_type == MetricType::Info, "{name}");
            // Then no page has to escape it.
            assert!(!family.help.contains(['\\', '"', '\n']), "{name}");
            let same = ALL.iter().filter(|other| other.name == name);
            assert_eq!(same.count(), 1, "{name}");
        }
    }
}
