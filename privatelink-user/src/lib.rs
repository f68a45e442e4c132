//! privatelink-user
