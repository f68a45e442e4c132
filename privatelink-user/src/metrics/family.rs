//! Every family of metrics: its name, kind, labels and meaning, written once.
//!
//! `docs/metrics.md` describes the same, row by row; a test compares the two.

/// What the value of a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until whatever it counts for is gone.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is 1; the labels tell something.
    Info,
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// Samples of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name of each sample.
    pub name: &'static str,
    /// What their values are.
    pub kind: Kind,
    /// The names of their labels.
    pub labels: &'static [&'static str],
    /// One line on what they mean.
    pub help: &'static str,
}

/// Defines the families, in the order of the page.
macro_rules! families {
    ($($variant:ident: $kind:ident $name:literal [$($label:literal),*] = $help:literal;)+) => {
        $(
            #[doc = $help]
            pub static $variant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
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
        = "How many problems the status shows.";
    CONVERGED: Gauge "privatelink_last_convergence_timestamp_seconds" []
        = "When maps and interfaces were last brought after configuration and host without a fault.";
    RELOADS: Counter "privatelink_reloads_total" ["result"]
        = "Reloads of the configuration: success or failure.";
    RELOAD_SUCCESSFUL: Gauge "privatelink_last_reload_successful" []
        = "Whether the last reload was applied; 1 if there was none yet.";
    RELOAD_TIME: Gauge "privatelink_last_reload_success_timestamp_seconds" []
        = "When the configuration in force was read.";
    RELOAD_DURATION: Gauge "privatelink_last_reload_duration_seconds" []
        = "How long the last reload took; 0 if there was none yet.";
    FLOW_TABLE_FLOWS: Gauge "privatelink_flow_table_flows" []
        = "Flows in the flow table.";
    FLOW_TABLE_CAPACITY: Gauge "privatelink_flow_table_capacity_flows" []
        = "Flows that the flow table has room for.";
    DROPS: Counter "privatelink_drops_total" ["reason"]
        = "Packets not forwarded, by reason.";
    ENDS_LOST: Counter "privatelink_flow_ends_lost_total" []
        = "Flows whose end the daemon was not told, since it did not listen.";
    REFUSALS_LEFT_OUT: Counter "privatelink_refused_flows_left_out_total" []
        = "Refused flows that the daemon was not told of, since they were too many.";
    ERRORS_LEFT_OUT: Counter "privatelink_icmp_errors_left_out_total" []
        = "Refused packets whose sender was not told by an ICMP error, since there were too many.";
    FLOW_LOG_RECORDS: Counter "privatelink_flow_log_records_total" ["result"]
        = "Records of flows since the daemon was started: written or lost.";
    DNS_UP: Gauge "privatelink_dns_server_up" []
        = "Whether the name server answers the daemon; absent if there are no names to serve.";
    DNS_CONFLICTS: Gauge "privatelink_dns_conflicts" []
        = "Private names that are not served, since their owners do not agree.";
    DNS_TABLES: Counter "privatelink_dns_tables_total" ["network"]
        = "Tables of names that the name server was given, one in place of the other.";
    DNS_QUERIES: Counter "privatelink_dns_queries_total" ["network", "transport"]
        = "Queries for names.";
    DNS_ANSWERS: Counter "privatelink_dns_answers_total" ["network", "transport", "code"]
        = "Answers to queries, those of forwarders too, by code.";
    DNS_LIMITED: Counter "privatelink_dns_limited_total" ["network", "transport", "result"]
        = "Queries beyond the client's share: told to come by TCP, or dropped.";
    DNS_IGNORED: Counter "privatelink_dns_ignored_total" ["network", "transport"]
        = "What came as a query and is none.";
    DNS_FORWARDED: Counter "privatelink_dns_forwarded_total" ["network", "result"]
        = "Queries that forwarders were asked: answered or failed.";
    NETWORK_ATTACHED: Gauge "privatelink_network_attached" ["network", "interface", "mode"]
        = "Whether the network's packets are forwarded; mode is native, generic or none.";
    SERVICE_ENDPOINTS: Gauge "privatelink_service_endpoints" ["service", "state"]
        = "Endpoints that lead to the service, by the state of their connection.";
    SERVICE_TARGETS: Gauge "privatelink_service_targets" ["service", "health"]
        = "Targets of the service, by health.";
    SERVICE_PORTS_USED: Gauge "privatelink_service_source_ports_used_ratio" ["service"]
        = "Share of source ports in use towards that target port of the service where it is highest.";
    TARGET_RESOLVED: Gauge "privatelink_target_next_hop_resolved" ["service", "target"]
        = "Whether the next hop to the target answers.";
    TARGET_ACTIVE_FLOWS: Gauge "privatelink_target_active_flows" ["service", "target"]
        = "Flows to the target now.";
    TARGET_NEW_FLOWS: Counter "privatelink_target_new_flows_total" ["service", "target"]
        = "Flows opened to the target.";
    TARGET_ANSWERED: Counter "privatelink_target_answered_flows_total" ["service", "target"]
        = "TCP flows that the target has answered.";
    TARGET_REFUSED: Counter "privatelink_target_refused_flows_total" ["service", "target"]
        = "TCP flows that the target has reset instead of answering.";
    TARGET_RESETS: Counter "privatelink_target_resets_total" ["service", "target"]
        = "TCP resets from the target, refused flows among them.";
    TARGET_UNREACHABLE: Counter "privatelink_target_unreachable_total" ["service", "target"]
        = "ICMP errors that say that the target cannot be reached.";
    TARGET_PACKETS: Counter "privatelink_target_ended_packets_total" ["service", "target", "direction"]
        = "Packets of flows that have ended: in to the target, out from it.";
    TARGET_BYTES: Counter "privatelink_target_ended_bytes_total" ["service", "target", "direction"]
        = "Bytes of flows that have ended: in to the target, out from it.";
    ENDPOINT_STATE: Gauge "privatelink_endpoint_state" ["endpoint", "service", "network", "state"]
        = "1, with the state of the endpoint's connection as a label.";
    ENDPOINT_PACKETS: Counter "privatelink_endpoint_packets_total" ["endpoint", "service", "network", "direction"]
        = "Packets forwarded: in from consumers, out to them.";
    ENDPOINT_BYTES: Counter "privatelink_endpoint_bytes_total" ["endpoint", "service", "network", "direction"]
        = "Bytes of the forwarded IP packets.";
    ENDPOINT_NEW_FLOWS: Counter "privatelink_endpoint_new_flows_total" ["endpoint", "service", "network"]
        = "Flows opened.";
    ENDPOINT_RESETS: Counter "privatelink_endpoint_resets_total" ["endpoint", "service", "network", "from"]
        = "TCP resets forwarded: from a consumer or a target.";
    ENDPOINT_ANSWERS: Counter "privatelink_endpoint_answers_total" ["endpoint", "service", "network"]
        = "Refused packets whose sender was told by a TCP reset or an ICMP error.";
    ENDPOINT_ERRORS: Counter "privatelink_endpoint_icmp_errors_total" ["endpoint", "service", "network"]
        = "ICMP errors about packets of flows, translated.";
    ENDPOINT_ACTIVE_FLOWS: Gauge "privatelink_endpoint_active_flows" ["endpoint", "service", "network"]
        = "Flows now.";
    ENDPOINT_DROPS: Counter "privatelink_endpoint_drops_total" ["endpoint", "service", "network", "reason"]
        = "Packets not forwarded, by reason; only reasons that there were.";
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/metrics.md");

    /// The cells of the table's rows.
    fn rows() -> Vec<Vec<&'static str>> {
        let rows = PAGE.lines().filter(|line| line.starts_with("| `privatelink_"));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[test]
    fn the_page_describes_each_family() {
        let code = |text: &str| format!("`{text}`");
        let described: Vec<String> = rows().iter().map(|row| row[..3].join(" | ")).collect();
        let families = ALL.iter().map(|family| {
            let labels: Vec<String> = family.labels.iter().copied().map(code).collect();
            format!("{} | {} | {}", code(family.name), family.kind.word(), labels.join(", "))
        });
        assert_eq!(described, families.collect::<Vec<_>>(), "docs/metrics.md");
        assert!(
            rows().iter().all(|row| row.len() == 5
                && row.iter().all(|cell| { !cell.is_empty() || cell == &row[2] }))
        );
    }

    #[test]
    fn names_follow_the_rules_of_both_formats() {
        for family in ALL {
            let name = family.name;
            assert!(name.starts_with("privatelink_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), family.kind == Kind::Info, "{name}");
            // Then no page has to escape it.
            assert!(!family.help.contains(['\\', '"', '\n']), "{name}");
            let same = ALL.iter().filter(|other| other.name == name);
            assert_eq!(same.count(), 1, "{name}");
        }
    }
}
