//! `privatelink plan` and `privatelink reload`: what another configuration changes.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{list::Form, table::Table};
use crate::{
    cli::{
        client, daemon::Daemon, exit::Exit, globals::Globals, print::print, terminal::takes_color,
    },
    config,
    interface::{
        path,
        types::{
            Action, Change, Configuration, Difference, Problem, ReloadQuery, SourceText, Status,
        },
    },
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what another configuration would change, and how many flows that would cut
    Plan(PlanArgs),
    /// Apply the configuration on disk
    Reload(ReloadArgs),
}

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// If `max_flows` has changed, replace the flow table, and keep the flows: the daemon starts
    /// again for that, and packets are forwarded meanwhile
    #[arg(long)]
    pub grow: bool,

    /// Apply nothing if there are warnings
    #[arg(long, conflicts_with = "adopt")]
    pub deny_warnings: bool,

    /// Services and endpoints that the API has made, and that the files declare as well, become the
    /// files': what `privatelink export` printed, say
    #[arg(long)]
    pub adopt: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The configuration: a file, or a directory of *.toml [default: what the daemon would
    /// reload]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,

    /// Fail if there are warnings
    #[arg(long)]
    pub deny_warnings: bool,

    /// How much to show: `wide` lists every change, however many there are
    #[arg(long, short, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    pub output: Form,
}

impl Command {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<Exit> {
        match self {
            Self::Plan(args) => plan(globals, args, out),
            Self::Reload(args) => {
                let daemon = globals.daemon();
                if args.deny_warnings && !is_without_warnings(globals, &daemon, out)? {
                    return Ok(Exit::Failed);
                }
                let query = ReloadQuery { adopt: args.adopt.then_some(1) };
                let path = client::with_query(path::RELOAD, &query)?;
                let exit = show(globals, client::post(&daemon, &path), "were", out)?;
                if args.grow && exit == Exit::Done {
                    grow(&daemon)?;
                }
                Ok(exit)
            }
        }
    }
}

