//! `cargo xtask image`, and images of the lab: one program and what it cannot run without, from scratch.
//!
//! Input: a program. Output: an OCI archive, which `ctr images import`, `podman load` and `skopeo copy oci-archive:` take. No registry, no
//! base image: libraries are the machine's own, those that the loader finds. The same files give the same bytes.
#![expect(clippy::print_stdout, reason = "the lines are what this command is for")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

/// Writes the image of `sealway`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut name = concat!("sealway:", env!("CARGO_PKG_VERSION"));
    let mut output = crate::target().join("sealway.tar");
    let mut rest = arguments;
    while let [option, value, after @ ..] = rest {
        match *option {
            "--name" => name = value,
            "--output" => output = PathBuf::from(value),
            _ => break,
        }
        rest = after;
    }
    ensure!(rest.is_empty(), "usage: cargo xtask image [--name NAME] [--output FILE]");
    let image = Image::of_program(&crate::sealway(false)?, &[name])?;
    let output = std::path::absolute(output)?;
    image.write(&output)?;
    println!("{}: {name}, {} MiB", output.display(), image.layer.len() >> 20);
    Ok(())
}

/// An image in memory.
#[derive(Debug)]
pub(crate) struct Image {
    program: String,
    layer: Vec<u8>,
    names: Vec<String>,
}

impl Image {
    /// The program at `path`, under `names`. It is the entry point and runs as user 65532.
    pub(crate) fn of_program(path: &Path, names: &[&str]) -> anyhow::Result<Self> {
        let program = path.file_name().and_then(|name| name.to_str()).context("no program's name")?;
        let mut files = BTreeMap::from([(PathBuf::from(program), path.to_path_buf())]);
        let libraries = libraries(path)?;
        if !libraries.is_empty() && Path::new(AUTHORITIES).exists() {
            files.insert(inside(AUTHORITIES)?, PathBuf::from(AUTHORITIES));
        }
        for library in libraries {
            files.insert(inside(&library)?, PathBuf::from(library));
        }
        Ok(Self {
            program: program.to_owned(),
            layer: layer(&files)?,
            names: names.iter().map(|name| full_name(name)).collect(),
        })
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Writes the archive: layer, configuration and manifest by digest, and an index with every name.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => bail!("no image for {other}"),
        };
        let configuration = json!({
            "architecture": architecture, "os": "linux",
            "config": {"User": "65532:65532", "Entrypoint": [format!("/{}", self.program)], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [name_of(&self.layer)]},
        });
        let configuration = serde_json::to_vec(&configuration)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &configuration),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &self.layer)],
        });
        let manifest = serde_json::to_vec(&manifest)?;
        let named = self.names.iter().map(|name| {
            let mut entry = descriptor(MANIFEST, &manifest);
            entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
            entry
        });
        let index = json!({"schemaVersion": 2, "manifests": named.collect::<Vec<_>>()});

        let mut archive = tar::Builder::new(Vec::new());
        append(
            &mut archive,
            Path::new("oci-layout"),
            READABLE,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        append(&mut archive, Path::new("index.json"), READABLE, &serde_json::to_vec(&index)?)?;
        for content in [&configuration, &manifest, &self.layer] {
            let blob = PathBuf::from("blobs").join(name_of(content).replace(':', "/"));
            append(&mut archive, &blob, READABLE, content)?;
        }
        let parent = path.parent().context("no directory")?;
        fs::create_dir_all(parent)?;
        // A reader sees the old image or the new one.
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, archive.into_inner()?)?;
        Ok(fs::rename(unfinished, path)?)
    }
}

/// The loader and the libraries of a program, by absolute path; none for one that is linked statically.
fn libraries(program: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output().context("ldd")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            errors.contains("not a dynamic executable"),
            "ldd {}: {errors}",
            program.display()
        );
        return Ok(Vec::new());
    }
    ensure!(!said.contains("not found"), "ldd {}:\n{said}", program.display());
    let words = said
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(str::to_owned).collect())
}

fn layer(files: &BTreeMap<PathBuf, PathBuf>) -> anyhow::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, source) in files {
        // Read through links: what a library is called is what the loader looks for.
        let content = fs::read(source).with_context(|| source.display().to_string())?;
        let mode = if name.starts_with("etc") { READABLE } else { EXECUTABLE };
        append(&mut layer, name, mode, &content)?;
    }
    Ok(layer.into_inner()?)
}

/// Neither time nor owner of the machine that makes it.
fn append(archive: &mut tar::Builder<Vec<u8>>, name: &Path, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(content.len())?);
    header.set_mode(mode);
    Ok(archive.append_data(&mut header, name, content)?)
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": name_of(content), "size": content.len()})
}

/// `sha256:` and the digest in hexadecimal.
fn name_of(content: &[u8]) -> String {
    let digest = digest(&SHA256, content);
    let hexadecimal: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hexadecimal}")
}

/// As a container runtime writes a name without a registry.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((registry, _)) if registry.contains(['.', ':']) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

fn inside(path: &str) -> anyhow::Result<PathBuf> {
    Ok(Path::new(path)
        .strip_prefix("/")
        .with_context(|| path.to_owned())?
        .to_path_buf())
}

/// The image of what holds a pod's namespaces, in the lab only.
pub(crate) const PAUSE: &str = "lab.invalid/pause:1";
/// Authorities for `wellKnownCACertificates: System`.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const READABLE: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;

#[cfg(test)]
mod tests;
