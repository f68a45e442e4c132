//! Lists of targets that other programs write.

use std::{
    collections::{BTreeMap, btree_map},
    path::Path,
};

use super::{
    decode::{Decode, OneOrMore},
    diagnostic::{Diagnostics, Fault, Report},
    parse::parse,
    raw,
    section::{self, Absence, Key, Section, SectionReader, section},
    source::{Located, SourceFile, Sources},
    toml_value::TomlValue,
};
use crate::{model::TargetAddress, state::targets::Listed};

section! {
    /// The whole file.
    TargetList "the list" {
        /// The targets, each with an address.
        target: OneOrMore<raw::Target> = required "[[target]]",
    }
}

/// Reads a list: `[[target]]` with the keys of `[[service.target]]`, and addresses only.
///
/// An empty list is a fault: a file looks like that while another program is writing it.
///
/// # Errors
/// Everything that is wrong.
pub fn target_list(path: &Path, text: &str) -> Result<Vec<Listed>, Diagnostics> {
    let mut report = Report::default();
    let listed = parse::<TargetList>(0, text, &mut report)
        .and_then(|list| list.target)
        .map(|targets| unique(targets.value, &mut report));
    match listed {
        Some(listed) if report.is_empty() => Ok(listed),
        _ => Err(Diagnostics::new(report, Sources::new([SourceFile::new(path, text)]))),
    }
}

fn unique(targets: OneOrMore<raw::Target>, report: &mut Report) -> Vec<Listed> {
    let mut all = BTreeMap::new();
    for Located { value: target, .. } in targets.0 {
        let Some(Located { value: address, at }) = target.address else { continue };
        let TargetAddress::Ip(address) = address else {
            let fault = Fault::new("a list cannot have targets with DNS names").at(at);
            report.push(fault.help("use the name as the `address` of a [[service.target]]"));
            continue;
        };
        let listed = Listed {
            address,
            weight: target.weight.value,
            port: target.port.map(|port| port.value),
            group: target.group.map(|group| group.value),
        };
        match all.entry(address) {
            btree_map::Entry::Vacant(free) => {
                free.insert((at, listed));
            }
            btree_map::Entry::Occupied(taken) => report.push(
                Fault::new(format!("the target {address} is listed twice"))
                    .at(at)
                    .related(taken.get().0, "first listed here")
                    .help("remove one of the two"),
            ),
        }
    }
    all.into_values().map(|(_, listed)| listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, u32)>, String> {
        let listed = target_list(Path::new("/run/list.toml"), text);
        let listed = listed.map_err(|faults| faults.brief())?;
        Ok(listed.iter().map(|one| (one.address.to_string(), one.weight.get())).collect())
    }

    #[test]
    fn lists_are_read() {
        let text = "[[target]]\naddress = \"10.0.0.11\"\nweight = 0\n[[target]]\naddress = \"10.0.0.10\"\n";
        let expected = [("10.0.0.10".to_owned(), 100), ("10.0.0.11".to_owned(), 0)];
        assert_eq!(read(text), Ok(expected.to_vec()));
    }

    #[test]
    fn what_is_wrong_is_said_on_one_line() {
        for (text, said) in [
            ("", "/run/list.toml:1:1: the list has no `target`; add `[[target]]`"),
            ("target = []", "/run/list.toml:1:10: `target` is an empty list"),
            (
                "[[target]]\naddress = \"db.internal\"",
                "/run/list.toml:2:11: a list cannot have targets with DNS names",
            ),
            (
                "[[target]]\naddress = \"10.0.0.300\"\n[[target]]\nport = 1",
                "10.0.0.300` is not an IP address",
            ),
            (
                "[[target]]\naddress = \"10.0.0.1\"\n[[target]]\naddress = \"10.0.0.1\"",
                "listed twice",
            ),
            ("10.0.0.1\n", "not valid TOML"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.contains(said) && !wrong.contains('\n'), "{text:?}: {wrong}");
        }
        assert!(read("[[target]]\naddress = 1\nx = 2").unwrap_err().ends_with("(and 1 more)"));
    }
}