/// How long a daemon may take to start again. It enters a million flows in a few seconds.
const RESTART: Duration = Duration::from_secs(120);
/// How often it is asked whether it has.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the flow table as large as `max_flows` asks, and waits for it.
fn grow(daemon: &Daemon) -> Result<()> {
    client::post::<()>(daemon, path::GROW)?;
    let begin = Instant::now();
    loop {
        let wrong = match client::get::<Status>(daemon, path::STATUS) {
            Ok(status) if status.ready => return Ok(()),
            Ok(status) => status.problems.join("; "),
            Err(error) => error.to_string(),
        };
        if begin.elapsed() > RESTART {
            bail!("the daemon has not started again within {} s: {wrong}", RESTART.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// Shows what a configuration would change.
fn plan(globals: &Globals, args: &PlanArgs, out: &mut impl Write) -> Result<Exit> {
    // The daemon may not be able to read what its user can, so it gets the text.
    let files = match &args.path {
        None => None,
        Some(path) => match config::texts(path) {
            Ok(sources) => Some(sources.texts().map(source).collect()),
            Err(wrong) => {
                let error = wrong.render(takes_color(&io::stderr()));
                return faulty(globals, &Problem { error, faults: wrong.to_json() }, out);
            }
        },
    };
    let configuration = Configuration { files };
    let answer = client::send(&globals.daemon(), path::PLAN, &configuration);
    let warned = answer.as_ref().is_ok_and(|one: &Difference| !one.warnings.is_empty());
    let most = if args.output == Form::Wide { usize::MAX } else { LINES };
    let exit = show_at_most(globals, answer, ("would be", most), out)?;
    Ok(if args.deny_warnings && warned { Exit::Failed } else { exit })
}

/// Whether the configuration on disk causes no warning; else shows what it would change.
fn is_without_warnings(globals: &Globals, daemon: &Daemon, out: &mut impl Write) -> Result<bool> {
    let answer = client::send(daemon, path::PLAN, &Configuration::default());
    let is_clean = answer.as_ref().is_ok_and(|one: &Difference| one.warnings.is_empty());
    if !is_clean {
        show(globals, answer, "would be", out)?;
        eprintln!("nothing was applied, because of --deny-warnings");
    }
    Ok(is_clean)
}

/// Prints what changes, or why nothing does; `are` says whether that has happened.
fn show(
    globals: &Globals,
    answer: Result<Difference, client::Error>,
    are: &str,
    out: &mut impl Write,
) -> Result<Exit> {
    show_at_most(globals, answer, (are, LINES), out)
}

/// As [`show`], with at most so many changes one by one.
fn show_at_most(
    globals: &Globals,
    answer: Result<Difference, client::Error>,
    (are, most): (&str, usize),
    out: &mut impl Write,
) -> Result<Exit> {
    match answer {
        Err(client::Error::Faulty(problem)) => faulty(globals, &problem, out),
        answer => {
            print(out, globals.json, &answer?, |difference| text_of(difference, are, most))?;
            Ok(Exit::Done)
        }
    }
}

fn source((path, text): (&Path, &str)) -> SourceText {
    SourceText { path: path.display().to_string(), text: text.to_owned() }
}

/// Shows the faults as `privatelink check` does.
pub(super) fn faulty(globals: &Globals, problem: &Problem, out: &mut impl Write) -> Result<Exit> {
    if globals.json {
        writeln!(out, "{}", json!({ "ok": false, "errors": problem.faults }))?;
    } else {
        eprint!("{}", problem.error);
        eprintln!("the configuration in force stays as it is");
    }
    Ok(Exit::Failed)
}

/// The most changes that are listed one by one; of more, those that cut most.
const LINES: usize = 40;

pub(super) fn text(difference: &Difference, are: &str) -> String {
    text_of(difference, are, LINES)
}

/// What a difference is, with at most so many changes one by one.
fn text_of(difference: &Difference, are: &str, most: usize) -> String {
    let mut text = String::new();
    for warning in difference.warnings.iter().take(most) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "warning: {warning}");
    }
    if let Some(more) = difference.warnings.len().checked_sub(most).filter(|more| *more > 0) {
        let _ = writeln!(text, "warning: {more} more warnings: privatelink check");
    }
    if difference.changes.is_empty() && difference.entries == 0 {
        return text + "nothing changes\n";
    }
    let mut table = Table::new(&["", "WHAT", "NAME", "FLOWS CUT", "SOURCE", "CHANGE"], &[3]);
    let mut shown: Vec<&Change> = difference.changes.iter().collect();
    if shown.len() > most {
        shown.sort_by_key(|change| Reverse((change.flows_cut, change.flows_drained)));
        shown.truncate(most);
    }
    for change in shown {
        let sign = match change.action {
            Action::Added => "+",
            Action::Changed => "~",
            Action::Removed => "-",
        };
        let cut = if change.flows_cut == 0 { "-".into() } else { change.flows_cut.to_string() };
        let drains = (change.flows_drained > 0).then(|| drains(change.flows_drained));
        let mut what = change.what.iter().cloned().chain(drains);
        let first = what.next().unwrap_or_default();
        let source = change.source.clone().unwrap_or_default();
        table.row([sign.into(), change.kind.clone(), change.name.clone(), cut, source, first]);
        for more in what {
            let empty = String::new;
            table.row([empty(), empty(), empty(), empty(), empty(), more]);
        }
    }
    text += &table.render(0);
    if let Some(more) = difference.changes.len().checked_sub(most).filter(|more| *more > 0) {
        let _ = writeln!(text, "\nand {more} more; all together{}", sums(&difference.changes));
    }
    let drained = match difference.flows_drained {
        0 => String::new(),
        flows => format!(", {}", drains(flows)),
    };
    let count = |action| difference.changes.iter().filter(|one| one.action == action).count();
    let cut = counted(difference.flows_cut, "live flow", are);
    let entries = counted(difference.entries, "map entry", are).replace("entrys", "entries");
    let _ = writeln!(
        text,
        "\n{} added, {} changed, {} removed; {cut} cut{drained}, {entries} written",
        count(Action::Added),
        count(Action::Changed),
        count(Action::Removed),
    );
    text
}

/// So many things, and what happens to them: `1 live flow was`, `2 live flows were`.
fn counted(count: u64, what: &str, are: &str) -> String {
    match (count, are) {
        (1, "were") => format!("1 {what} was"),
        (1, _) => format!("1 {what} {are}"),
        _ => format!("{count} {what}s {are}"),
    }
}

/// How many objects of each kind are added, changed and removed.
fn sums(changes: &[Change]) -> String {
    let mut sums: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for change in changes {
        let word = match change.action {
            Action::Added => "added",
            Action::Changed => "changed",
            Action::Removed => "removed",
        };
        *sums.entry((&change.kind, word)).or_default() += 1;
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let lines = sums
        .into_iter()
        .map(|((kind, word), count)| format!("\n  {count} {kind}{} {word}", plural(count)));
    lines.collect()
}

/// Flows whose target gets no new ones.
fn drains(flows: u64) -> String {
    format!("{flows} may end by themselves while their target drains")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_tells_each_change_and_what_it_cuts() {
        let change = |action, kind: &str, name: &str, what: &[&str], flows_cut| Change {
            action,
            kind: kind.into(),
            name: name.into(),
            what: what.iter().map(ToString::to_string).collect(),
            flows_cut,
            flows_drained: flows_cut / 4,
            source: (kind != "target").then(|| "gw.toml:".into()),
        };
        let difference = Difference {
            changes: vec![
                change(
                    Action::Changed,
                    "service",
                    "web",
                    &["drain 5m -> 10s", "allow none -> a"],
                    0,
                ),
                change(Action::Removed, "target", "web 10.0.0.11", &[], 12),
                change(Action::Added, "endpoint", "acme-web", &["service web"], 0),
            ],
            flows_cut: 12,
            flows_drained: 3,
            entries: 3,
            warnings: vec!["careful".into()],
        };
        let expected = "\
warning: careful
   WHAT      NAME           FLOWS CUT  SOURCE    CHANGE
~  service   web                    -  gw.toml:  drain 5m -> 10s
                                                 allow none -> a
-  target    web 10.0.0.11         12            3 may end by themselves while their target drains
+  endpoint  acme-web               -  gw.toml:  service web

1 added, 1 changed, 1 removed; 12 live flows would be cut, 3 may end by themselves while their target drains, 3 map entries would be written
";
        assert_eq!(text(&difference, "would be"), expected);
        assert_eq!(text(&Difference::default(), "were"), "nothing changes\n");
    }

    #[test]
    fn a_plan_of_thousands_is_summed_up() {
        let change = |number: u64| Change {
            action: if number.is_multiple_of(2) { Action::Added } else { Action::Removed },
            kind: "endpoint".into(),
            name: format!("e{number}"),
            what: Vec::new(),
            flows_cut: u64::from(number == 1_999) * 7,
            flows_drained: 0,
            source: None,
        };
        let difference = Difference {
            changes: (0..2_000).map(change).collect(),
            flows_cut: 1,
            entries: 1,
            ..Difference::default()
        };
        let said = text(&difference, "were");
        assert!(said.lines().count() < 50, "{said}");
        assert!(said.lines().nth(1).unwrap().contains("e1999"), "what cuts most is first: {said}");
        let sums =
            "\nand 1960 more; all together\n  1000 endpoints added\n  1000 endpoints removed\n";
        assert!(said.contains(sums), "{said}");
        let last =
            "1000 added, 0 changed, 1000 removed; 1 live flow was cut, 1 map entry was written";
        assert!(said.ends_with(&format!("{last}\n")), "{said}");
        assert_eq!(text_of(&difference, "were", usize::MAX).lines().count(), 2_003);
    }
}
