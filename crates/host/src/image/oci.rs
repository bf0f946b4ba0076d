//! OCI images on disk: a layout directory (OCI image specification, "Image
//! Layout"), or an archive of one. The manifest is chosen by this machine's
//! architecture; every blob is checked against its digest before it is used.

use crate::error::{Context, HostError};
use crate::layout::make_private;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of an index or a manifest (registries refuse more than 4 MiB).
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Indexes within indexes.
const INDEX_DEPTH_MAX: usize = 4;
/// Layers of one image; all are applied to one directory.
const LAYERS_MAX: usize = 256;
/// Files of an archive that is a layout.
const ARCHIVE_ENTRIES_MAX: usize = 10_000;

/// The file that says that a directory is a layout.
pub const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// An index has manifests, a manifest has layers.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    config: Option<Descriptor>,
}

/// An image of a layout.
#[derive(Debug)]
pub struct Found {
    /// Its layers' files, from the lowest, checked.
    pub layers: Vec<PathBuf>,
    /// `amd64`, `arm64`; empty where its configuration says none.
    pub architecture: String,
}

/// The architecture's name in OCI documents.
pub fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Finds the image of this machine's architecture in a layout.
pub fn find(layout: &Path) -> Result<Found, HostError> {
    let path = layout.join(INDEX);
    let mut document: Document = parse(&path, read_small(&path)?)?;
    for _ in 0..INDEX_DEPTH_MAX {
        if document.manifests.is_empty() {
            return image(layout, document);
        }
        let chosen = choose(&document.manifests)?;
        let path = blob(layout, &chosen.digest)?;
        document = parse(&path, read_small(&path)?)?;
    }
    Err(HostError::Refused(format!("{} has indexes nested too deeply", layout.display())))
}

/// The one of this machine's architecture; the first of those that say none,
/// else. Attestations and the like have a platform that is nobody's.
fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, HostError> {
    let fits = |platform: &Platform| platform.os == "linux" && platform.architecture == own_architecture();
    let own = manifests.iter().find(|one| one.platform.as_ref().is_some_and(fits));
    let silent = || manifests.iter().find(|one| one.platform.is_none());
    own.or_else(silent).ok_or_else(|| {
        let there = manifests.iter().filter_map(|one| one.platform.as_ref());
        let names: Vec<String> = there.map(|one| format!("{}/{}", one.os, one.architecture)).collect();
        let wanted = own_architecture();
        HostError::Refused(format!(
            "the image has no linux/{wanted}, which this machine needs, but {}",
            names.join(", ")
        ))
    })
}

fn image(layout: &Path, manifest: Document) -> Result<Found, HostError> {
    let config = manifest.config.ok_or_else(|| HostError::Refused("the manifest names no configuration".to_owned()))?;
    let path = blob(layout, &config.digest)?;
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        os: String,
    }
    let config: Config = parse(&path, read_small(&path)?)?;
    if !matches!(config.os.as_str(), "" | "linux") {
        return Err(HostError::Refused(format!("the image is for {}, not for linux", config.os)));
    }
    if manifest.layers.is_empty() || manifest.layers.len() > LAYERS_MAX {
        let count = manifest.layers.len();
        return Err(HostError::Refused(format!("the image has {count} layers; 1 to {LAYERS_MAX} can be imported")));
    }
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        if !layer.media_type.contains(".tar") && !layer.media_type.contains("+tar") && !layer.media_type.is_empty() {
            let kind = &layer.media_type;
            return Err(HostError::Refused(format!("the image's content is {kind}, not a root file system")));
        }
        layers.push(blob(layout, &layer.digest)?);
    }
    Ok(Found { layers, architecture: config.architecture })
}

