//! The metrics that Prometheus scrapes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use privatelink_tests::lab::{Scrape, TOKEN, client, tool, wait_until};
use privatelink_user::metrics::Format;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at, everything_works};

/// The configuration with metrics on a port.
pub fn config(port: u16) -> String {
    let name = "name = \"gw-test\"";
    CONFIG.replace(name, &format!("{name}\nmetrics = \"127.0.0.1:{port}\""))
}

/// The formats that Prometheus accepts.
const PROMETHEUS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

fn scrape_at(scene: &Scene, port: u16, accept: &str, format: Format) -> Result<Scrape> {
    let url = format!("http://127.0.0.1:{port}/metrics");
    Scrape::of(scene.lab.gateway(), &url, accept, format.content_type())
}

pub fn scrape(scene: &Scene) -> Result<Scrape> {
    scrape_at(scene, 9469, PROMETHEUS, Format::OpenMetrics)
}

/// The metrics of the page whose names match, and the labels of each.
pub fn described(is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page:?}: {error}"));
    let rows = page.lines().filter(|line| line.starts_with("| `privatelink_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(ToOwned::to_owned);
        (cells[1].trim_matches('`').to_owned(), labels.collect())
    })
    .filter(|(name, _): &(String, _)| is_wanted(name))
    .collect()
}

#[test]
fn a_scrape_has_every_metric_of_the_page_and_no_other() {
    let acme = "[[principal]]\nname = \"acme\"\nquota = { endpoints = 5 }\n";
    let scene = Scene::with(&(config(9469) + acme)).unwrap();
    everything_works(scene.acme()).unwrap();
    // The metric by reason exists once a packet was dropped.
    scene.acme().run(|| client::connect(at(ENDPOINT[0], 1), SOON)).unwrap_err();
    let scrape = scrape(&scene).unwrap();
    assert!(scrape.text.ends_with("\n# EOF\n"), "{}", scrape.text);
    // Those of names and of other sites are there where there are names and sites.
    let elsewhere = ["privatelink_dns_", "privatelink_site_"];
    let is_here = |name: &str| !elsewhere.iter().any(|begin| name.starts_with(begin));
    assert_eq!(scrape.names(), described(is_here));

    let plain = scrape_at(&scene, 9469, "*/*", Format::Plain).unwrap();
    assert!(plain.text.contains("# TYPE privatelink_drops_total counter\n"), "{}", plain.text);
    let acme = [("endpoint", "acme-web"), ("service", "web"), ("network", "acme")];
    assert_eq!(plain.sum("privatelink_endpoint_new_flows_total", &acme), Some(6.0));
    assert_eq!(plain.sum("privatelink_endpoint_new_flows_total", &[]), Some(6.0));
    let refused = [("endpoint", "acme-web"), ("reason", "no_listener")];
    assert_eq!(plain.sum("privatelink_endpoint_drops_total", &refused), Some(1.0));
    assert_eq!(plain.sum("privatelink_endpoint_answers_total", &acme), Some(1.0));
    let native = [("network", "vendor"), ("mode", "native")];
    assert_eq!(plain.sum("privatelink_network_attached", &native), Some(1.0));
    let hops = plain.sum("privatelink_target_next_hop_resolved", &[("service", "web")]);
    assert_eq!(hops, Some(2.0));
}

#[test]
fn counts_outlive_the_daemon_and_reloads_are_counted() {
    let mut scene = Scene::with(&config(9469)).unwrap();
    everything_works(scene.acme()).unwrap();
    let bytes = |scrape: &Scrape| scrape.sum("privatelink_endpoint_bytes_total", &[]).unwrap();
    let before = bytes(&scrape(&scene).unwrap());
    assert!(before > 400_000.0, "{before}");
    scene.daemon.kill();
    assert!(scrape(&scene).is_err());
    scene.daemon.run().unwrap();
    let after = scrape(&scene).unwrap();
    assert!(bytes(&after) >= before);
    assert_eq!(after.sum("privatelink_reloads_total", &[]), Some(0.0));

    scene.daemon.write_config("[gateway]\nname = 7").unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap_err();
    let refused = scrape(&scene).unwrap();
    let failed = [("result", "failure")];
    assert_eq!(refused.sum("privatelink_reloads_total", &failed), Some(1.0));
    assert_eq!(refused.sum("privatelink_last_reload_successful", &[]), Some(0.0));
    scene.daemon.write_config(&config(9470)).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    assert!(scrape(&scene).is_err(), "the old address still answers");
    let moved = scrape_at(&scene, 9470, PROMETHEUS, Format::OpenMetrics).unwrap();
    assert_eq!(moved.sum("privatelink_last_reload_successful", &[]), Some(1.0));
    assert_eq!(moved.sum("privatelink_reloads_total", &[("result", "success")]), Some(1.0));
}

