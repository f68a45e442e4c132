//! `docs/backbone.md`, from its own text.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use privatelink_tests::lab::tool;
use tempfile::TempDir;

use super::scene::{Scene, Site, networks};

/// A block of the page: its language, where it is written or run, and its text.
struct Block {
    language: String,
    place: String,
    text: String,
}

/// The blocks of the section that is walked through.
fn page() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backbone.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once("\n## Two sites\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("\n```").skip(1).step_by(2);
    let block = |block: &str| {
        let (language, text) = block.split_once('\n').unwrap();
        let place = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        Block { language: language.into(), place: place.into(), text: format!("{text}\n") }
    };
    blocks.map(block).collect()
}

/// Runs a block in a shell whose `privatelink` speaks to the daemon of a site.
fn run(mut command: Command, site: &Site, files: &TempDir, text: &str) {
    let programs = site.daemon.binary().parent().unwrap();
    let path = env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", programs.display()));
    command.env("PRIVATELINK_SOCKET", site.daemon.socket()).current_dir(files.path());
    tool::run(command.args(["-euc", text])).unwrap_or_else(|error| {
        panic!("{text}: {error:#}\n{}\n{:?}", site.links(), site.problems())
    });
}

#[test]
fn the_page_works_as_it_stands() {
    let scene = Scene::with(networks).unwrap();
    let files = TempDir::new().unwrap();
    let mut configs = BTreeMap::new();
    for site in [&scene.a, &scene.b] {
        configs.insert(site.name, networks(site.name, &site.transport));
    }
    let mut walked = 0;
    for Block { language, place, text } in page() {
        walked += 1;
        let place = place.split(',').next().unwrap();
        let site = if place.ends_with("site-b") { &scene.b } else { &scene.a };
        if language == "toml" {
            let other = if site.name == "site-b" { "site-a.pub" } else { "site-b.pub" };
            let key = fs::read_to_string(files.path().join(other)).unwrap_or_default();
            let own = format!("[backbone]\nnamespace = \"{}\"", site.transport);
            let text = text.replace("KEY", key.trim()).replace("[backbone]", &own);
            let config = configs.get_mut(site.name).unwrap();
            config.push_str(&text);
            site.daemon.write_config(config).unwrap();
        } else if place.starts_with("on the gateway of ") {
            run(site.lab.gateway().command("sh"), site, &files, &text);
        } else {
            assert_eq!(place, "on a host of acme");
            run(scene.a.acme().command("sh"), &scene.a, &files, &text);
        }
    }
    assert_eq!(walked, 9);
    assert_eq!(scene.b.provider.seen().len(), 1);
}
