//! Examples of each command, for its help and its manual page.

use clap::Command;

/// What `--help` ends with.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong command line; 3 no daemon listens";

/// The examples of a command: a line to type, and what it does.
pub(super) fn of(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "privatelink" => &[
            ("privatelink check", "says what is wrong with /etc/privatelink"),
            ("privatelink status", "says what is wrong with the gateway"),
            ("privatelink accept acme-web --for 7d", "lets a consumer in for a week"),
        ],
        "run" => &[("privatelink run --config gateway.toml", "runs the daemon until Ctrl-C")],
        "check" => &[
            ("privatelink check gateway.toml", "checks one file"),
            ("privatelink check --no-host --deny-warnings etc/", "in a pipeline"),
        ],
        "plan" => &[
            ("privatelink plan", "what `privatelink reload` would change"),
            ("privatelink plan new.toml --output wide", "every change of another file"),
        ],
        "reload" => &[
            ("privatelink reload", "applies the configuration on disk"),
            ("privatelink reload --grow", "also makes the flow table as large as `max_flows`"),
        ],
        "status" => &[("privatelink status --json", "for programs")],
        "networks" => &[("privatelink networks acme", "one network in detail")],
        "services" => &[("privatelink services --sort flows", "the busiest first")],
        "endpoints" => &[
            ("privatelink endpoints --service web --state rejected", "those that were rejected"),
            ("privatelink endpoints --sort drops --output wide", "with all columns"),
        ],
        "targets" => &[("privatelink targets web --state unhealthy", "what is wrong with them")],
        "connections" => &[
            ("privatelink connections --state pending-acceptance", "who waits for a decision"),
            ("privatelink connections acme-web", "who decided what, and why"),
        ],
        "accept" => {
            &[("privatelink accept acme-web --for 7d --reason 'ticket 4711'", "for a week")]
        }
        "reject" => &[("privatelink reject acme-web --reason 'contract ended'", "at once")],
        "request" => &[("privatelink request acme-web", "after the grant has expired")],
        "flows" => &[
            ("privatelink flows acme-web --state established", "the live ones of an endpoint"),
            ("privatelink flows --address 10.0.0.10", "those of a target"),
        ],
        "whois" => &[
            ("privatelink whois 10.0.0.241:1024", "who uses it now"),
            ("privatelink whois 10.0.0.241:1024 --at '2026-01-31 12:00'", "who used it then"),
        ],
        "events" => &[("privatelink events --follow --kind connection", "requests and decisions")],
        "metrics" => &[("privatelink metrics | grep drops", "without Prometheus")],
        "audit" => &[("privatelink audit --verify", "fails if a line was altered")],
        "down" => &[
            ("privatelink down", "ends forwarding"),
            ("privatelink down --pin-dir /sys/fs/bpf/other", "of a gateway without a daemon"),
        ],
        "completions" => &[(
            "privatelink completions bash > ~/.local/share/bash-completion/completions/privatelink",
            "for this user",
        )],
        "man" => &[("privatelink man /usr/local/share/man", "writes all pages")],
        _ => of_diagnosis(command),
    }
}

/// The same of the commands that find out what is wrong.
fn of_diagnosis(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "doctor" => &[
            ("privatelink doctor", "what is wrong with this host, and what to do"),
            ("privatelink doctor --deny-warnings --json gateway.toml", "before a deployment"),
        ],
        "top" => &[
            ("privatelink top", "the endpoints that carry most, live"),
            ("privatelink top targets --sort flows", "the busiest targets"),
            ("privatelink top --once --json", "rates over two seconds, for programs"),
        ],
        "test" => &[
            ("privatelink test acme-web", "which step fails, whose it is, what to do"),
            ("privatelink test acme-web --from 10.1.0.7 --port 443", "for one client and port"),
        ],
        _ => &[],
    }
}

/// The command line with examples and exit codes in the help of each command.
pub(super) fn with_examples(program: Command) -> Command {
    let names: Vec<String> =
        program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let program = names.iter().fold(program, |program, name| {
        let help = help_of(name);
        program.mut_subcommand(name, |command| command.after_help(help))
    });
    let help = help_of("privatelink");
    program.after_help(help)
}

fn help_of(command: &str) -> String {
    let examples = of(command);
    if examples.is_empty() {
        return EXIT_CODES.to_owned();
    }
    let lines: String =
        examples.iter().map(|(line, does)| format!("  {line}\n      {does}\n")).collect();
    format!("Examples:\n{lines}\n{EXIT_CODES}")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn every_example_is_a_command_line() {
        let command = Cli::command();
        for name in command.get_subcommands().map(Command::get_name).chain(["privatelink"]) {
            for (line, _) in of(name) {
                let line = line.split([">", "|"].map(|end| end.chars().next().unwrap())).next();
                let mut words: Vec<String> = Vec::new();
                for (number, part) in line.unwrap().split('\'').enumerate() {
                    let is_quoted = number % 2 == 1;
                    let parts = part.split_whitespace().map(str::to_owned);
                    if is_quoted { words.push(part.to_owned()) } else { words.extend(parts) }
                }
                Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            }
        }
    }

    #[test]
    fn help_ends_with_global_options_examples_and_exit_codes() {
        let mut program = with_examples(Cli::command());
        program.build();
        let help = program.find_subcommand_mut("accept").unwrap().render_help().to_string();
        let places = ["\nOptions:", "\nGlobal options:", "\nExamples:", "\nExit codes: "];
        let found =
            places.map(|place| help.find(place).unwrap_or_else(|| panic!("{place}: {help}")));
        assert!(found.is_sorted(), "{help}");
    }
}
