//! privatelink-ebpf
