//! Imported images: root file systems that stand on nothing of the host's.

use crate::cases::{Case, expect};
use crate::world::{World, spec, unique};
use elastane_domain::id::ImageId;
use elastane_domain::machine::{Generation, HostFact};
use elastane_host::Make;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const CASES: [(&str, Case); 4] = [
    ("imported_root_boots", imported_root_boots),
    ("imported_oci_layout_boots", imported_oci_layout_boots),
    ("failed_imports_leave_nothing", failed_imports_leave_nothing),
    ("process_make_refuses_imports", process_make_refuses_imports),
];

/// What a root for these cases can do. The shell has no `cp` of its own.
const PROGRAMS: [&str; 6] = ["sh", "cat", "ls", "mkdir", "uname", "sleep"];

type Archive = tar::Builder<Vec<u8>>;

fn add(archive: &mut Archive, kind: tar::EntryType, path: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    match kind {
        tar::EntryType::Symlink => {
            header.set_size(0);
            let target = std::str::from_utf8(content).expect("a path");
            archive.append_link(&mut header, path, target).expect("an archive in memory");
        }
        _ => {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content).expect("an archive in memory");
        }
    }
}

/// The programs of a root: Debian's static busybox where it is installed,
/// else this machine's own with the libraries that they name.
fn programs(archive: &mut Archive) {
    for place in ["/usr/bin/busybox", "/bin/busybox"] {
        let Ok(content) = fs::read(place) else { continue };
        let is_static = !String::from_utf8_lossy(&content[..4096.min(content.len())]).contains("ld-linux");
        if is_static {
            add(archive, tar::EntryType::Regular, "bin/busybox", 0o755, &content);
            PROGRAMS.iter().for_each(|name| {
                add(archive, tar::EntryType::Symlink, &format!("bin/{name}"), 0o777, b"busybox");
            });
            return;
        }
    }
    let mut libraries = std::collections::BTreeSet::new();
    for name in PROGRAMS {
        let path = Path::new("/bin").join(name);
        add(archive, tar::EntryType::Regular, &format!("bin/{name}"), 0o755, &fs::read(&path).expect("a program"));
        let listed = Command::new("ldd").arg(&path).output().expect("run ldd");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    for library in libraries {
        let content = fs::read(&library).expect("a library");
        add(archive, tar::EntryType::Regular, library.trim_start_matches('/'), 0o755, &content);
    }
}

fn root_archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    programs(&mut archive);
    add(&mut archive, tar::EntryType::Regular, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    add(&mut archive, tar::EntryType::Regular, "etc/own-release", 0o600, b"imported\n");
    // An image cannot make the boot write where it likes.
    add(&mut archive, tar::EntryType::Symlink, "tmp", 0o777, b"/etc");
    archive.into_inner().expect("an archive in memory")
}

fn image() -> ImageId {
    ImageId::from(format!("ami-{:017x}", u64::from(std::process::id()) << 20 | u64::from(unique())))
}

fn write(world: &World, name: &str, content: &[u8]) -> Result<PathBuf, String> {
    let path = world.data.with_file_name(name);
    fs::write(&path, content).map_err(|err| format!("write {}: {err}", path.display()))?;
    Ok(path)
}

/// Boots an image, looks at what is in it and what is not, changes it,
/// captures it, and boots the capture.
fn lives(world: &World, image: &ImageId) -> Result<(), String> {
    let mut first = spec("#!/bin/sh\necho user data ran in $(cat /etc/own-release)\necho kept > /root/note\n");
    first.layers = vec![image.clone()];
    let id = world.boot(first.clone())?;
    world.console_with(&id, "user data ran in imported")?;
    let there = world.output(&id, "ls -a / | cat")?;
    for name in ["usr/share/doc", "home/imported-root-has-no-home"] {
        let looked = world.output(&id, &format!("ls -d /{name} 2>&1 || true"))?;
        expect(looked.contains("No such"), || format!("the host shows through: {looked}"))?;
    }
    let (hosts, routes) = (world.output(&id, "cat /etc/hosts")?, world.output(&id, "cat /proc/net/route")?);
    expect(hosts.contains(&first.private_ip.to_string()), || format!("hosts: {hosts}"))?;
    expect(routes.lines().count() > 1, || format!("no route: {routes}; root: {there}"))?;
    world.output(&id, "echo x > /tmp/file && test ! -e /etc/file")?;
    let child = self::image();
    world.capture(&child, &id)?;
    world.remove(&id)?;
    let mut second = spec("");
    second.layers = vec![image.clone(), child.clone()];
    let id = world.boot(second)?;
    let note = world.output(&id, "cat /root/note /etc/own-release")?;
    expect(note == "kept\nimported", || format!("the capture holds {note:?}"))?;
    world.remove(&id)?;
    [image, &child].into_iter().for_each(|layer| world.host().delete_image(layer));
    Ok(())
}

/// A tarball becomes an image that boots by itself: its shell runs the user
/// data, its network is up, nothing of the host is in it.
fn imported_root_boots(world: &mut World) -> Result<(), String> {
    if world.make == Make::Process {
        return Ok(());
    }
    let path = write(world, "root.tar", &root_archive())?;
    let image = image();
    let done = world.host().import_image(&image, &path, &|_| {}).map_err(|err| err.sentence())?;
    expect(done.progress.bytes > 10_000 && done.notes.is_empty(), || format!("{done:?}"))?;
    lives(world, &image)
}

/// The same of an OCI layout of two layers, the second of which removes and adds.
fn imported_oci_layout_boots(world: &mut World) -> Result<(), String> {
    if world.make == Make::Process {
        return Ok(());
    }
    let layout = world.data.with_file_name("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).map_err(|err| err.to_string())?;
    let blob = |content: &[u8]| {
        let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(layout.join("blobs/sha256").join(&hex), content).expect("write a blob");
        (format!("sha256:{hex}"), content.len())
    };
    let mut lower = tar::Builder::new(Vec::new());
    programs(&mut lower);
    add(&mut lower, tar::EntryType::Regular, "usr/share/doc/low", 0o644, b"goes");
    add(&mut lower, tar::EntryType::Regular, "etc/own-release", 0o644, b"lower\n");
    let mut upper = tar::Builder::new(Vec::new());
    add(&mut upper, tar::EntryType::Regular, "usr/share/.wh.doc", 0o644, b"");
    add(&mut upper, tar::EntryType::Regular, "etc/own-release", 0o644, b"imported\n");
    let layers = [lower, upper].map(|layer| blob(&layer.into_inner().expect("an archive in memory")));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = blob(format!("{{\"os\":\"linux\",\"architecture\":\"{architecture}\"}}").as_bytes());
    let descriptor = |(digest, size): &(String, usize), kind: &str| serde_json::json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor(&config, "config.v1+json"),
        "layers": layers.iter().map(|layer| descriptor(layer, "layer.v1.tar")).collect::<Vec<_>>(),
    });
    let manifest = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor(&manifest, "manifest.v1+json")] });
    fs::write(layout.join("index.json"), index.to_string()).map_err(|err| err.to_string())?;
    let image = image();
    world.host().import_image(&image, &layout, &|_| {}).map_err(|err| err.sentence())?;
    lives(world, &image)
}

