//! Images: captured writable layers and imported root file systems, one
//! directory each, there as a whole or absent.

pub mod import;
mod oci;
pub mod owners;
mod stream;
pub mod unpack;

use crate::error::{Context, HostError};
use crate::layout::{Layout, TOP, is_safe_name, make_private};
use crate::tree::{self, Copy};
use elastane_domain::id::ImageId;
use rustix::fs::FileType;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What belongs to the one instance or its boot and not to its image, by path.
const INSTANCE_ONLY: [&str; 10] = [
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/machine-id",
    "var/lib/cloud/instances",
    "var/lib/cloud/instance",
    "tmp",
    "run",
    "proc",
    "dev",
];

fn excluded(path: &Path, kind: FileType) -> bool {
    let logs = path.starts_with("var/log") && kind == FileType::RegularFile;
    // The next instance makes its own; a key that two have is no secret.
    let host_keys = path.parent() == Some(Path::new("etc/ssh"))
        && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ssh_host_"));
    logs || host_keys || INSTANCE_ONLY.iter().any(|name| Path::new(name) == path)
}

/// Copies the writable layer of an instance to a new image; returns its size
/// in bytes. The image appears at once and is on disk then, or not at all.
pub fn capture(layout: &Layout, image: &str, instance: &str) -> Result<u64, HostError> {
    if !is_safe_name(image) || !is_safe_name(instance) {
        return Err(HostError::Refused("an identifier cannot be a file name".to_owned()));
    }
    let source = layout.instance(instance).join("rw");
    if !source.is_dir() {
        return Err(HostError::Refused(format!("{instance} has no disk on this host")));
    }
    let temporary = layout.at("trash").join(format!("{image}.capture"));
    tree::remove(&temporary)?;
    make_private(&temporary)?;
    let copied = copy_tops(&source, &temporary).and_then(|bytes| publish(layout, &temporary, image).map(|()| bytes));
    if copied.is_err() {
        // What cannot be removed now is removed at the next start.
        let _ = tree::remove(&temporary);
    }
    copied
}

fn copy_tops(source: &Path, target: &Path) -> Result<u64, HostError> {
    let mut copy = Copy::new(&excluded);
    for entry in fs::read_dir(source).context(|| format!("read {}", source.display()))? {
        let top = entry.context(|| format!("read {}", source.display()))?.file_name();
        let seen_as = if top == TOP { PathBuf::new() } else { PathBuf::from(&top) };
        copy.directory(&source.join(&top), &target.join(&top), &seen_as)?;
    }
    Ok(copy.bytes)
}

fn publish(layout: &Layout, temporary: &Path, image: &str) -> Result<(), HostError> {
    let images = layout.at("images");
    let sync = |path: &Path| -> std::io::Result<()> { Ok(rustix::fs::syncfs(File::open(path)?)?) };
    sync(temporary).context(|| "write the image to disk".to_owned())?;
    layout.discard(&layout.image(image))?;
    fs::rename(temporary, layout.image(image)).context(|| "publish the image".to_owned())?;
    File::open(&images).and_then(|file| file.sync_all()).context(|| "write the image's name to disk".to_owned())
}

/// All images that are here.
pub fn all(layout: &Layout) -> Result<Vec<ImageId>, HostError> {
    let images = layout.at("images");
    let mut found = Vec::new();
    for entry in fs::read_dir(&images).context(|| format!("read {}", images.display()))? {
        let name = entry.context(|| format!("read {}", images.display()))?.file_name();
        found.extend(name.to_str().filter(|name| is_safe_name(name)).map(ImageId::from));
    }
    Ok(found)
}

/// Makes the directory of an instance of the process make: its image's
/// layers, copied one over the other, and the places that scripts expect.
pub fn unpack(layout: &Layout, layers: &[ImageId], directory: &Path) -> Result<(), HostError> {
    let root = directory.join("rw").join(TOP);
    tree::remove(&root)?;
    make_private(&root)?;
    for layer in layers {
        let source = layout.image(layer.as_str()).join(TOP);
        if source.is_dir() {
            Copy::new(&|_, _| false).directory(&source, &root, Path::new(""))?;
        }
    }
    for name in ["etc", "var/log", "var/lib/cloud", "tmp", "run", "root", "home", "srv", "opt"] {
        make_private(&root.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identity and logs stay behind; log directories and everything else go along.
    #[test]
    fn exclusions() {
        for (path, kind, want) in [
            ("etc/hostname", FileType::RegularFile, true),
            ("etc/hosts.allow", FileType::RegularFile, false),
            ("var/log/app.log", FileType::RegularFile, true),
            ("var/log/nginx", FileType::Directory, false),
            ("var/lib/cloud/instances", FileType::Directory, true),
            ("var/lib/cloud/scripts", FileType::Directory, false),
            ("usr/local/bin/app", FileType::RegularFile, false),
            ("etc/ssh/ssh_host_rsa_key.pub", FileType::RegularFile, true),
            ("etc/ssh/sshd_config", FileType::RegularFile, false),
        ] {
            assert_eq!(excluded(Path::new(path), kind), want, "{path}");
        }
    }
}
