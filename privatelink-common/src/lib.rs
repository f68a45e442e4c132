//! privatelink-common
