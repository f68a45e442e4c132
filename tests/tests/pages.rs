//! Manual pages and shell scripts, judged by mandoc and shellcheck. Run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use privatelink_tests::lab::{daemon::find_binary, tool};

/// What a judge says, which must be nothing.
fn judge(command: &mut Command, files: &[PathBuf]) {
    let output = command.args(files).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn manual_pages_are_clean() {
    let directory = tempfile::tempdir().unwrap();
    tool::run(Command::new(find_binary().unwrap()).arg("man").arg(directory.path())).unwrap();
    let pages = files(directory.path());
    assert!(pages.len() > 25, "{pages:?}");
    assert!(pages.iter().any(|page| page.ends_with("privatelink.toml.5")), "{pages:?}");
    judge(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]), &pages);
}

#[test]
fn shell_scripts_are_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut scripts = files(&root.join("packaging/debian"));
    let others = ["examples", "tests/machine"].map(|folder| files(&root.join(folder))).concat();
    scripts
        .extend(others.into_iter().filter(|path| path.extension().is_some_and(|end| end == "sh")));
    assert!(scripts.len() > 4, "{scripts:?}");
    let how = ["--severity", "warning", "--external-sources", "--exclude", "SC2148"];
    judge(Command::new("shellcheck").args(how), &scripts);
}
