//! Access keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An access key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessKey {
    /// The key's public part, by which it is named.
    pub id: String,
    /// The principal that it acts for; absent if it acts for the administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Whether it acts for the administrators.
    pub administrator: bool,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was made, in RFC 3339.
    pub created: String,
    /// Who made it.
    pub by: String,
    /// When it ends, in RFC 3339; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was last used, in RFC 3339; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
    /// The address that it was last used from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_address: Option<String>,
}

/// What a new access key is for: a principal, or the administrators.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The principal that it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Whether it acts for the administrators.
    #[serde(default)]
    pub administrator: bool,
    /// Whether it may only read.
    #[serde(default)]
    pub read_only: bool,
    /// After how many seconds it ends; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 315_576_000)]
    pub expires_in_seconds: Option<u64>,
}

impl NewKey {
    /// The longest period of a key that ends: ten years.
    pub const LONGEST: u64 = 315_576_000;
}

/// A key that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeKey {
    /// What the list of keys shows of it.
    #[serde(flatten)]
    pub key: AccessKey,
    /// The key itself. It is shown this once, and kept nowhere.
    pub secret: String,
}
