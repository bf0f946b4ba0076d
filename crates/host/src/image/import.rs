//! Importing a root file system as an image of one layer that stands on
//! nothing: the host's own root is not below it. A mark in the layer's
//! directory says so. The layer appears complete, or not at all.

use super::oci;
use super::owners::Owners;
use super::stream;
use super::unpack::{Progress, Unpacker};
use crate::error::{Context, HostError};
use crate::layout::{Layout, TOP, is_safe_name, make_private};
use crate::tree;
use std::path::Path;

/// The mark of a layer that is a whole root file system.
const COMPLETE: &str = "@complete";

/// Directories that every instance's root has: places to mount, and where the
/// boot writes.
const DIRECTORIES: [(&str, u32); 10] = [
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("etc", 0o755),
    ("root", 0o700),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/lib", 0o755),
];

/// Where programs are looked for that tell an image's architecture.
const PROGRAMS: [&str; 5] = ["bin/sh", "usr/bin/sh", "bin/busybox", "sbin/init", "usr/bin/env"];

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Files, directories and links, and the bytes in them.
    pub progress: Progress,
    /// EC2's name of the architecture: `x86_64` or `arm64`.
    pub architecture: String,
    /// What the user should know of the image.
    pub notes: Vec<String>,
}

/// Whether an image's lowest layer is a whole root file system.
pub fn is_complete(layout: &Layout, layers: &[elastane_domain::id::ImageId]) -> bool {
    layers.first().is_some_and(|layer| layout.image(layer.as_str()).join(COMPLETE).is_file())
}

/// Unpacks an archive, or an OCI layout or archive, to the layer `image`.
pub fn import(
    layout: &Layout,
    image: &str,
    source: &Path,
    owners: Owners,
    tell: &dyn Fn(Progress),
) -> Result<Imported, HostError> {
    if !is_safe_name(image) {
        return Err(HostError::Refused("an identifier cannot be a file name".to_owned()));
    }
    let temporary = layout.at("trash").join(format!("{image}.import"));
    let extracted = layout.at("trash").join(format!("{image}.layout"));
    for directory in [&temporary, &extracted] {
        tree::remove(directory)?;
    }
    make_private(&temporary)?;
    let unpacked = unpack(source, &temporary, &extracted, owners, tell);
    let published = unpacked.and_then(|done| super::publish(layout, &temporary, image).map(|()| done));
    // What cannot be removed now is removed at the next start.
    let _ = tree::remove(&extracted);
    if published.is_err() {
        let _ = tree::remove(&temporary);
    }
    published
}

fn unpack(
    source: &Path,
    temporary: &Path,
    extracted: &Path,
    owners: Owners,
    tell: &dyn Fn(Progress),
) -> Result<Imported, HostError> {
    let top = temporary.join(TOP);
    make_private(&top)?;
    let mut unpacker = Unpacker::new(&top, owners, tell)?;
    let mut said = String::new();
    if source.is_dir() {
        if !oci::is_layout(source) {
            let why = "is a directory, but not an OCI layout: name a tar archive of the root file system instead";
            return Err(HostError::Refused(format!("{} {why}", source.display())));
        }
        said = layers(&mut unpacker, source)?;
    } else if oci::is_archive(stream::open(source)?)? {
        oci::extract(stream::open(source)?, extracted)?;
        said = layers(&mut unpacker, extracted)?;
    } else {
        unpacker.layer(stream::open(source)?, false)?;
    }
    let architecture = architecture(&unpacker, &said)?;
    let mut notes = Vec::new();
    if unpacker.peek("bin/sh", &mut [0; 4]).is_none() {
        notes.push("the image has no /bin/sh: scripts of user data and Run Command cannot run in it".to_owned());
    }
    for (path, mode) in DIRECTORIES {
        unpacker.ensure_directory(path, mode)?;
    }
    let file = rustix::fs::open(&top, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
        .context(|| "open the image's root".to_owned())?;
    owners.give(&file, 0, 0)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o755)).context(|| "set the root's mode".to_owned())?;
    std::fs::write(temporary.join(COMPLETE), b"").context(|| "mark the layer".to_owned())?;
    Ok(Imported { progress: unpacker.done, architecture, notes })
}

fn layers(unpacker: &mut Unpacker<'_>, layout: &Path) -> Result<String, HostError> {
    let found = oci::find(layout)?;
    for layer in &found.layers {
        unpacker.layer(stream::open(layer)?, true)?;
    }
    Ok(found.architecture)
}

/// EC2's name of the architecture that the image's programs are for; an image
/// of another than this machine's is refused. `said` is what its
/// configuration says, for images without a known program.
fn architecture(unpacker: &Unpacker<'_>, said: &str) -> Result<String, HostError> {
    let own = oci::own_architecture();
    let program = PROGRAMS.iter().find_map(|path| {
        let mut head = [0; 20];
        (unpacker.peek(path, &mut head)? == head.len()).then(|| machine_of(&head))?
    });
    let found = program.or((!said.is_empty()).then_some(said)).unwrap_or(own);
    if found != own {
        return Err(HostError::Refused(format!("the image is for {found}; this machine runs {own}")));
    }
    Ok(if own == "amd64" { "x86_64" } else { own }.to_owned())
}

/// The architecture of an executable file's head (ELF, `e_machine`).
fn machine_of(head: &[u8; 20]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    match u16::from_le_bytes([head[18], head[19]]) {
        62 => Some("amd64"),
        183 => Some("arm64"),
        3 => Some("386"),
        40 => Some("arm"),
        243 => Some("riscv64"),
        _ => Some("another architecture"),
    }
}
