//! Metrics, alert rules and dashboard, evaluated by Prometheus itself. Needs root and Prometheus;
//! run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use privatelink_tests::lab::{
    Daemon, Host, Lab, Process, Provider, TOKEN, client, tool, wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);
const METRICS: &str = "http://127.0.0.1:9469/metrics";
/// Where Prometheus listens, in the gateway's namespace.
const PROMETHEUS: &str = "127.0.0.1:9090";

fn packaging(name: &str) -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)).unwrap()
}

fn promtool(words: &[&str]) -> String {
    let mut command = Command::new("promtool");
    command.current_dir(packaging("prometheus")).args(words);
    tool::run(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// The values of a key in lines of a YAML file.
fn values<'a>(text: &'a str, key: &str) -> BTreeSet<&'a str> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
}

#[test]
fn the_rules_say_what_their_tests_expect() {
    promtool(&["check", "rules", "privatelink.rules.yml"]);
    promtool(&["test", "rules", "privatelink.test.yml"]);
    let rules = fs::read_to_string(packaging("prometheus/privatelink.rules.yml")).unwrap();
    let tests = fs::read_to_string(packaging("prometheus/privatelink.test.yml")).unwrap();
    let (alerts, sums) = (values(&rules, "alert"), values(&rules, "record"));
    assert!(alerts.len() > 10 && sums.len() > 5, "{alerts:?} {sums:?}");
    assert_eq!(alerts, values(&tests, "alertname"), "each alert has a test");
    assert_eq!(sums, values(&tests, "expr"), "each sum has a test");
}

/// A gateway with traffic, and a Prometheus that scrapes it; the fields are in the order in which
/// they must be dropped.
struct Scene {
    _prometheus: Process,
    _folder: tempfile::TempDir,
    _daemon: Daemon,
    _provider: Provider,
    lab: Lab,
}

impl Scene {
    fn start() -> Result<Self> {
        let lab = Lab::quickstart()?;
        let provider = Provider::start(lab.host("vendor"))?;
        let name = "name = \"gw-a\"";
        let metrics = format!("{name}\nmax_flows = 4096\nmetrics = \"127.0.0.1:9469\"");
        let late = "\n[[endpoint]]\nname = \"late\"\nservice = \"late\"\nnetwork = \"acme\"\n\
                    addresses = [\"10.1.0.51\"]\n\
                    [[service]]\nname = \"late\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
                    acceptance = \"manual\"\nallow = [\"acme\"]\n\
                    source_addresses = [\"10.0.0.240/29\"]\n\
                    [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
                    [[service.target]]\naddress = \"10.0.0.10\"\n";
        let config = include_str!("../../examples/quickstart.toml").replace(name, &metrics) + late;
        let daemon = Daemon::start(lab.gateway(), &config)?;
        let folder = tempfile::tempdir()?;
        let prometheus = start_prometheus(&lab, folder.path())?;
        let scene = Self {
            _prometheus: prometheus,
            _folder: folder,
            _daemon: daemon,
            _provider: provider,
            lab,
        };
        Ok(scene)
    }

    fn acme(&self) -> &Host {
        self.lab.host("acme")
    }

    /// Asks Prometheus under a path of its interface.
    fn ask(&self, path: &str, query: &str) -> Result<Value> {
        let mut command = self.lab.gateway().command("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--get"]);
        command.args(["--data-urlencode", &format!("query={query}")]);
        let text = tool::run(command.arg(format!("http://{PROMETHEUS}/api/v1/{path}")))?;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(answer["status"] == "success", "`{query}`: {answer}");
        Ok(answer["data"].clone())
    }

    /// How many series a query has.
    fn series(&self, query: &str) -> Result<usize> {
        Ok(self.ask("query", query)?["result"].as_array().map_or(0, Vec::len))
    }

    /// Sends packets that are forwarded, and some that are refused.
    fn speak(&self) -> Result<()> {
        self.acme().run(|| {
            client::http_get("10.1.0.50:80".parse()?, SOON)?;
            client::udp_echo("10.1.0.50:7".parse()?, b"ping", SOON)?;
            ensure!(client::connect("10.1.0.50:9".parse()?, SOON).is_err(), "there is no listener");
            Ok(())
        })
    }
}

fn start_prometheus(lab: &Lab, folder: &Path) -> Result<Process> {
    let config = folder.join("prometheus.yml");
    let rules = packaging("prometheus/privatelink.rules.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [ \"{}\" ]\n\
         scrape_configs:\n  - job_name: privatelink\n    authorization: {{ credentials: {TOKEN} }}\n    static_configs:\n      \
         - targets: [ \"127.0.0.1:9469\" ]\n",
        rules.display()
    );
    fs::write(&config, text)?;
    let mut command = lab.gateway().command("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={PROMETHEUS}"));
    Process::spawn("prometheus", command)
}

/// The queries of a dashboard's panels, by the panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let of_panel = |panel: &Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let query = move |target: Value| (title.clone(), target["expr"].as_str().unwrap().into());
        targets.into_iter().map(query).collect::<Vec<_>>()
    };
    panels.flat_map(of_panel).collect()
}

/// The query that Grafana sends when everything is selected.
fn chosen(query: &str) -> String {
    let all = ["$job", "$instance", "$service"];
    let query = query.replace("$__rate_interval", "1m");
    all.iter().fold(query, |query, variable| query.replace(variable, ".*"))
}

#[test]
fn prometheus_accepts_metrics_rules_and_the_queries_of_the_dashboard() {
    let scene = Scene::start().unwrap();
    scene.speak().unwrap();

    let page = scene.lab.gateway().command("curl").args(["--silent", METRICS]).output().unwrap();
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.stdout(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(&page.stdout).unwrap();
    let check = check.wait_with_output().unwrap();
    let said = [check.stdout, check.stderr].concat();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&said));

    wait_until(SOON, "Prometheus scrapes the gateway", || {
        scene.series("privatelink_ready == 1 and on (instance) up == 1").is_ok_and(|one| one == 1)
    })
    .unwrap();
    let text = fs::read_to_string(packaging("grafana/privatelink.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() > 20, "{queries:?}");
    for (panel, query) in &queries {
        let query = chosen(query);
        assert!(!query.contains('$'), "{panel}: `{query}`");
        let mut found = Ok(0);
        // A rate needs some scrapes, and packets between them.
        wait_until(SOON, panel, || {
            scene.speak().unwrap();
            found = scene.series(&query);
            !matches!(found, Ok(0))
        })
        .unwrap_or_else(|error| panic!("`{query}` finds nothing: {error}"));
        found.unwrap_or_else(|error| panic!("{panel}: {error}"));
    }
    let rules = scene.ask("rules", "").unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 20, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
