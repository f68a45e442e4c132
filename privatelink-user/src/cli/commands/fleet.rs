//! `privatelink fleet`: the gateways that share a store, and how far each has come.

use std::{fmt::Write as _, io};

use anyhow::Result;

use super::table::Table;
use crate::{
    cli::{age::age, client, globals::Globals, print::print},
    interface::{
        path,
        types::{Fleet, FleetGateway},
    },
    timestamp::Timestamp,
};

pub fn run(globals: &Globals, out: &mut impl io::Write) -> Result<()> {
    let fleet: Fleet = client::get(&globals.daemon(), path::FLEET)?;
    print(out, globals.json, &fleet, screen)
}

fn screen(fleet: &Fleet) -> String {
    let mut text = headline(fleet);
    text.push('\n');
    let now = Timestamp::now();
    let mut table =
        Table::new(&["GATEWAY", "APPLIED", "CONFIGURATION", "VERSION", "STARTED"], &[1]);
    for gateway in &fleet.gateways {
        let FleetGateway { name, version, since, applied, same_configuration } = gateway;
        let own = if *name == fleet.gateway { " (this one)" } else { "" };
        let applied = if *applied < fleet.revision {
            format!("{applied}, {} behind", fleet.revision - applied)
        } else {
            applied.to_string()
        };
        let configuration = if *same_configuration { "same" } else { "different" };
        table.row([
            format!("{name}{own}"),
            applied,
            configuration.into(),
            version.clone(),
            age(since, now),
        ]);
    }
    text + &table.render(0)
}

/// How this gateway and the store are.
pub(super) fn headline(fleet: &Fleet) -> String {
    let mut text = format!("group {}, revision {}: ", fleet.group, fleet.revision);
    let answered = fleet.age_milliseconds.map(|age| format!("{} s ago", age / 1_000));
    let answered = answered.unwrap_or_else(|| "never since the daemon began".into());
    // Writing to a string cannot fail.
    let _ = match &fleet.problem {
        None => writeln!(text, "the store has answered {answered}"),
        Some(why) => writeln!(text, "the store is NOT REACHED, it answered {answered}: {why}"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_and_who_differs_is_shown() {
        let gateway = |name: &str, applied, same_configuration| FleetGateway {
            name: name.into(),
            version: "1.0".into(),
            since: "2026-01-01T00:00:00.000Z".into(),
            applied,
            same_configuration,
        };
        let mut fleet = Fleet {
            group: "east".into(),
            gateway: "gw-a".into(),
            reached: true,
            problem: None,
            age_milliseconds: Some(2_500),
            revision: 9,
            gateways: vec![gateway("gw-a", 9, true), gateway("gw-b", 7, false)],
        };
        let text = screen(&fleet);
        assert!(
            text.starts_with("group east, revision 9: the store has answered 2 s ago\n"),
            "{text}"
        );
        assert!(text.contains("gw-a (this one)") && text.contains("7, 2 behind"), "{text}");
        assert!(text.contains("different"), "{text}");
        fleet.problem = Some("no route".into());
        fleet.age_milliseconds = None;
        assert!(headline(&fleet).contains("NOT REACHED, it answered never since"), "{text}");
    }
}
