//! `privatelink site`: the links to other sites, and this site's keys.

use std::{io::Write, thread, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::table::Table;
use crate::{
    cli::{client, globals::Globals, print::print},
    interface::{
        path,
        types::{Backbone, RotateSiteKey, Site, SiteKeyRotation},
    },
};

/// How often a key that is being made is asked for, and how many times.
const PAUSE: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 100;

#[derive(Debug, Args)]
pub struct SiteArgs {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show this site and its links to others
    Show,
    /// Print this site's public key, which other sites list
    Key,
    /// Prepare this site's next key, and use it once every other site lists it
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Use the new key at once: sites that do not list it lose the link
    #[arg(long)]
    pub force: bool,
}

impl SiteArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        match &self.command {
            Command::Show => {
                let backbone: Backbone = client::get(&daemon, path::SITES)?;
                print(out, globals.json, &backbone, shown)
            }
            Command::Key => {
                let backbone = with_key(|| Ok(client::get(&daemon, path::SITES)?))?;
                print(out, globals.json, &backbone, keys)
            }
            Command::Rotate(args) => {
                let wanted = RotateSiteKey { force: args.force };
                let rotated: SiteKeyRotation =
                    client::send(&daemon, path::ROTATE_SITE_KEY, &wanted)?;
                print(out, globals.json, &rotated, progress)
            }
        }
    }
}

/// Asks until there is a key: after the first `[backbone]`, it takes a moment.
fn with_key(mut ask: impl FnMut() -> Result<Backbone>) -> Result<Backbone> {
    for _ in 0..ATTEMPTS {
        let backbone = ask()?;
        if backbone.public_key.is_some() {
            return Ok(backbone);
        }
        thread::sleep(PAUSE);
    }
    bail!("this site has no key yet; `privatelink status` says why")
}

fn keys(backbone: &Backbone) -> String {
    let keys = backbone.public_key.iter().chain(&backbone.next_public_key);
    keys.map(|key| format!("{key}\n")).collect()
}

fn shown(backbone: &Backbone) -> String {
    let none = || "none yet: see `privatelink status`".to_owned();
    let mut text = format!(
        "site {}, UDP port {}, WireGuard: {}\npublic key {}\n",
        backbone.site,
        backbone.listen,
        backbone.wireguard.clone().unwrap_or_else(none),
        backbone.public_key.clone().unwrap_or_else(none),
    );
    if let Some(next) = &backbone.next_public_key {
        text += &format!("next public key {next}, until every site lists it\n");
    }
    if backbone.sites.is_empty() {
        return text + "no other sites: write a [[site]] for each\n";
    }
    let heading = ["SITE", "LINK", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT", "SERVICES"];
    let mut table = Table::new(&heading, &[4, 5]);
    for site in &backbone.sites {
        table.row(row(site));
    }
    text += "\n";
    text += &table.render(0);
    for problem in backbone.sites.iter().flat_map(|site| &site.problems) {
        text += &format!("{problem}\n");
    }
    text
}

fn row(site: &Site) -> [String; 7] {
    let dash = || "-".to_owned();
    let link = match site.silent_seconds {
        _ if site.up => "up".to_owned(),
        Some(seconds) => format!("silent for {seconds}s"),
        None => "new".to_owned(),
    };
    let services = site.services.iter().map(|service| match &service.state {
        Some(state) => format!("{} {state}", service.service),
        None => format!("{} unknown", service.service),
    });
    let services: Vec<String> = services.collect();
    let age = site.handshake_age_seconds.map(|age| format!("{age}s ago"));
    [
        site.name.clone(),
        link,
        site.endpoint.clone().or_else(|| site.address.clone()).unwrap_or_else(dash),
        age.unwrap_or_else(dash),
        site.received_bytes.to_string(),
        site.sent_bytes.to_string(),
        if services.is_empty() { dash() } else { services.join(", ") },
    ]
}

fn progress(rotated: &SiteKeyRotation) -> String {
    match &rotated.next_public_key {
        None => format!(
            "this site uses the key {} now; other sites can remove the old one\n",
            rotated.public_key
        ),
        Some(next) => format!(
            "the next key is {next}\nadd it to `public_key` of this site at: {}\nit is used as soon \
             as all of them have reloaded\n",
            rotated.missing.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_one_line() {
        let site = Site {
            name: "site-b".into(),
            up: true,
            endpoint: Some("198.51.100.2:51820".into()),
            handshake_age_seconds: Some(7),
            ..Site::default()
        };
        let silent = Site { name: "site-c".into(), silent_seconds: Some(30), ..Site::default() };
        let backbone =
            Backbone { site: "site-a".into(), sites: vec![site, silent], ..Backbone::default() };
        let text = shown(&backbone);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("site-b") && line.contains("7s ago")));
        assert!(lines.iter().any(|line| line.contains("silent for 30s")), "{text}");
    }

    #[test]
    fn a_key_is_waited_for() {
        let mut asked = 0;
        let found = with_key(|| {
            asked += 1;
            let public_key = (asked == 3).then(|| "key".to_owned());
            Ok(Backbone { public_key, ..Backbone::default() })
        });
        assert_eq!(found.unwrap().public_key.as_deref(), Some("key"));
    }

    #[test]
    fn a_rotation_says_who_is_missing() {
        let waiting = SiteKeyRotation {
            public_key: "old".into(),
            next_public_key: Some("new".into()),
            missing: vec!["site-b".into(), "site-c".into()],
        };
        let text = progress(&waiting);
        assert!(text.contains("site-b, site-c") && text.contains("the next key is new"), "{text}");
        let done = SiteKeyRotation { public_key: "new".into(), ..SiteKeyRotation::default() };
        assert!(progress(&done).starts_with("this site uses the key new now"));
    }
}
