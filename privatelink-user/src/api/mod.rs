//! The daemon's interface to the command line: HTTP and JSON over a unix socket.

pub mod server;
pub mod types;

/// The paths of the interface, for both ends.
pub mod path {
    /// What the gateway is doing.
    pub const STATUS: &str = "/v1/status";
    /// The flows.
    pub const FLOWS: &str = "/v1/flows";
    /// The endpoints.
    pub const ENDPOINTS: &str = "/v1/endpoints";
    /// Stop forwarding, and end.
    pub const DOWN: &str = "/v1/down";
}
