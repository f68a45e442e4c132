//! The backbone: other sites, and the links to them.

use std::net::SocketAddr;

use super::values::Who;
use crate::{
    config::{
        decode::{Decode, List, OneOrMore},
        diagnostic::Report,
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::{Written, quoted},
    },
    model::{self, Keepalive, Name, Namespace, Port, PortRange, PublicKey, WireGuard},
};

section! {
    /// This host's part of the backbone.
    Backbone "[backbone]" {
        /// The name by which other sites know this one: each writes it as the `name` of its `[[site]]`.
        site: Name = required r#"site = "site-a""#,
        /// The UDP port of encrypted packets.
        listen: Port = optional format!("`{}`", model::Backbone::DEFAULT_LISTEN),
        /// The network namespace, below `/run/netns`, in which packets are decrypted. It is made if
        /// it is not there.
        namespace: Namespace = optional quoted(model::Backbone::DEFAULT_NAMESPACE),
        /// Which implementation of WireGuard encrypts: `"kernel"`, `"userspace"` (`wireguard-go`), or
        /// `"auto"`: the kernel's where there is one.
        wireguard: WireGuard = default WireGuard::Auto,
    }
}

section! {
    /// Another site. It is a network here, of the same name: endpoints in that network are what the
    /// site may use.
    Site "[[site]]" {
        /// The name that it has in its own `[backbone]`.
        name: Name = required r#"name = "site-b""#,
        /// The principal that it is here, which services list in `allow`.
        principal: Name = optional "the site's name",
        /// Its public keys, as `privatelink site key` prints them there: one, or two while it changes
        /// its key.
        public_key: OneOrMore<PublicKey> = required r#"public_key = ["…"]"#,
        /// Where it receives encrypted packets.
        address: SocketAddr = optional "none: it dials, and is answered where it dials from",
        /// How often to send something while there is nothing to send, so that a NAT on the way
        /// keeps the link open.
        keepalive: Keepalive = optional
            format!("{} with an `address`, else never", model::Site::DEFAULT_KEEPALIVE.written()),
        /// Services of that site that endpoints here may use, as `SITE/SERVICE`: see
        /// `[[site.service]]` below.
        service: List<SiteService> = optional "none",
    }
}

section! {
    /// A service of another site that endpoints here may use.
    SiteService "[[site.service]]" {
        /// Its name there.
        name: Name = required r#"name = "payments""#,
        /// The principals whose endpoints may use it. `["*"]` is every principal.
        allow: OneOrMore<Who> as "list of principals, or `[\"*\"]`" = required r#"allow = ["acme"]"#,
        /// TCP ports on which it is offered there, and is here.
        tcp: OneOrMore<PortRange> = optional "none",
        /// UDP ports on which it is offered there, and is here.
        udp: OneOrMore<PortRange> = optional "none",
        /// Names under which consumers find it here.
        private_dns: List<model::DnsPattern> = default List::new(),
    }
}
