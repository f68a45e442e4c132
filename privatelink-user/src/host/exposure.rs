//! What of the host's settings lets a network through it that it takes everything from.

use super::settings::Setting;

/// What is unsafe about an interface whose network may speak to the host freely, in sentences
/// without the network's name.
pub fn exposures(interface: &str) -> Vec<String> {
    let mut found = Vec::new();
    for forwards in [Setting::v4("forwarding"), Setting::v6("forwarding")] {
        if forwards.number(interface).is_some_and(|value| value != 0) {
            let name = forwards.name(interface);
            found.push(format!(
                "{name} is on, so the host carries its packets into other networks; set it to 0"
            ));
        }
    }
    // The kernel takes the larger one of that and the interface's own.
    let larger = |setting: Setting| Some(setting.number("all")?.max(setting.number(interface)?));
    let strict = Setting::v4("rp_filter");
    if larger(strict).is_some_and(|value| value != 1) {
        let name = strict.name(interface);
        found.push(format!(
            "{name} is not strict, so answers to forged senders go into other networks; set it \
             and net.ipv4.conf.all.rp_filter to 1"
        ));
    }
    let ignores = Setting::v4("arp_ignore");
    if larger(ignores).is_some_and(|value| value == 0) {
        let name = ignores.name(interface);
        found.push(format!(
            "{name} is 0, so the host answers ARP there for its addresses in other networks; set \
             it to 1"
        ));
    }
    if Setting::v4("accept_redirects").number("all").is_some_and(|value| value != 0) {
        found.push(
            "net.ipv4.conf.all.accept_redirects is on, so its hosts can change the host's routes; \
             set it to 0"
                .to_owned(),
        );
    }
    found
}
