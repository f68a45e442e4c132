//! The tables of the reference, `docs/configuration.md`.

use super::{
    raw,
    section::{Absence, Section},
};

/// A part of the reference that is generated.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceTable {
    /// What the page's marker calls it: `<!-- generated: NAME -->`.
    pub name: &'static str,
    /// Renders the table as Markdown.
    pub render: fn() -> String,
}

/// The tables of the reference, in the order of the page.
pub const REFERENCE: &[ReferenceTable] = &[
    ReferenceTable { name: "gateway", render: table::<raw::Gateway> },
    ReferenceTable { name: "flow_log", render: table::<raw::FlowLog> },
    ReferenceTable { name: "api", render: table::<raw::Api> },
    ReferenceTable { name: "store", render: table::<raw::Store> },
    ReferenceTable { name: "backbone", render: table::<raw::Backbone> },
    ReferenceTable { name: "site", render: table::<raw::Site> },
    ReferenceTable { name: "site_service", render: table::<raw::SiteService> },
    ReferenceTable { name: "principal", render: table::<raw::Principal> },
    ReferenceTable { name: "quota", render: table::<raw::Quota> },
    ReferenceTable { name: "network", render: table::<raw::Network> },
    ReferenceTable { name: "service", render: table::<raw::Service> },
    ReferenceTable { name: "listener", render: table::<raw::Listener> },
    ReferenceTable { name: "target", render: table::<raw::Target> },
    ReferenceTable { name: "health_check", render: table::<raw::HealthCheck> },
    ReferenceTable { name: "endpoint", render: table::<raw::Endpoint> },
    ReferenceTable { name: "security_rule", render: table::<raw::SecurityRule> },
    ReferenceTable { name: "limits", render: table::<raw::Limits> },
];

/// A row for each key of a section.
fn table<T: Section>() -> String {
    let mut text = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in T::keys() {
        let absence = match &key.absence {
            Absence::Refused => "required",
            Absence::Means(default) => default,
        };
        // A cell ends without a full stop, as the other cells of a row do.
        let meaning = key.meaning.trim();
        let meaning = meaning.strip_suffix('.').unwrap_or(meaning);
        text += &format!("| `{}` | {} | {absence} | {meaning} |\n", key.name, key.kind);
    }
    text
}
