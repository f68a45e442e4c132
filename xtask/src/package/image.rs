//! The image for hosts that run everything in containers, as an OCI archive: written without a
//! builder, since it is one file, two folders and a few words of JSON.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::archive::OPTIONS;
use super::{NAME, Source};
use crate::step::Step;

/// Makes the archive.
///
/// # Errors
/// When tar or sha256sum fail.
pub fn make(source: &Source, binary: &Path, folder: &Path) -> Result<PathBuf> {
    let work = folder.join("image");
    let blobs = work.join("layout/blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let layer = layer(source, binary, &work)?;
    let contents = digest(&layer)?;
    let compressed = work.join("layer.tar.gz");
    Step::new("sh")
        .args(["-c", "gzip -9n <\"$0\" >\"$1\""])
        .args([&layer, &compressed])
        .output()?;
    let layer = add(&blobs, &compressed, "application/vnd.oci.image.layer.v1.tar+gzip")?;
    let configuration = configuration(source, &contents)?;
    let configuration = add_json(&blobs, &work, &configuration, "image.config.v1")?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": configuration,
        "layers": [layer],
    });
    let mut manifest = add_json(&blobs, &work, &manifest, "image.manifest.v1")?;
    // `~` is not allowed in a tag.
    let tag = source.version.replace('~', "-");
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    let layout = work.join("layout");
    std::fs::write(layout.join("index.json"), index.to_string())?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let archive = folder.join(format!("{}.oci.tar", source.label()));
    tar(source, &layout, &archive)?;
    std::fs::remove_dir_all(&work)?;
    Ok(archive)
}

/// The one layer: the binary, and folders where the host's are mounted.
fn layer(source: &Source, binary: &Path, work: &Path) -> Result<PathBuf> {
    let root = work.join("root");
    for mounted in ["usr/bin", "etc/privatelink", "var/lib/privatelink", "run/privatelink", "tmp"] {
        std::fs::create_dir_all(root.join(mounted))?;
    }
    std::fs::copy(binary, root.join("usr/bin").join(NAME)).context("cannot copy the binary")?;
    let archive = work.join("layer.tar");
    tar(source, &root, &archive)?;
    Ok(archive)
}

fn tar(source: &Source, folder: &Path, archive: &Path) -> Result<()> {
    Step::new("tar")
        .args(OPTIONS)
        // Whatever the umask is.
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", source.epoch)])
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(archive)
        .arg(".")
        .output()?;
    Ok(())
}

fn configuration(source: &Source, contents: &str) -> Result<Value> {
    let created = source.timestamp()?;
    Ok(json!({
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/usr/bin/{NAME}")],
            "Cmd": ["run"],
            "Env": ["PATH=/usr/bin"],
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                "org.opencontainers.image.source":
                    "https://github.com/privatelink/privatelink",
                "org.opencontainers.image.version": source.version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{contents}")]},
        "history": [{"created": created, "created_by": "cargo xtask package"}],
    }))
}

fn digest(file: &Path) -> Result<String> {
    let printed = Step::new("sha256sum").arg(file).output()?;
    let digest = printed.split_whitespace().next().context("sha256sum printed nothing")?;
    // It begins the line with a backslash where the name of the file has special characters.
    Ok(digest.trim_start_matches('\\').to_owned())
}

/// Stores a file under its digest; returns what refers to it.
fn add(blobs: &Path, file: &Path, kind: &str) -> Result<Value> {
    let digest = digest(file)?;
    let size = std::fs::metadata(file)?.len();
    std::fs::rename(file, blobs.join(&digest))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size}))
}

fn add_json(blobs: &Path, work: &Path, value: &Value, kind: &str) -> Result<Value> {
    let file = work.join("blob.json");
    std::fs::write(&file, value.to_string())?;
    add(blobs, &file, &format!("application/vnd.oci.{kind}+json"))
}