#[test]
fn an_address_in_use_is_a_problem_without_other_effects() {
    let scene = Scene::start().unwrap();
    assert!(scrape(&scene).is_err(), "metrics are served without the key");
    let taken = scene.lab.gateway().run(|| Ok(TcpListener::bind("127.0.0.1:9469")?)).unwrap();
    scene.daemon.write_config(&config(9469)).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    let problems = scene.daemon.status().unwrap()["problems"].to_string();
    assert!(problems.contains("metrics are not served on 127.0.0.1:9469"), "{problems}");
    everything_works(scene.acme()).unwrap();
    drop(taken);
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    scrape(&scene).unwrap();
    assert_eq!(scene.daemon.status().unwrap()["problems"].to_string(), "[]");
}

#[test]
fn source_ports_in_use_are_seen() {
    let scene = Scene::with(&config(9469)).unwrap();
    let flows = (0..50).map(|_| scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)));
    let flows: Vec<_> = flows.collect::<Result<_>>().unwrap();
    // Eight source addresses.
    let expected = 50.0 / (8.0 * 64_512.0);
    let mut last = None;
    wait_until(SOON * 6, "the ports are counted", || {
        let ports = scrape(&scene).context("scrape");
        last = ports.ok().and_then(|s| s.sum("privatelink_service_source_ports_used_ratio", &[]));
        last.is_some_and(|ratio| (ratio - expected).abs() < 1e-12)
    })
    .unwrap_or_else(|error| panic!("{error}; it is {last:?} instead of {expected}"));
    drop(flows);
}

#[test]
fn the_status_says_first_what_needs_attention() {
    let scene = Scene::start().unwrap();
    let said = || tool::run(scene.daemon.cli().arg("status")).unwrap();
    assert!(said().contains("\nno problems\n"), "{}", said());

    let waits = CONFIG
        .replacen("acceptance = \"automatic\"", "acceptance = \"manual\"\naccept = [\"acme\"]", 1)
        .replace("address = \"fd00::10\"", "address = \"fd00::99\"");
    scene.daemon.write_config(&waits).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    // An accepted connection stays accepted; another endpoint has to wait.
    let globex = waits.replace("name = \"globex-web\"", "name = \"globex-late\"");
    scene.daemon.write_config(&globex).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    scene.acme().run(|| client::connect(at(ENDPOINT[0], 1), SOON)).unwrap_err();

    let status = scene.daemon.status().unwrap();
    let drops = status["recent_drops"].as_array().unwrap();
    let drops = drops.iter().find(|drops| drops["reason"] == "no_listener").unwrap();
    assert!(drops["advice"].as_str().unwrap().contains("[[service.listener]]"), "{drops}");
    assert_eq!(status["waiting"][0]["endpoint"], "globex-late", "{status}");
    let text = said();
    let titles: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
    let headline =
        "1 problem, 1 service with unhealthy targets, 1 connection waits; 1 packet refused";
    assert!(titles[1].starts_with(headline), "{text}");
    assert!(titles[1].ends_with(": no_listener"), "{text}");
    assert_eq!(titles[2..4], ["problems", "waiting for a decision"], "{text}");
    assert_eq!(titles[4], "packets not forwarded", "{text}");
    assert!(text.contains("fd00::99"), "{text}");
}

/// Asks for a page with curl in the gateway's namespace; returns the code and the page.
fn curl(scene: &Scene, token: Option<&str>) -> (String, String) {
    let mut command = scene.lab.gateway().command("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code}"]);
    if let Some(token) = token {
        command.args(["--header", &format!("authorization: {token}")]);
    }
    let text = tool::run(command.arg("http://127.0.0.1:9469/metrics"))
        .unwrap_or_else(|error| panic!("{error}"));
    let (page, code) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{text}"));
    (code.to_owned(), page.to_owned())
}

/// Parts of names and addresses of tenants.
const TENANTS: [&str; 6] = ["acme", "globex", "initech", "vendor", "web", "10.0.0."];

