//! Subjects of commits: `scope: what the code does after it`, in the imperative.

use anyhow::Result;

use super::finding::Finding;
use crate::step::Step;

/// Earlier commits have subjects of another form.
const START: &str = "4317e419";

/// Where work is merged; what is there already is not judged again.
const MAIN: &str = "origin/main";

/// Longer subjects are cut off where logs are listed.
const MAX_LENGTH: usize = 72;

/// Checks the commits that lie on neither [`MAIN`] nor before [`START`]. Merges are exempt.
///
/// A clone that is too shallow to have either is not judged: its history says nothing about where
/// it begins.
pub fn check() -> Result<Vec<Finding>> {
    let known: Vec<String> = [START, MAIN]
        .into_iter()
        .filter(|commit| {
            let commit = format!("{commit}^{{commit}}");
            Step::new("git").args(["rev-parse", "--quiet", "--verify", &commit]).succeeds()
        })
        .map(|commit| format!("^{commit}"))
        .collect();
    if known.is_empty() {
        println!(
            "tidy: commit subjects are not checked: this clone has neither {MAIN} nor {START}"
        );
        return Ok(Vec::new());
    }
    let log = Step::new("git")
        .args(["log", "--no-merges", "--format=%h %s", "HEAD"])
        .args(known)
        .output()?;
    Ok(log.lines().filter_map(finding).collect())
}

fn finding(line: &str) -> Option<Finding> {
    let (commit, subject) = line.split_once(' ')?;
    let fault = fault(subject)?;
    Some(Finding::error(&format!("commit {commit}"), None, format!("{fault}: `{subject}`")))
}

/// What is wrong with a subject.
fn fault(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    if length > MAX_LENGTH {
        return Some(format!("a subject of {length} characters; {MAX_LENGTH} is the most"));
    }
    let parts =
        subject.split_once(": ").filter(|(scope, what)| is_scope(scope) && !what.is_empty());
    let Some((_, what)) = parts else {
        return Some("a subject has the form `scope: what it does`".to_owned());
    };
    let first = what.split_whitespace().next().unwrap_or_default();
    (!may_be_imperative(first)).then(|| {
        format!("a subject begins with a verb in the imperative (`count`, `add`), not `{first}`")
    })
}

/// One word: the room, the crate or the kind of file that changes.
fn is_scope(scope: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_/".contains(c);
    !scope.is_empty() && scope.chars().all(is_letter)
}

/// Whether a word could be a verb in the imperative, as far as its form tells. A bare noun passes.
fn may_be_imperative(word: &str) -> bool {
    const OTHER: [&str; 40] = [
        "a", "all", "an", "and", "any", "as", "at", "both", "by", "each", "every", "for", "from",
        "how", "if", "in", "it", "its", "more", "new", "no", "nobody", "of", "on", "one", "only",
        "some", "that", "the", "their", "these", "this", "those", "two", "what", "when", "where",
        "which", "who", "why",
    ];
    const IN_S: [&str; 3] = ["alias", "bias", "focus"];
    const IN_ED: [&str; 3] = ["embed", "shed", "shred"];
    const IN_ING: [&str; 8] =
        ["bring", "cling", "ping", "ring", "sing", "spring", "string", "swing"];
    let word = word.to_lowercase();
    let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    let is_third_person = word.ends_with('s') && !word.ends_with("ss") && !IN_S.contains(&word);
    let is_past = word.ends_with("ed") && !word.ends_with("eed") && !IN_ED.contains(&word);
    let is_noun = word.ends_with("ing") && !IN_ING.contains(&word);
    let is_word = !word.is_empty() && word.starts_with(|c: char| c.is_alphabetic());
    is_word && !OTHER.contains(&word) && !is_third_person && !is_past && !is_noun
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imperative_subjects_are_accepted() {
        for subject in [
            "ebpf: count a first drop on two CPUs once",
            "daemon/dns: Embed the zone's serial",
            "xtask: check the order of rooms",
            "tests: bring two hosts up",
            "config: address a service by its name",
            "api: pass on what the peer said",
            "cli: speed up the listing",
        ] {
            assert_eq!(fault(subject), None, "{subject}");
        }
    }

    #[test]
    fn other_subjects_are_refused() {
        for subject in [
            "ebpf: a drop is counted twice",
            "ebpf: the bound stands once",
            "docs: what clients notice of a dead target",
            "tests: who may decide",
            "tests: adds a test",
            "tests: added a test",
            "tests: adding a test",
            "tests: 10 packets",
        ] {
            let fault = fault(subject).expect(subject);
            assert!(fault.contains("imperative"), "{subject}: {fault}");
        }
    }

    #[test]
    fn a_subject_has_one_scope() {
        for subject in ["count drops", "tests, docs: count drops", "Fix: count drops", "ebpf:count"]
        {
            let fault = fault(subject).expect(subject);
            assert!(fault.contains("scope"), "{subject}: {fault}");
        }
    }

    #[test]
    fn a_subject_fits_a_line() {
        let longest = format!("ebpf: count {}", "x".repeat(60));
        assert_eq!((longest.chars().count(), fault(&longest)), (72, None));
        assert!(fault(&format!("{longest}x")).expect("it is too long").contains("73 characters"));
    }

    #[test]
    fn a_finding_names_the_commit() {
        let finding = finding("1a2b3c4 ebpf: the drop").expect("it is not imperative");
        assert_eq!(finding.file, "commit 1a2b3c4");
    }
}
