//! The one list of files that all packages contain.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::dependencies::Dependencies;
use super::{NAME, Source, configuration, licences, sbom};
use crate::step::Step;

/// Where the bill of materials is, in the tree.
pub const SBOM: &str = "usr/share/doc/privatelink/sbom.cdx.json";

/// Folder of the configuration: the package owns it, and no file in it.
pub const CONFIGURATION: &str = "etc/privatelink";
/// Passwords of webhooks may be in there; scripts hand it to the daemon's group.
pub const CONFIGURATION_MODE: u32 = 0o750;

const DOC: &str = "usr/share/doc/privatelink";
const EXECUTABLE: u32 = 0o755;
const PLAIN: u32 = 0o644;

/// Files of the sources, by where they go. A folder stands for all files in it.
const COPIED: &[(&str, &str, u32)] = &[
    ("packaging/privatelink.service", "usr/lib/systemd/system/privatelink.service", PLAIN),
    ("packaging/privatelink-dns.service", "usr/lib/systemd/system/privatelink-dns.service", PLAIN),
    ("packaging/privatelink-dns.socket", "usr/lib/systemd/system/privatelink-dns.socket", PLAIN),
    ("packaging/privatelink.sysusers", "usr/lib/sysusers.d/privatelink.conf", PLAIN),
    ("packaging/privatelink.tmpfiles", "usr/lib/tmpfiles.d/privatelink.conf", PLAIN),
    (
        "packaging/prometheus/privatelink.rules.yml",
        "usr/share/privatelink/prometheus/privatelink.rules.yml",
        PLAIN,
    ),
    ("packaging/grafana/privatelink.json", "usr/share/privatelink/grafana/privatelink.json", PLAIN),
    ("examples", "usr/share/doc/privatelink/examples", PLAIN),
    ("docs", DOC, PLAIN),
    ("README.md", "usr/share/doc/privatelink/README.md", PLAIN),
    ("CHANGELOG.md", "usr/share/doc/privatelink/CHANGELOG.md", PLAIN),
    ("LICENSE-MIT", "usr/share/doc/privatelink/LICENSE-MIT", PLAIN),
    ("LICENSE-APACHE", "usr/share/doc/privatelink/LICENSE-APACHE", PLAIN),
];

/// What shells complete, and where each looks for it.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/privatelink"),
    ("fish", "usr/share/fish/vendor_completions.d/privatelink.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_privatelink"),
];

/// A tree of files as they are to be on a host.
pub struct Staged {
    /// The tree's root.
    pub root: PathBuf,
    /// Its files, relative to the root and sorted.
    pub files: Vec<PathBuf>,
}

/// Lays the tree for a binary and its sources.
///
/// # Errors
/// When a file of the list is absent, or what is generated cannot be.
pub fn stage(source: &Source, binary: &Path, root: &Path) -> Result<Staged> {
    if root.exists() {
        std::fs::remove_dir_all(root)?;
    }
    let installed = root.join("usr/bin").join(NAME);
    place(binary, &installed, EXECUTABLE)?;
    for (from, to, mode) in COPIED {
        copy(&source.root.join(from), &root.join(to), *mode)?;
    }
    let ask = |arguments: &[&str]| Step::new(&installed).args(arguments).output();
    for (shell, to) in COMPLETIONS {
        write(&root.join(to), &ask(&["completions", shell])?)?;
    }
    let pages = root.join("usr/share/man/man1");
    std::fs::create_dir_all(&pages)?;
    Step::new(&installed).arg("man").arg(&pages).output()?;
    // The page of the configuration is in the section for files.
    let (name, files) = ("privatelink.toml.5", root.join("usr/share/man/man5"));
    std::fs::create_dir_all(&files)?;
    std::fs::rename(pages.join(name), files.join(name))?;
    let schema = ask(&["schema"])?;
    write(&root.join("usr/share/privatelink/configuration.schema.json"), &schema)?;
    write(
        &root.join(DOC).join("examples/all-keys.toml"),
        &configuration::commented(&schema).context("cannot read the configuration's schema")?,
    )?;
    let dependencies = Dependencies::of(source, super::binary::TARGET)?;
    write(&root.join(DOC).join("copyright"), &licences::text(source, &dependencies)?)?;
    write(&root.join(SBOM), &sbom::text(source, &dependencies)?)?;
    let folder = root.join(CONFIGURATION);
    std::fs::create_dir_all(&folder)?;
    let files = finish(root, source.epoch)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(CONFIGURATION_MODE))?;
    Ok(Staged { root: root.to_owned(), files })
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if !from.is_dir() {
        return place(from, to, mode);
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()), mode)?;
    }
    Ok(())
}

fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_parent(to)?;
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    // A script among the examples stays one.
    let executable = from.extension().is_some_and(|extension| extension == "sh");
    let mode = if executable { EXECUTABLE } else { mode };
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn write(to: &Path, text: &str) -> Result<()> {
    make_parent(to)?;
    std::fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(PLAIN))?;
    Ok(())
}

fn make_parent(file: &Path) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Gives everything the commit's time, and folders the usual rights, whatever the umask is.
/// Returns the files, sorted.
fn finish(root: &Path, epoch: u64) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(EXECUTABLE))?;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    let time = format!("--date=@{epoch}");
    Step::new("find").arg(root).args(["-exec", "touch", &time, "{}", "+"]).output()?;
    Ok(files)
}
