//! The manual pages: of the program, of each command, and of the configuration.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::examples;
use crate::config::REFERENCE;

/// Where the pages come from, at the bottom of each.
const SOURCE: &str = concat!("privatelink ", env!("CARGO_PKG_VERSION"));

/// Every page with the name of its file.
pub(super) fn pages(program: &Command, date: &str) -> Vec<(String, String)> {
    let mut pages = vec![("privatelink.1".to_owned(), page(program, "privatelink", date))];
    add(program, "privatelink", date, &mut pages);
    pages.push(("privatelink.toml.5".to_owned(), configuration(date)));
    pages
}

fn add(command: &Command, path: &str, date: &str, pages: &mut Vec<(String, String)>) {
    let visible = command.get_subcommands().filter(|one| !one.is_hide_set());
    for one in visible.filter(|one| one.get_name() != "help") {
        let path = format!("{path}-{}", one.get_name());
        pages.push((format!("{path}.1"), page(one, &path, date)));
        add(one, &path, date, pages);
    }
}

/// The page of the program.
pub(super) fn main_page(program: &Command, date: &str) -> String {
    page(program, "privatelink", date)
}

fn page(command: &Command, path: &str, date: &str) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = head((path, 1), date, &about);
    let name = path.replace('-', " ").replace("prepare downgrade", "prepare-downgrade");
    text += ".SH SYNOPSIS\n";
    let _ = writeln!(text, ".B {}\n{}", escaped(&name), escaped(&synopsis(command)));
    text += ".SH DESCRIPTION\n";
    let long = command.get_long_about().map(ToString::to_string).unwrap_or(about);
    text += &paragraphs(&long);
    let (globals, own): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .partition(|arg| arg.is_global_set());
    options(&mut text, "OPTIONS", &own);
    let commands = command.get_subcommands().filter(|one| !one.is_hide_set());
    let commands: Vec<&Command> = commands.filter(|one| one.get_name() != "help").collect();
    if !commands.is_empty() {
        text += ".SH COMMANDS\n";
        for one in &commands {
            let about = one.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(
                text,
                ".TP\n.BR {}\\-{} (1)\n{}.",
                escaped(path),
                escaped(one.get_name()),
                escaped(&about)
            );
        }
    }
    options(&mut text, "GLOBAL OPTIONS", &globals);
    text += &exit_status();
    text += FILES;
    let examples = examples::of(command.get_name());
    if !examples.is_empty() {
        text += ".SH EXAMPLES\n";
        for (line, does) in examples {
            let _ = writeln!(text, ".TP\n.B {}\n{}.", escaped(line), escaped(does));
        }
    }
    let parent = path.rsplit_once('-').map_or("", |(parent, _)| parent);
    let parent =
        if parent.is_empty() { String::new() } else { ".BR privatelink (1),\n".to_owned() };
    text + ".SH SEE ALSO\n" + &parent + ".BR privatelink.toml (5),\n.BR ip (8),\n.BR ethtool (8)\n"
}

/// The words behind the name.
fn synopsis(command: &Command) -> String {
    let mut words = Vec::new();
    if command.get_arguments().any(|arg| !arg.is_positional() && !arg.is_hide_set()) {
        words.push("[OPTIONS]".to_owned());
    }
    for arg in command.get_positionals() {
        let name = value_name(arg);
        words.push(if arg.is_required_set() { name } else { format!("[{name}]") });
    }
    if command.get_subcommands().next().is_some() {
        words.push("COMMAND".to_owned());
    }
    words.join(" ")
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

fn options(text: &mut String, title: &str, args: &[&Arg]) {
    if args.is_empty() {
        return;
    }
    let _ = writeln!(text, ".SH \"{title}\"");
    for arg in args {
        let mut names: Vec<String> = Vec::new();
        names.extend(arg.get_short().map(|short| format!("-{short}")));
        names.extend(arg.get_long().map(|long| format!("--{long}")));
        let takes = arg.get_action().takes_values();
        let value = if takes { value_name(arg) } else { String::new() };
        let head = if names.is_empty() { value } else { format!("{} {value}", names.join(", ")) };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, ".TP\n.B {}\n{}.", escaped(head.trim()), escaped(&help));
        let values = arg.get_possible_values();
        let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        if takes && !values.is_empty() {
            let _ = writeln!(text, "One of {}.", escaped(&values.join(", ")));
        }
        if let Some(name) = arg.get_env() {
            let _ = writeln!(text, "The environment variable {} does the same.", name.display());
        }
    }
}

fn exit_status() -> String {
    let codes = [
        ("0", "It did what it was asked."),
        ("1", "It could not, and says why on standard error."),
        ("2", "The command line is wrong."),
        ("3", "No daemon listens. Packets are forwarded as before; the message says by what."),
    ];
    let lines = codes.iter().map(|(code, what)| format!(".TP\n.B {code}\n{what}\n"));
    format!(".SH \"EXIT STATUS\"\n{}", lines.collect::<String>())
}

