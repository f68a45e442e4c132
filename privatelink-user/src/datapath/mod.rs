//! The BPF maps and programs: what they should hold, the difference, and the kernel.

pub mod bpf;
pub mod flow_records;
pub mod frames;
pub mod memory;
pub mod op;
pub mod plan;
pub mod store;
pub mod tables;
pub mod teardown;
