//! Names in the DNS: who may have which.

use super::faults;
use crate::{config::from_text, model::naming};

const NAMES: &str = include_str!("../../dns/tests.toml");

/// Another provider's service, and an endpoint to it.
const RIVAL: &str = r#"
[[service]]
name = "rival"
principal = "other"
network = "vendor"
allow = ["acme"]
source_addresses = ["10.0.0.230"]
private_dns = ["NAME"]

[[service.listener]]
protocol = "tcp"
port = 80

[[service.target]]
address = "10.0.0.20"

[[endpoint]]
name = "acme-rival"
service = "rival"
network = "acme"
"#;

fn messages(text: &str) -> Vec<String> {
    faults(text).into_iter().map(|(message, _)| message).collect()
}

fn rival(name: &str) -> Vec<String> {
    messages(&(NAMES.to_owned() + &RIVAL.replace("NAME", name)))
}

#[test]
fn a_name_belongs_to_one_provider() {
    for (name, held) in [
        ("web.internal", ""),
        ("*.web.internal", ""),
        ("a.b.web.internal", " as `*.web.internal`"),
        ("*.a.web.internal", " as `*.web.internal`"),
    ] {
        let found = rival(name);
        let claim =
            format!("`{name}` of the service `rival` (other) belongs to the service `web` ");
        assert_eq!(found[0], format!("{claim}(vendor){held}"), "{found:#?}");
    }
    let found = rival("*.internal");
    assert!(found.iter().any(|one| one.starts_with("`*.internal` of the service `rival` is in")));
    let meets = "belongs to the service `rival` (other) as `*.internal`";
    assert!(found.iter().any(|one| one.ends_with(meets)), "{found:#?}");
    assert_eq!(rival("web2.internal"), Vec::<String>::new());
}

#[test]
fn a_provider_may_use_a_name_twice_but_not_in_one_network() {
    let second = NAMES.to_owned()
        + &RIVAL.replace("NAME", "web.internal").replace("\"other\"", "\"vendor\"");
    assert_eq!(
        messages(&second),
        ["`web.internal` would lead to both `acme-web` and `acme-rival` in the network `acme`"]
    );
    for change in [
        ("network = \"acme\"\n", "network = \"acme\"\nprivate_dns = false\n"),
        ("dns_accept = [\"*.internal\"]\n# acme", "dns_accept = []"),
        ("dns = true\ndns_accept = [\"*.internal\"]\n# acme", ""),
    ] {
        assert_eq!(messages(&second.replacen(change.0, change.1, 1)), [""; 0], "{change:?}");
    }
}

#[test]
fn the_gateways_own_domain_is_nobodys() {
    for name in ["privatelink.internal", "a.privatelink.internal", "*.privatelink.internal"] {
        let text = NAMES.replace("\"web.internal\"", &format!("\"{name}\""));
        let found = messages(&text);
        assert!(found[0].contains("is in the gateway's own domain"), "{found:#?}");
    }
}

#[test]
fn generated_names_must_differ_and_fit() {
    let twin = "[[endpoint]]\nname = \"acme-web-gw-a\"\nservice = \"web\"\nnetwork = \"acme\"\nprivate_dns = false\n";
    assert_eq!(
        messages(&(NAMES.to_owned() + twin)),
        ["`acme-web-gw-a.web.privatelink.internal` would lead to both `acme-web` and \
          `acme-web-gw-a` in the network `acme`"]
    );
    let long = NAMES.replace("\"acme-web\"", &format!("\"{}\"", "x".repeat(60)));
    assert!(messages(&long)[0].starts_with("the generated name of the endpoint"));
}

#[test]
fn an_endpoint_has_two_names_of_its_own() {
    let model = from_text("test.toml", NAMES).unwrap().model;
    let endpoint = &model.endpoints()["acme-web"];
    let names = naming::generated(model.gateway(), endpoint).unwrap();
    assert_eq!(
        names,
        ["acme-web.web.privatelink.internal", "acme-web-gw-a.web.privatelink.internal"]
    );
    let (network, service) = (&model.networks()["acme"], &model.services()["web"]);
    let private = naming::private(network, service, endpoint);
    let private: Vec<_> = private.iter().map(ToString::to_string).collect();
    assert_eq!(private, ["web.internal", "*.web.internal"]);
}
