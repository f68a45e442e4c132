//! The backbone: other sites, and the links to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// This site, and its links to others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backbone {
    /// The name of this site.
    pub site: String,
    /// Its public key, which other sites list; absent until it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The key that it uses once all other sites list it; absent if none is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_public_key: Option<String>,
    /// Which implementation of WireGuard encrypts; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard: Option<String>,
    /// The UDP port of encrypted packets.
    pub listen: u16,
    /// The other sites, by name.
    pub sites: Vec<Site>,
}

/// Another site, and the link to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Its name, which is that of its network here.
    pub name: String,
    /// The principal that it is here.
    pub principal: String,
    /// Whether it reports.
    pub up: bool,
    /// For how long it has been silent; absent if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// Its public key that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Where the configuration says it is; absent if it dials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The age of the last handshake; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_age_seconds: Option<u64>,
    /// Encrypted bytes received from it.
    pub received_bytes: u64,
    /// Encrypted bytes sent to it.
    pub sent_bytes: u64,
    /// Its services that endpoints here may use.
    pub services: Vec<SiteService>,
    /// What does not fit between the two configurations.
    pub problems: Vec<String>,
}

/// A service of another site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteService {
    /// Its name there.
    pub service: String,
    /// What the provider there has decided; absent while the site does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// How to change this site's key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSiteKey {
    /// Whether to use the new key even if a site does not list it yet, and so loses the link.
    #[serde(default)]
    pub force: bool,
}

/// What a change of this site's key has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SiteKeyRotation {
    /// The key in use.
    pub public_key: String,
    /// The key that comes next; absent once it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_public_key: Option<String>,
    /// The sites that do not list it yet.
    pub missing: Vec<String>,
}
