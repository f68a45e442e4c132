//! What each file may contain.

use super::finding::Finding;

/// From here on a file gets hard to read.
const LONG: usize = 400;
/// And this is too long.
const TOO_LONG: usize = 600;

/// Where `unsafe` may be: at the edge to the kernel, and nowhere in the packet path itself.
const UNSAFE: [&str; 6] = [
    // Words that several CPUs share, for which `core` has no atomics on BPF.
    "privatelink-common/src/cell.rs",
    // The map types, marked as plain data.
    "privatelink-common/src/lib.rs",
    "privatelink-ebpf/src/bpf/",
    // Unaligned loads and stores as one instruction each.
    "privatelink-ebpf/src/wire/word.rs",
    "privatelink-user/src/datapath/bpf/",
    "tests/",
];

// Spelled in two halves, so that this file does not break its own rules.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const ALLOW: [&str; 2] = [concat!("#[", "allow("), concat!("#![", "allow(")];

/// Checks one file.
pub fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_rust = file.ends_with(".rs");
    if is_rust {
        findings.extend(length(file, text.lines().count()));
    }
    for (index, line) in text.lines().enumerate() {
        let mut report = |message: &str| {
            findings.push(Finding::error(file, Some(index + 1), message));
        };
        if UNFINISHED.iter().any(|word| has_word(line, word)) {
            report("unfinished work is an issue, not a comment");
        }
        if !is_rust {
            continue;
        }
        if ALLOW.iter().any(|attribute| line.contains(attribute)) {
            report("use `#[expect(lint, reason = \"..\")]`, which complains once it is needless");
        }
        if is_unsafe(line) && !UNSAFE.iter().any(|place| file.starts_with(place)) {
            report("unsafe code belongs at the edge to the kernel only");
        }
    }
    findings
}

fn length(file: &str, lines: usize) -> Option<Finding> {
    if lines > TOO_LONG {
        Some(Finding::error(file, None, format!("{lines} lines; {TOO_LONG} is the most")))
    } else if lines > LONG {
        Some(Finding::warning(file, format!("{lines} lines; aim below {LONG}")))
    } else {
        None
    }
}

/// Whether the code on this line is, or starts, something unsafe.
pub fn is_unsafe(line: &str) -> bool {
    const FOLLOWERS: [&str; 5] = ["{", "impl", "fn", "extern", "trait"];
    let code = line.split("//").next().unwrap_or_default();
    occurrences(code, "unsafe").any(|after| {
        let after = after.trim_start();
        FOLLOWERS.iter().any(|follower| after.starts_with(follower))
    })
}

fn has_word(line: &str, word: &str) -> bool {
    occurrences(line, word).next().is_some()
}

/// What follows each occurrence of `word` as a whole word.
fn occurrences<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).filter_map(move |(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word)?;
        (!before.ends_with(in_name) && !after.starts_with(in_name)).then_some(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        check(file, text).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn long_files_warn_and_longer_ones_fail() {
        assert_eq!(length("x.rs", LONG), None);
        let long = length("x.rs", TOO_LONG).expect("it is long");
        assert_eq!(long.severity, crate::tidy::finding::Severity::Warning);
        let too_long = length("x.rs", TOO_LONG + 1).expect("it is too long");
        assert_eq!(too_long.severity, crate::tidy::finding::Severity::Error);
        assert!(messages("x.md", &"\n".repeat(1000)).is_empty(), "only code is measured");
    }

    #[test]
    fn unfinished_work_is_found_as_a_word() {
        for word in UNFINISHED {
            assert_eq!(messages("x.md", &format!("see {word}: later")).len(), 1);
            assert!(messages("x.rs", &format!("let {word}S = 1;")).is_empty());
        }
    }

    #[test]
    fn lints_are_expected_with_a_reason() {
        for attribute in ALLOW {
            assert_eq!(messages("x.rs", &format!("{attribute}dead_code)]")).len(), 1);
        }
        assert!(messages("x.rs", "#[expect(dead_code, reason = \"..\")]").is_empty());
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let block = format!("let x = {} {{ y }};", "unsafe");
        assert_eq!(messages("privatelink-ebpf/src/stages/translate.rs", &block).len(), 1);
        assert!(messages("privatelink-ebpf/src/bpf/context.rs", &block).is_empty());
        assert!(messages("privatelink-user/src/datapath/bpf/batch.rs", &block).is_empty());
        assert!(messages("x.rs", "#![deny(unsafe_code)]").is_empty());
        assert!(messages("x.rs", "#[unsafe(no_mangle)]").is_empty());
        assert!(messages("x.rs", &format!("// never {block}")).is_empty());
    }
}
