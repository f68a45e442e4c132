//! The part of a page that is about the links to other sites.

use super::{
    family,
    inventory::Inventory,
    text::{Page, labels},
};
use crate::backbone::Overview;

/// Adds what is known of each site whose network the caller may see.
pub(super) fn add(page: &mut Page, links: &Overview, inventory: &Inventory) {
    let shown = |name: &str| inventory.networks.iter().any(|network| network.name == name);
    let sites = links.sites.iter().filter(|(name, _)| shown(name.as_str()));
    let sites: Vec<_> =
        sites.map(|(name, view)| (labels(&[("site", name.as_str())]), view)).collect();
    if sites.is_empty() {
        return;
    }
    let now = std::time::Instant::now();
    let mut up = page.family(&family::SITE_UP);
    for (label, view) in &sites {
        up.add(&[label], u8::from(view.is_heard(now)));
    }
    let mut ages = page.family(&family::SITE_HANDSHAKE_AGE);
    for (label, view) in &sites {
        if let Some(age) = view.handshake.and_then(|at| at.elapsed().ok()) {
            ages.add(&[label], age.as_secs_f64());
        }
    }
    let mut bytes = page.family(&family::SITE_BYTES);
    for (label, view) in &sites {
        bytes.add(&[label, "direction=\"in\""], view.bytes.0);
        bytes.add(&[label, "direction=\"out\""], view.bytes.1);
    }
}
