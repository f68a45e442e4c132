//! Names that no provider may have, whoever it is: clients, resolvers or registries give them a
//! meaning of their own.

use crate::{
    config::{
        diagnostic::{Fault, Report},
        source::Located,
    },
    model::DnsPattern,
};

/// Names that are not looked up in the DNS, or that belong to its operation, each with all names
/// below it, and where that is said.
const SPECIAL: [(&str, &str); 7] = [
    ("localhost", "RFC 6761: it is the client's own host"),
    ("local", "RFC 6762: it is looked up by multicast on the client's link"),
    ("invalid", "RFC 6761: it never exists"),
    ("test", "RFC 6761: it is for tests only"),
    ("onion", "RFC 7686: it is looked up in Tor"),
    ("alt", "RFC 9476: it is not looked up in the DNS"),
    ("arpa", "RFC 3172: it is the infrastructure of the DNS itself, reverse lookups included"),
];

/// First labels that clients look up without being asked to, and obey.
const OBEYED: [(&str, &str); 2] =
    [("wpad", "web browsers take their proxy from it"), ("isatap", "Windows routes IPv6 to it")];

/// Reports a private name that no provider may have.
pub(super) fn check(name: &Located<DnsPattern>, report: &mut Report) {
    let base = name.value.base().as_str();
    let whole = |suffix: &str| {
        base == suffix || base.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
    };
    let first = base.split('.').next().unwrap_or_default();
    let fault = |why: String, help: &str| {
        Fault::new(format!("`{}` cannot be a private name: {why}", name.value))
            .at(name.at)
            .help(help)
    };
    if let Some((special, why)) = SPECIAL.iter().find(|(special, _)| whole(special)) {
        let why = format!("`{special}` has a meaning of its own ({why})");
        report.push(fault(why, "use a name below a domain of your own, or below `internal`"));
    } else if let Some((label, why)) = OBEYED.iter().find(|(label, _)| *label == first) {
        let why = format!("clients obey `{label}`: {why}");
        report.push(fault(why, "begin the name with another label"));
    } else if !base.contains('.') {
        report.push(fault(
            format!("`{base}` is a top-level domain, and belongs to no provider"),
            "use a name below it, such as \"payments.internal\"",
        ));
    } else if is_public_suffix(base) {
        report.push(fault(
            format!("`{base}` is a public suffix: the names below it belong to many owners"),
            "use a name below a domain that is registered to the provider, such as \
             \"api.example.com\"",
        ));
    }
}

/// Whether the names directly below this one have owners of their own.
fn is_public_suffix(name: &str) -> bool {
    let is_suffix = |name: &str| psl::suffix_str(name) == Some(name);
    // A rule of the list such as `*.kawasaki.jp` makes suffixes of all names below one.
    is_suffix(name) || is_suffix(&format!("x.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Location;

    fn refused(name: &str) -> bool {
        let mut report = Report::default();
        let value = name.parse().unwrap();
        check(&Located { value, at: Location::new(0, 0..1) }, &mut report);
        !report.is_empty()
    }

    #[test]
    fn names_with_a_meaning_of_their_own_are_refused() {
        for name in [
            // Top-level domains, and everything below them.
            "com",
            "*.com",
            "internal",
            "*.internal",
            "lan",
            "*.corp",
            // Public suffixes.
            "co.uk",
            "*.co.uk",
            "*.github.io",
            "xn--55qx5d.cn",
            "kawasaki.jp",
            "*.kawasaki.jp",
            "foo.ck",
            // Names that are not looked up in the DNS.
            "localhost",
            "*.localhost",
            "a.localhost",
            "printer.local",
            "a.test",
            "a.invalid",
            "x.onion",
            "a.alt",
            // The DNS itself.
            "1.0.0.10.in-addr.arpa",
            "8.b.d.ip6.arpa",
            "home.arpa",
            "nas.home.arpa",
            "ipv4only.arpa",
            "_dns.resolver.arpa",
            "arpa",
            // What clients obey.
            "wpad.example.com",
            "WPAD.corp.internal",
            "isatap.internal",
            "*.wpad.internal",
        ] {
            assert!(refused(name), "{name}");
        }
    }

    #[test]
    fn names_of_owners_are_not() {
        for name in [
            "web.internal",
            "*.web.internal",
            "api.example.com",
            "*.example.co.uk",
            "example.com",
            "a.kawasaki.jp.example",
            "city.kawasaki.jp",
            "privatelink.internal",
            "local.example.com",
            "test.internal",
            "notlocalhost.internal",
            "a.mylocal.example",
            "my-wpad.internal",
            "a.wpad.internal",
            "me.github.io",
            "db.corp",
            "queue.lan",
            "www.ck",
        ] {
            assert!(!refused(name), "{name}");
        }
    }
}
