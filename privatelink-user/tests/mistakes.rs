//! Mistakes that people make, and the exact message that each gives: `mistakes.txt`, which is to be
//! read as prose. `PRIVATELINK_WRITE=1` writes the messages of this build into it.

use std::fs;

use clap::Parser as _;
use privatelink_user::{cli::args::Cli, config};

const VALID: &str = include_str!("mistakes.toml");
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes.txt");

/// What is said of a configuration in which one text was replaced: place, message and advice.
fn configured(mistake: &str) -> Vec<String> {
    let (from, to) = mistake.split_once(" => ").unwrap_or_else(|| panic!("{mistake}"));
    let to = if to == "(nothing)" { "" } else { to };
    let (from, to) = (from.replace("\\n", "\n"), to.replace("\\n", "\n"));
    assert!(VALID.contains(&from), "nothing to replace: {from}");
    let Err(faults) = config::from_text("gw.toml", &VALID.replacen(&from, &to, 1)) else {
        return vec!["no error".to_owned()];
    };
    let line = |fault: serde_json::Value| {
        let text = |key: &str| fault[key].as_str().map(ToOwned::to_owned);
        let place = fault["line"].as_u64().map(|line| format!("{line}:{}: ", fault["column"]));
        let message = text("message").unwrap_or_default();
        let related = fault["related"]["line"].as_u64();
        let related = related.map(|line| format!(" (see line {line})")).unwrap_or_default();
        let advice = text("help").or_else(|| text("label")).unwrap_or_else(|| "NO ADVICE".into());
        format!("{}{message}{related}; {advice}", place.unwrap_or_default())
    };
    faults.to_json().into_iter().map(line).collect()
}

/// What is said of a command line.
fn typed(line: &str) -> Vec<String> {
    let words = line.split(' ').map(|word| word.replace('_', " "));
    match Cli::try_parse_from(words) {
        Ok(_) => vec!["no error".to_owned()],
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
            lines
                .map(str::to_owned)
                .filter(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
                .collect()
        }
    }
}

#[test]
fn every_mistake_has_the_message_of_the_table() {
    let table = fs::read_to_string(TABLE).unwrap();
    let (mut written, mut mistakes) = (String::new(), 0);
    for line in table.lines() {
        if line.starts_with("    ") {
            continue;
        }
        written += &format!("{line}\n");
        let said = if line.starts_with('#') {
            continue;
        } else if line.starts_with("privatelink ") {
            typed(line)
        } else if line.contains(" => ") {
            configured(line)
        } else {
            continue;
        };
        mistakes += 1;
        for message in said {
            written += &format!("    {message}\n");
        }
    }
    assert!(mistakes >= 60, "{mistakes}");
    if std::env::var_os("PRIVATELINK_WRITE").is_some() {
        fs::write(TABLE, &written).unwrap();
    }
    assert_eq!(table, written);
}
