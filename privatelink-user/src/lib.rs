//! The gateway's daemon and its command line.
//!
//! ```text
//! files ─config─► Model ─desired─► MapTables ─plan─► maps
//!                state ─┘    └─ host         └─ store (what the maps hold now)
//! ```
//!
//! Control flows one way: nothing on the right decides about anything on the left. Up to the
//! plan everything is computed from values, without a look at the outside.
//!
//! The rooms, from the ground up. A room imports only from rooms above it in this list:
//!
//! | room | what it holds |
//! |---|---|
//! | [`timestamp`], [`chain`], [`supervision`], [`digest`] | moments; an error with its causes on one line; what panics, and runs again; SHA-256 |
//! | [`framing`], [`confinement`] | frames to a process of the daemon's own; how that drops its rights |
//! | [`etcd`] | a client of the store that gateways share |
//! | [`model`] | the validated configuration |
//! | [`interface`] | the contract of the API: types and paths, no behaviour |
//! | [`host`] | interfaces, addresses and neighbours of this host; its certificates |
//! | [`datapath`] | the BPF maps as plain data, the plan that changes them, the kernel's side, frames |
//! | [`state`] | what outlives the daemon: indices, addresses, connections, drains |
//! | [`access`] | who may see and do what |
//! | [`config`] | from text to a model, or to everything that is wrong with it |
//! | [`objects`] | what the API may write |
//! | [`desired`] | what the maps should hold |
//! | [`flow_log`] | a record of every flow |
//! | [`watch`] | health checks; targets found by name or listed in a file |
//! | [`view`] | what people are shown, computed without I/O |
//! | [`audit`] | who has changed what, and who was refused |
//! | [`events`] | what has changed, and who is notified |
//! | [`dns`] | the name server, and what it is given to serve |
//! | [`api`] | the server on the control socket |
//! | [`metrics`] | what Prometheus scrapes |
//! | [`daemon`] | the loop that owns all state and connects everything |
//! | [`cli`] | the command line |

// In the order of the table; the empty lines keep rustfmt from sorting them.

pub mod timestamp;

pub mod chain;

pub mod supervision;

pub mod token_bucket;

pub mod digest;

pub mod framing;

pub mod confinement;

pub mod etcd;

pub mod model;

pub mod interface;

pub mod host;

pub mod datapath;

pub mod state;

pub mod access;

pub mod config;

pub mod objects;

pub mod desired;

pub mod flow_log;

pub mod watch;

pub mod view;

pub mod audit;

pub mod events;

pub mod dns;

pub mod backbone;
pub mod trial;

pub mod api;

pub mod metrics;

pub mod daemon;

pub mod doctor;

pub mod cli;