#[test]
fn without_the_token_there_are_totals_only() {
    let scene = Scene::with(&config(9469)).unwrap();
    everything_works(scene.acme()).unwrap();
    let (code, page) = curl(&scene, None);
    assert_eq!(code, "200", "{page}");
    assert!(page.contains("privatelink_flow_table_flows "), "{page}");
    for name in TENANTS {
        assert!(!page.contains(name), "{name} is in\n{page}");
    }
    for wrong in ["Bearer", "Bearer wrong", "Basic YTpi", &format!("Bearer {TOKEN}x")] {
        let (code, page) = curl(&scene, Some(wrong));
        assert_eq!(code, "401", "{wrong}: {page}");
        assert!(page.contains("metrics_token_file") && !page.contains("wrong"), "{page}");
    }
    let (code, page) = curl(&scene, Some(&format!("Bearer {TOKEN}")));
    assert_eq!(code, "200", "{page}");
    assert!(page.contains("endpoint=\"acme-web\""), "{page}");
    // A token that every user can read counts no more, and says so.
    let loaded: toml::Table = fs::read_to_string(scene.daemon.config()).unwrap().parse().unwrap();
    let file = loaded["gateway"]["metrics_token_file"].as_str().unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    assert_eq!(curl(&scene, Some(&format!("Bearer {TOKEN}"))).0, "401");
    let problems = scene.daemon.status().unwrap()["problems"].to_string();
    assert!(problems.contains("is readable by all users"), "{problems}");
}

#[test]
fn on_the_socket_each_sees_its_own_series() {
    let member = "\n[[principal]]\nname = \"acme\"\nusers = [\"mail\"]\n";
    let scene = Scene::with(&(config(9469) + member)).unwrap();
    scene.daemon.open_to_all().unwrap();
    let page = |user| {
        let (code, page) = scene.daemon.request("GET", "/v1/metrics", user).unwrap();
        (code, page)
    };
    let (code, all) = page(None);
    assert_eq!(code, 200, "{all}");
    assert!(all.contains("endpoint=\"globex-web\"") && all.contains("privatelink_problems "));
    let (code, own) = page(Some("mail"));
    assert_eq!(code, 200, "{own}");
    assert!(own.contains("endpoint=\"acme-web\""), "{own}");
    for hidden in
        ["globex", "initech", "10.0.0.", "privatelink_drops_total", "privatelink_problems"]
    {
        assert!(!own.contains(hidden), "{hidden} is in\n{own}");
    }
    assert_eq!(page(Some("nobody")).0, 403);
    let printed = tool::run(scene.daemon.cli().arg("metrics")).unwrap();
    assert!(printed.contains("endpoint=\"globex-web\""), "{printed}");
}

#[test]
fn secrets_are_shown_nowhere() {
    const SECRET: &str = "s3cr3t";
    let gateway = "[gateway]\n";
    let webhook =
        format!("{gateway}webhook = \"http://127.0.0.1:1/services/{SECRET}?k={SECRET}\"\n");
    let scene = Scene::with(&config(9469).replacen(gateway, &webhook, 1)).unwrap();
    let reason =
        format!("as agreed: https://u:{SECRET}@wiki.example/x?key={SECRET}, token={SECRET}");
    scene.daemon.ask(&["reject", "acme-web", "--reason", &reason, "--json"]).unwrap();
    let bearer = format!("Bearer {SECRET}");
    assert_eq!(curl(&scene, Some(&bearer)).0, "401");
    // Of a webhook's URL that is refused, neither message nor line is shown.
    let bad = format!("{gateway}webhook = \"https://u:{SECRET}@hooks.example/{SECRET}\"\n");
    scene.daemon.write_config(&config(9469).replacen(gateway, &bad, 1)).unwrap();
    let mut reload = scene.daemon.cli();
    let said = reload.arg("reload").output().unwrap();
    let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.contains("webhook = ") && !said.contains(SECRET), "{said}");

    let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap().to_string();
    assert!(connection.contains("as agreed: https://***@wiki.example/x?***"), "{connection}");
    let failed = || scene.daemon.output().contains("did not get event");
    wait_until(SOON * 12, "the webhook fails", failed).unwrap();
    let shown = [
        connection,
        said,
        scene.daemon.output(),
        scene.daemon.status().unwrap().to_string(),
        scene.daemon.ask(&["events", "--json"]).unwrap().to_string(),
        curl(&scene, Some(&format!("Bearer {TOKEN}"))).1,
    ];
    for text in shown {
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
    }
}
