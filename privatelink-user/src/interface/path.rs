//! The paths of the API, for both ends.

/// What the gateway is doing.
pub const STATUS: &str = "/v1/status";
/// The networks.
pub const NETWORKS: &str = "/v1/networks";
/// The services.
pub const SERVICES: &str = "/v1/services";
/// The endpoints.
pub const ENDPOINTS: &str = "/v1/endpoints";
/// The targets.
pub const TARGETS: &str = "/v1/targets";
/// The flows.
pub const FLOWS: &str = "/v1/flows";
/// Who stands behind a source address and port.
pub const WHOIS: &str = "/v1/whois";
/// The connections; behind it stand an endpoint's name and what is decided.
pub const CONNECTIONS: &str = "/v1/connections";
/// The latest events.
pub const EVENTS: &str = "/v1/events";
/// Events as they happen, one a line.
pub const FOLLOW: &str = "/v1/events/follow";
/// What another configuration would change.
pub const PLAN: &str = "/v1/plan";
/// Apply the configuration on disk.
pub const RELOAD: &str = "/v1/reload";
/// Stop forwarding, and end.
pub const DOWN: &str = "/v1/down";
/// The description of this interface.
pub const OPENAPI: &str = "/v1/openapi.json";
