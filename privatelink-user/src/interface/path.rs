//! The paths of the API, for both ends.

use crate::model::Name;

/// What the gateway is doing.
pub const STATUS: &str = "/v1/status";
/// The networks.
pub const NETWORKS: &str = "/v1/networks";
/// One network.
pub const NETWORK: &str = "/v1/networks/{name}";
/// The names that a network is served.
pub const NETWORK_NAMES: &str = "/v1/networks/{name}/names";
/// The services.
pub const SERVICES: &str = "/v1/services";
/// One service.
pub const SERVICE: &str = "/v1/services/{name}";
/// The services that the caller may connect to.
pub const CATALOGUE: &str = "/v1/catalogue";
/// One of them.
pub const CATALOGUE_ENTRY: &str = "/v1/catalogue/{name}";
/// The endpoints.
pub const ENDPOINTS: &str = "/v1/endpoints";
/// One endpoint.
pub const ENDPOINT: &str = "/v1/endpoints/{name}";
/// Walk an endpoint's way, and say which step fails.
pub const ENDPOINT_TEST: &str = "/v1/endpoints/{name}/test";
/// One target of a service that the API has made.
pub const SERVICE_TARGET: &str = "/v1/services/{name}/targets/{address}";
/// All that the API has made.
pub const OBJECTS: &str = "/v1/objects";
/// The targets.
pub const TARGETS: &str = "/v1/targets";
/// The flows.
pub const FLOWS: &str = "/v1/flows";
/// The client behind a source address and port.
pub const WHOIS: &str = "/v1/whois";
/// The gateways that share a store.
pub const FLEET: &str = "/v1/fleet";
/// The connections.
pub const CONNECTIONS: &str = "/v1/connections";
/// One connection, with its history.
pub const CONNECTION: &str = "/v1/connections/{endpoint}";
/// Accept a connection.
pub const ACCEPT: &str = "/v1/connections/{endpoint}/accept";
/// Reject a connection.
pub const REJECT: &str = "/v1/connections/{endpoint}/reject";
/// Request an expired connection again.
pub const REQUEST: &str = "/v1/connections/{endpoint}/request";
/// The latest events.
pub const EVENTS: &str = "/v1/events";
/// Events as they happen, one per line.
pub const FOLLOW: &str = "/v1/events/follow";
/// The metrics.
pub const METRICS: &str = "/v1/metrics";
/// What another configuration would change.
pub const PLAN: &str = "/v1/plan";
/// Apply the configuration on disk.
pub const RELOAD: &str = "/v1/reload";
/// Makes the flow table as large as the configuration asks.
pub const GROW: &str = "/v1/grow";
/// Stop forwarding, and end the daemon.
pub const DOWN: &str = "/v1/down";
/// The access keys.
pub const KEYS: &str = "/v1/keys";
/// One access key.
pub const KEY: &str = "/v1/keys/{id}";
/// This site, and its links to others.
pub const SITES: &str = "/v1/sites";
/// This site's next key.
pub const ROTATE_SITE_KEY: &str = "/v1/sites/rotate-key";
/// The audit log.
pub const AUDIT: &str = "/v1/audit";
/// Whether the audit log is whole.
pub const AUDIT_CHECK: &str = "/v1/audit/check";
/// The OpenAPI document.
pub const OPENAPI: &str = "/v1/openapi.json";

/// Puts a name in place of the parameter of a path, such as `{name}`.
pub fn of(path: &str, name: &Name) -> String {
    let parameter =
        path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    match parameter {
        // The name of another site's service has a slash, which is no separator of the path.
        Some((head, (_, tail))) => format!("{head}{}{tail}", name.as_str().replace('/', "%2F")),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_replaces_the_parameter() {
        let name: Name = "acme-web".parse().unwrap();
        assert_eq!(of(ENDPOINT, &name), "/v1/endpoints/acme-web");
        assert_eq!(of(ACCEPT, &name), "/v1/connections/acme-web/accept");
        assert_eq!(of(STATUS, &name), STATUS);
        let remote = Name::of_service("site-b/payments").unwrap();
        assert_eq!(of(SERVICE, &remote), "/v1/services/site-b%2Fpayments");
    }
}