const FILES: &str = "\
.SH FILES
.TP
.I /etc/privatelink/*.toml
The configuration.
.TP
.I /run/privatelink/privatelink.sock
The control socket.
.TP
.I /var/lib/privatelink
Decisions, addresses, objects and keys.
.TP
.I /sys/fs/bpf/privatelink
Programs and maps, which forward packets.
";

/// The page of the configuration, from what declares its keys.
fn configuration(date: &str) -> String {
    let about = "the configuration of privatelink";
    let mut text = head(("privatelink.toml", 5), date, about);
    text += ".SH DESCRIPTION\n\
             A gateway is configured by one file in TOML, or by all files of a directory whose name \
             ends in .toml, in the order of their names.\n\
             .BR privatelink\\-check (1)\nshows every fault, and\n.BR privatelink\\-plan (1)\n\
             what a reload would change.\n";
    for table in REFERENCE {
        let _ = writeln!(text, ".SH \"{}\"", escaped(title(table.name)));
        // The first two lines are the heading.
        for row in (table.render)().lines().skip(2) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [key, kind, default, meaning] = cells[..] else { continue };
            let _ = writeln!(
                text,
                ".TP\n.BR {}\n{}.\n.br\nValue: {}. Default: {}.",
                plain(key),
                plain(meaning),
                plain(kind),
                plain(default)
            );
        }
    }
    text + FILES + ".SH SEE ALSO\n.BR privatelink (1),\n.BR privatelink\\-check (1)\n"
}

/// How a table is written in a file.
fn title(name: &str) -> &str {
    match name {
        "gateway" => "[gateway]",
        "flow_log" => "[gateway.flow_log]",
        "api" => "[api]",
        "principal" => "[[principal]]",
        "quota" => "quota of [[principal]]",
        "network" => "[[network]]",
        "service" => "[[service]]",
        "listener" => "[[service.listener]]",
        "target" => "[[service.target]]",
        "health_check" => "[service.health_check]",
        "endpoint" => "[[endpoint]]",
        "security_rule" => "allow of [[endpoint]]",
        "limits" => "limits of [[endpoint]]",
        other => other,
    }
}

fn head((name, section): (&str, u8), date: &str, about: &str) -> String {
    let title = name.to_uppercase();
    let about = about.trim_end_matches('.').split('\n').next().unwrap_or_default();
    format!(
        ".TH \"{}\" \"{section}\" \"{date}\" \"{SOURCE}\"\n.SH NAME\n{} \\- {}\n",
        escaped(&title),
        escaped(name),
        escaped(about)
    )
}

fn paragraphs(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| {
            let line = escaped(&paragraph.replace('\n', " "));
            if line.ends_with('.') { line } else { line + "." }
        })
        .collect();
    paragraphs.join("\n.PP\n") + "\n"
}

/// Markdown as plain words.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    // A link is its text.
    while let Some((before, link)) = rest.split_once('[') {
        match link.split_once("](").and_then(|(word, rest)| Some((word, rest.split_once(')')?.1))) {
            Some((word, after)) if !word.contains(['[', ']']) => {
                text += &format!("{before}{word}");
                rest = after;
            }
            _ => {
                text += &format!("{before}[");
                rest = link;
            }
        }
    }
    text += rest;
    escaped(&text.replace('`', ""))
}

/// Text as roff takes it: no character begins a request or is eaten.
fn escaped(text: &str) -> String {
    let mut out = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "..");
    if out.starts_with(['.', '\'']) {
        out.insert_str(0, "\\&");
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn every_page_has_the_sections_that_people_look_for() {
        let mut program = Cli::command();
        program.build();
        let pages = pages(&program, "2026-01-31");
        assert!(pages.len() > 25, "{}", pages.len());
        for (name, text) in &pages {
            let sections: &[&str] = if name.ends_with(".5") {
                &["NAME", "DESCRIPTION", "\"[[service.listener]]\"", "FILES", "SEE ALSO"]
            } else {
                &["NAME", "SYNOPSIS", "DESCRIPTION", "\"EXIT STATUS\"", "FILES", "SEE ALSO"]
            };
            for section in sections {
                assert!(text.contains(&format!(".SH {section}\n")), "{name}: no {section}\n{text}");
            }
            assert!(!text.contains("\n\n") && text.is_ascii(), "{name}");
        }
        let accept = &pages.iter().find(|(name, _)| name == "privatelink-accept.1").unwrap().1;
        assert!(accept.contains(".SH EXAMPLES\n.TP\n.B privatelink accept acme\\-web"), "{accept}");
    }

    #[test]
    fn markdown_becomes_plain() {
        assert_eq!(plain("see [names](dns.md), `a` [b]"), "see names, a [b]");
        assert_eq!(escaped(".a-b\\"), "\\&.a\\-b\\e");
    }
}