/// The file of a blob whose content has the digest.
fn blob(layout: &Path, digest: &str) -> Result<PathBuf, HostError> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| is_hex(hex));
    let hex = hex.ok_or_else(|| HostError::Refused(format!("the digest {digest:?} is not of SHA-256")))?;
    let path = layout.join("blobs/sha256").join(hex);
    let mut file = File::open(&path).context(|| format!("open the blob {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 256 << 10];
    loop {
        match file.read(&mut buffer).context(|| format!("read the blob {}", path.display()))? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != hex {
        return Err(HostError::Refused(format!("the blob {digest} is damaged: its content is sha256:{found}")));
    }
    Ok(path)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn read_small(path: &Path) -> Result<Vec<u8>, HostError> {
    let mut bytes = Vec::new();
    let file = File::open(path).context(|| format!("open {}", path.display()))?;
    file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).context(|| format!("read {}", path.display()))?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(HostError::Refused(format!("{} is larger than {DOCUMENT_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: Vec<u8>) -> Result<T, HostError> {
    serde_json::from_slice(&bytes).map_err(|source| HostError::Corrupt { path: path.to_owned(), source })
}

/// Whether an archive holds a layout instead of a root file system: decided by
/// the first entry that only one of them has.
pub fn is_archive(archive: impl Read) -> Result<bool, HostError> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().context(|| "read the archive".to_owned())?;
    for entry in entries {
        let entry = entry.context(|| "read the archive; is it a tar archive?".to_owned())?;
        let path = entry.path().context(|| "read the archive".to_owned())?.into_owned();
        let mut names = path.components().filter_map(|part| match part {
            std::path::Component::Normal(name) => name.to_str(),
            _ => None,
        });
        match (names.next(), names.next()) {
            (None, _) | (Some("blobs"), None) => {}
            (Some(MARK | INDEX), None) | (Some("blobs"), Some("sha256")) => return Ok(true),
            // What `docker save` writes beside the layout.
            (Some("manifest.json" | "repositories"), None) => {}
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Writes an archive's layout to a directory: its documents and blobs, nothing else.
pub fn extract(archive: impl Read, directory: &Path) -> Result<(), HostError> {
    make_private(&directory.join("blobs/sha256"))?;
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().context(|| "read the archive".to_owned())?;
    for (number, entry) in entries.enumerate() {
        if number >= ARCHIVE_ENTRIES_MAX {
            return Err(HostError::Refused(format!("the archive has more than {ARCHIVE_ENTRIES_MAX} files")));
        }
        let mut entry = entry.context(|| "read the archive".to_owned())?;
        let path = entry.path().context(|| "read the archive".to_owned())?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path);
        let name = path.to_str().unwrap_or_default();
        let wanted = matches!(name, MARK | INDEX) || name.strip_prefix("blobs/sha256/").is_some_and(is_hex);
        if !wanted || entry.header().entry_type() != tar::EntryType::Regular {
            continue;
        }
        let target = directory.join(name);
        let context = || format!("write {}", target.display());
        let mut file = File::create(&target).context(context)?;
        let mut limited = entry.by_ref().take(super::unpack::BYTES_MAX + 1);
        let bytes = io::copy(&mut limited, &mut file).context(context)?;
        if bytes > super::unpack::BYTES_MAX {
            return Err(HostError::Refused(format!("{name} is larger than {} bytes", super::unpack::BYTES_MAX)));
        }
        file.flush().context(context)?;
    }
    Ok(())
}

/// Whether a directory is a layout.
pub fn is_layout(directory: &Path) -> bool {
    fs::metadata(directory.join(INDEX)).is_ok_and(|index| index.is_file())
        && fs::metadata(directory.join("blobs")).is_ok_and(|blobs| blobs.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(platform: Option<(&str, &str)>, digest: &str) -> Descriptor {
        let platform =
            platform.map(|(os, architecture)| Platform { architecture: architecture.to_owned(), os: os.to_owned() });
        Descriptor { digest: digest.to_owned(), media_type: String::new(), platform }
    }

    /// This machine's architecture wins; one that says none is second; what is for others only is named.
    #[test]
    fn platforms() {
        let own = own_architecture();
        let all = [
            descriptor(Some(("unknown", "unknown")), "a"),
            descriptor(None, "b"),
            descriptor(Some(("linux", own)), "c"),
        ];
        assert_eq!(choose(&all).expect("ours").digest, "c");
        assert_eq!(choose(&all[..2]).expect("silent").digest, "b");
        let text = choose(&[descriptor(Some(("linux", "s390x")), "d")]).map(|_| ()).expect_err("not ours").sentence();
        assert!(text.contains("linux/s390x"), "{text}");
    }

    /// A layout is told from a root by its first telling entry.
    #[test]
    fn archives_are_told_apart() {
        let archive = |names: &[&str]| {
            let mut builder = tar::Builder::new(Vec::new());
            for name in names {
                let mut header = tar::Header::new_gnu();
                header.set_size(0);
                header.set_mode(0o644);
                builder.append_data(&mut header, name, io::empty()).unwrap();
            }
            builder.into_inner().unwrap()
        };
        let digest = format!("blobs/sha256/{}", "a".repeat(64));
        for (names, want) in [
            (&["oci-layout", "index.json"][..], true),
            (&["blobs", &digest], true),
            (&["manifest.json", "index.json"], true),
            (&["bin/sh", "oci-layout"], false),
            (&["blobs/other"], false),
            (&[], false),
        ] {
            assert_eq!(is_archive(&archive(names)[..]).unwrap(), want, "{names:?}");
        }
    }

    /// A blob whose content is not what its name says is refused.
    #[test]
    fn damaged_blobs() {
        let directory = std::env::temp_dir().join(format!("elastane-oci-{}", std::process::id()));
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let path = directory.join("blobs/sha256").join(digest);
        fs::write(&path, "hello").unwrap();
        assert!(blob(&directory, &format!("sha256:{digest}")).is_ok());
        fs::write(&path, "hullo").unwrap();
        let text = blob(&directory, &format!("sha256:{digest}")).expect_err("damaged").sentence();
        fs::remove_dir_all(&directory).unwrap();
        assert!(text.contains("is damaged"), "{text}");
        assert!(blob(&directory, "sha256:../../etc/passwd").is_err());
    }
}