/// An archive that is refused half way leaves no layer, also for the next host.
fn failed_imports_leave_nothing(world: &mut World) -> Result<(), String> {
    if world.make == Make::Process {
        return Ok(());
    }
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, tar::EntryType::Regular, "etc/first", 0o644, b"unpacked");
    add(&mut archive, tar::EntryType::Block, "disk", 0o600, b"");
    let path = write(world, "bad.tar", &archive.into_inner().expect("an archive in memory"))?;
    let image = image();
    let refused = world.host().import_image(&image, &path, &|_| {}).map(drop).expect_err("a device").sentence();
    expect(refused.contains("device files are refused"), || refused.clone())?;
    for name in ["images", "trash"] {
        let left = fs::read_dir(world.data.join(name)).map_err(|err| err.to_string())?.flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|left| left.to_string_lossy().starts_with(image.as_str()))
            .collect();
        expect(left.is_empty(), || format!("left in {name}: {left:?}"))?;
    }
    Ok(())
}

/// The process make cannot give an instance another root: it says so, at the
/// import and at the launch.
fn process_make_refuses_imports(world: &mut World) -> Result<(), String> {
    if world.make != Make::Process {
        return Ok(());
    }
    let path = write(world, "root.tar", &root_archive())?;
    let refused = world.host().import_image(&image(), &path, &|_| {}).map(drop).expect_err("refused").sentence();
    expect(refused.contains("sandbox"), || refused.clone())?;
    let layer = image();
    let directory = world.data.join("images").join(layer.as_str());
    fs::create_dir_all(directory.join("@root")).map_err(|err| err.to_string())?;
    fs::write(directory.join("@complete"), "").map_err(|err| err.to_string())?;
    let mut spec = spec("");
    spec.layers = vec![layer.clone()];
    let (id, generation) = (spec.instance.clone(), Generation(1));
    world.host().launch(spec);
    let reason = world.wait("LaunchFailed", |fact| match fact {
        HostFact::LaunchFailed { instance, generation: boot, reason } if *instance == id && *boot == generation => {
            Some(reason.clone())
        }
        _ => None,
    })?;
    world.host().delete_image(&layer);
    expect(reason.contains("sandbox driver"), || reason.clone())
}
