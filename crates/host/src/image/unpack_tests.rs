use super::*;
use crate::make::Make;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// One entry of an archive: kind, path, content or link target.
type Entry<'a> = (tar::EntryType, &'a str, &'a str);

use tar::EntryType::{Directory as D, Link as H, Regular as F, Symlink as S};

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, text) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        // Written as it is: the builder refuses what these tests are about.
        header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(if *kind == D { 0o750 } else { 0o4711 });
        header.set_mtime(1_000_000_000);
        let me = fs::metadata("/proc/self").unwrap();
        header.set_uid(u64::from(me.uid()));
        header.set_gid(u64::from(me.gid()));
        let content = if *kind == F { text.as_bytes() } else { b"" };
        if matches!(*kind, S | H) {
            header.as_ustar_mut().unwrap().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("elastane-unpack-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("root")).unwrap();
        Scratch(path)
    }

    /// Unpacks layers one after the other into the same root.
    fn unpack(&self, layers: &[&[Entry<'_>]]) -> Result<Progress, String> {
        let mut unpacker = Unpacker::new(&self.0.join("root"), Owners::of(Make::Root, None), &|_| {}).unwrap();
        for layer in layers {
            unpacker.layer(&archive(layer)[..], true).map_err(|err| err.sentence())?;
        }
        Ok(unpacker.done)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.join("root").join(path)).ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Content, modes, times, hard and symbolic links; parents that no entry names.
#[test]
fn entries_are_unpacked() {
    let scratch = Scratch::new("entries");
    let done = scratch
        .unpack(&[&[
            (D, "./", ""),
            (D, "usr/bin/", ""),
            (S, "bin", "usr/bin"),
            (F, "bin/tool", "tool"),
            (H, "usr/bin/same", "/bin/tool"),
            (F, "/etc/conf.d/one", "1"),
            (D, "dev", ""),
            (F, "dev/null", ""),
        ]])
        .expect("a good archive");
    assert_eq!((done.entries, done.bytes), (8, 5));
    let root = scratch.0.join("root");
    let tool = fs::symlink_metadata(root.join("usr/bin/tool")).expect("through the link");
    assert_eq!((tool.permissions().mode() & 0o7777, tool.mtime(), tool.nlink()), (0o4711, 1_000_000_000, 2));
    assert_eq!(fs::metadata(root.join("usr/bin")).unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(scratch.read("etc/conf.d/one").as_deref(), Some("1"));
    assert!(!root.join("dev/null").exists(), "instances have a /dev of their own");
}

/// No name and no link leads out: what an archive says is absolute is the image's.
#[test]
fn nothing_escapes() {
    let scratch = Scratch::new("escape");
    let outside = scratch.0.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "whole").unwrap();
    let out = outside.to_str().unwrap();
    scratch
        .unpack(&[&[(S, "absolute", out), (S, "relative", "../outside"), (F, "relative/victim", "changed")]])
        .expect("a link out of the image leads nowhere");
    let absolute = scratch.unpack(&[&[(F, "absolute/victim", "changed")]]);
    assert!(absolute.is_ok(), "made within the image: {absolute:?}");
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "whole");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    for (entries, why) in [
        (&[(F, "../victim", "x")][..], "leads out"),
        (&[(F, "a/../../victim", "x")], "leads out"),
        (&[(H, "link", "../outside/victim")], "leads out"),
        (&[(H, "link", "nowhere")], "which is not there"),
        (&[(tar::EntryType::Char, "disk", "")], "device files"),
        (&[(tar::EntryType::Block, "tmp/disk", "")], "device files"),
    ] {
        let refused = scratch.unpack(&[entries]).expect_err(why);
        assert!(refused.contains(why), "{refused}");
    }
}

/// A layer removes and replaces what lower ones have, but not what it brings itself.
#[test]
fn whiteouts() {
    let scratch = Scratch::new("whiteouts");
    let lower: &[Entry<'_>] = &[
        (F, "a/gone", ""),
        (F, "a/kept", "low"),
        (F, "b/low", ""),
        (F, "b/deep/low", ""),
        (F, "c/tree/low", ""),
        (F, "d", "file"),
        (S, "e", "a"),
    ];
    let upper: &[Entry<'_>] = &[
        (F, "a/.wh.gone", ""),
        (F, "a/.wh.never", ""),
        (F, "b/deep/new", "new"),
        (F, "b/.wh..wh..opq", ""),
        (F, "c/.wh.tree", ""),
        (D, "d", ""),
        (F, "d/now", "directory"),
        (D, "e", ""),
    ];
    scratch.unpack(&[lower, upper]).expect("good layers");
    for (path, want) in [
        ("a/gone", None),
        ("a/kept", Some("low")),
        ("b/low", None),
        ("b/deep/low", None),
        ("b/deep/new", Some("new")),
        ("c/tree/low", None),
        ("d/now", Some("directory")),
    ] {
        assert_eq!(scratch.read(path).as_deref(), want, "{path}");
    }
    assert!(!scratch.0.join("root/c/tree").exists());
    assert!(fs::symlink_metadata(scratch.0.join("root/e")).unwrap().is_dir(), "a directory replaces a link");
}

/// An archive that is cut short is an error.
#[test]
fn cut_archives() {
    let scratch = Scratch::new("cut");
    let whole = archive(&[(F, "file", "content of the file")]);
    let mut unpacker = Unpacker::new(&scratch.0.join("root"), Owners::of(Make::Root, None), &|_| {}).unwrap();
    assert!(unpacker.layer(&whole[..520], false).is_err());
}
