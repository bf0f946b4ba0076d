//! Takes user data apart until only scripts and cloud-configs are left, in
//! their order, and says what had to be left out.

use super::Problem;
use super::format::{self, Format};
use super::mime;
use super::unpack::gunzip;
use super::yaml;
use serde_json::{Map, Value};

/// User data within user data: includes, archives and compressed parts.
const DEPTH_MAX: usize = 10;
/// Parts of one instance's user data.
const PARTS_MAX: usize = 512;
/// Bytes of all parts together, so that includes cannot fill the memory.
const BYTES_MAX: usize = 32 << 20;
/// Addresses that are fetched in one boot.
const FETCHES_MAX: usize = 64;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs once in the instance's life.
    Script,
    /// Runs early at each boot.
    Boothook,
    /// Runs at each boot, also of instances from images of this one.
    PerBoot,
    /// Runs once in each instance's life, likewise.
    PerInstance,
    /// Runs once, and not again in instances from images of this one.
    PerOnce,
}

/// One script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// A name that can be a file's.
    pub name: String,
    /// The script, its interpreter line first.
    pub content: Vec<u8>,
}

/// One cloud-config.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigPart {
    /// Its name, for messages.
    pub name: String,
    /// What it says.
    pub keys: Map<String, Value>,
    /// Its merge type header.
    pub merge_type: Option<String>,
}

/// User data taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// The scripts in their order.
    pub parts: Vec<Part>,
    /// The cloud-configs in their order.
    pub configs: Vec<ConfigPart>,
    /// What was left out and why.
    pub problems: Vec<Problem>,
}

/// Fetches an address; the flag says that the content is to be kept for
/// later boots. The error is a sentence.
pub type Fetch<'a> = &'a mut dyn FnMut(&str, bool) -> Result<Vec<u8>, String>;

/// A piece of user data on its way.
struct Piece<'a> {
    content: &'a [u8],
    /// Its declared type; without one the content decides.
    content_type: Option<&'a str>,
    name: Option<&'a str>,
    merge_type: Option<&'a str>,
}

struct Gathering<'a> {
    fetch: Fetch<'a>,
    fetches: usize,
    bytes: usize,
    count: usize,
    found: Gathered,
}

/// Takes `data` apart, with `fetch` for its includes.
pub fn gather(data: &[u8], fetch: Fetch<'_>) -> Gathered {
    let mut gathering = Gathering { fetch, fetches: 0, bytes: 0, count: 0, found: Gathered::default() };
    let decoded = still_encoded(data);
    let content = decoded.as_deref().unwrap_or(data);
    gathering.piece(&Piece { content, content_type: None, name: None, merge_type: None }, 0);
    gathering.found
}

/// User data that was encoded once too often, decoded; only if what comes out
/// is user data.
fn still_encoded(data: &[u8]) -> Option<Vec<u8>> {
    if format::by_content(data) != Format::Unknown {
        return None;
    }
    let decoded = mime::base64_lines(data)?;
    let known = !matches!(format::by_content(&decoded), Format::Unknown | Format::Nothing);
    known.then_some(decoded)
}

impl Gathering<'_> {
    fn warn(&mut self, text: String) {
        self.found.problems.push(Problem::Warning(text));
    }

    fn fail(&mut self, text: String) {
        self.found.problems.push(Problem::Failure(text));
    }

    fn piece(&mut self, piece: &Piece<'_>, depth: usize) {
        let format = match piece.content_type {
            None => Some(format::by_content(piece.content)),
            Some(content_type) => format::by_type(content_type, piece.content),
        };
        if depth > DEPTH_MAX {
            return self.fail(format!("user data nested more than {DEPTH_MAX} deep was left out"));
        }
        match format {
            None => {
                let content_type = piece.content_type.unwrap_or_default();
                self.warn(format!(
                    "a user data part of the content type {content_type:?} was ignored: it is not handled"
                ));
            }
            Some(Format::Nothing) => {}
            Some(Format::Unknown) => {
                let first = String::from_utf8_lossy(&piece.content[..piece.content.len().min(24)]).into_owned();
                self.warn(format!("Unhandled non-multipart (text/x-not-multipart) userdata: {first:?}..."));
            }
            Some(Format::Refused(name)) => {
                self.fail(format!("user data of the format `{name}` is not supported and was not run"));
            }
            Some(Format::Mime) => self.message(piece.content, depth),
            Some(Format::Archive) => self.archive(piece.content, depth),
            Some(Format::Gzip) => self.compressed(piece, depth),
            Some(Format::Include { once }) => self.includes(piece.content, once, depth),
            Some(Format::CloudConfig) => self.config(piece),
            Some(Format::Script) => self.script(piece, Kind::Script),
            Some(Format::PerBoot) => self.script(piece, Kind::PerBoot),
            Some(Format::PerInstance) => self.script(piece, Kind::PerInstance),
            Some(Format::PerOnce) => self.script(piece, Kind::PerOnce),
            Some(Format::Boothook) => self.script(piece, Kind::Boothook),
        }
    }

    fn compressed(&mut self, piece: &Piece<'_>, depth: usize) {
        match gunzip(piece.content) {
            Ok(content) => {
                // A type that only says "compressed" says nothing about what is inside.
                let content_type = piece.content_type.filter(|content_type| content_type.starts_with("text/"));
                self.piece(&Piece { content: &content, content_type, ..*piece }, depth + 1);
            }
            Err(why) => self.fail(format!("gzip user data was left out: {why}")),
        }
    }

    fn message(&mut self, content: &[u8], depth: usize) {
        let leaves = match mime::leaves(content) {
            Ok(leaves) => leaves,
            Err(why) => return self.fail(format!("MIME user data was left out: {why}")),
        };
        for leaf in &leaves {
            let piece = Piece {
                content: &leaf.body,
                content_type: Some(&leaf.content_type),
                name: leaf.name.as_deref(),
                merge_type: leaf.merge_type.as_deref(),
            };
            self.piece(&piece, depth + 1);
        }
    }

    fn archive(&mut self, content: &[u8], depth: usize) {
        let entries = match yaml::read(content) {
            Ok(Value::Array(entries)) => entries,
            Ok(_) => return self.fail("a #cloud-config-archive is not a list; it was left out".to_owned()),
            Err(why) => return self.fail(format!("a #cloud-config-archive cannot be read: {why}")),
        };
        for entry in &entries {
            let content = entry.as_str().or_else(|| entry["content"].as_str());
            let Some(content) = content else {
                self.fail("an entry of a #cloud-config-archive has no content; it was left out".to_owned());
                continue;
            };
            let content_type = entry["type"].as_str().map(str::to_ascii_lowercase);
            let piece = Piece {
                content: content.as_bytes(),
                content_type: content_type.as_deref(),
                name: entry["filename"].as_str(),
                merge_type: None,
            };
            self.piece(&piece, depth + 1);
        }
    }

    fn includes(&mut self, content: &[u8], mut once: bool, depth: usize) {
        let text = String::from_utf8_lossy(content).into_owned();
        for line in text.lines().map(str::trim) {
            let lower = line.to_ascii_lowercase();
            // The marks may stand alone or before an address.
            let (mark, rest) = match () {
                () if lower.starts_with("#include-once") => (Some(true), &line["#include-once".len()..]),
                () if lower.starts_with("#include") => (Some(false), &line["#include".len()..]),
                () => (None, line),
            };
            once = mark.unwrap_or(once);
            let address = rest.trim();
            if address.is_empty() || address.starts_with('#') {
                continue;
            }
            self.fetches += 1;
            if self.fetches > FETCHES_MAX {
                return self.fail(format!("more than {FETCHES_MAX} includes; the rest was left out"));
            }
            match (self.fetch)(address, once) {
                Ok(content) => self
                    .piece(&Piece { content: &content, content_type: None, name: None, merge_type: None }, depth + 1),
                Err(why) => self.fail(format!("the include {address} was left out: {why}")),
            }
        }
    }

    /// The next part's name, or nothing when there are too many.
    fn next(&mut self, piece: &Piece<'_>) -> Option<String> {
        self.count += 1;
        self.bytes += piece.content.len();
        if self.count > PARTS_MAX || self.bytes > BYTES_MAX {
            if self.count == PARTS_MAX + 1 || self.bytes - piece.content.len() <= BYTES_MAX {
                self.fail(format!(
                    "user data of more than {PARTS_MAX} parts or {} MiB; the rest was left out",
                    BYTES_MAX >> 20
                ));
            }
            return None;
        }
        Some(piece.name.and_then(safe_name).unwrap_or_else(|| format!("part-{:03}", self.count)))
    }

    fn script(&mut self, piece: &Piece<'_>, kind: Kind) {
        let Some(name) = self.next(piece) else { return };
        let content = piece.content.trim_ascii_start();
        let content = match kind {
            Kind::Boothook => without_mark(content),
            Kind::Script | Kind::PerBoot | Kind::PerInstance | Kind::PerOnce => content,
        };
        self.found.parts.push(Part { kind, name, content: content.to_vec() });
    }

    fn config(&mut self, piece: &Piece<'_>) {
        let Some(name) = self.next(piece) else { return };
        match yaml::read(piece.content) {
            Ok(Value::Object(keys)) => {
                let merge_type = piece.merge_type.map(str::to_owned);
                self.found.configs.push(ConfigPart { name, keys, merge_type });
            }
            Ok(Value::Null) => {}
            Ok(_) => self.fail(format!("the cloud-config {name} is not a mapping of keys to values; it was left out")),
            Err(why) => self.fail(format!("the cloud-config {name} cannot be read as YAML: {why}; it was left out")),
        }
    }
}

/// A boothook without its first line, which is not its interpreter's.
fn without_mark(content: &[u8]) -> &[u8] {
    if !content.to_ascii_lowercase().starts_with(b"#cloud-boothook") {
        return content;
    }
    let end = content.iter().position(|b| *b == b'\n').map_or(content.len(), |at| at + 1);
    content[end..].trim_ascii_start()
}

/// A file name in the same directory, without what a name may not hold.
fn safe_name(name: &str) -> Option<String> {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let name: String = name.trim_start_matches('.').chars().take(100).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use std::io::Write;

    fn no_fetch(address: &str, _: bool) -> Result<Vec<u8>, String> {
        Err(format!("no fetch of {address}"))
    }

    fn summary(data: &[u8], fetch: Fetch<'_>) -> String {
        let found = gather(data, fetch);
        let mut lines: Vec<String> = Vec::new();
        for part in &found.parts {
            lines.push(format!("{:?} {} {:?}", part.kind, part.name, String::from_utf8_lossy(&part.content)));
        }
        for config in &found.configs {
            lines.push(format!("config {} {}", config.name, Value::Object(config.keys.clone())));
        }
        lines.extend(found.problems.iter().map(|problem| format!("{problem:?}")));
        lines.join("\n")
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Each format becomes its parts, or one problem that names it.
    #[test]
    fn formats() {
        let archive = "#cloud-config-archive\n- \"#!/bin/sh\\necho a\\n\"\n- type: text/cloud-config\n  content: |\n    a: 1\n- type: text/x-shellscript-per-boot\n  filename: ../b\n  content: x\n- 5\n";
        let boothook = "#cloud-boothook\n#!/bin/sh\necho early\n";
        let script = "#!/bin/sh\necho hi\n";
        let encoded = base64::engine::general_purpose::STANDARD.encode(script);
        let mime = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\nruncmd: [x]\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b\nContent-Type: image/png\n\nx\n--b--\n";
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (format!("\n {script}").into(), "Script part-001 \"#!/bin/sh\\necho hi\\n\""),
            (gzip(script.as_bytes()), "Script part-001 \"#!/bin/sh\\necho hi\\n\""),
            (encoded.into(), "Script part-001 \"#!/bin/sh\\necho hi\\n\""),
            (gzip(&gzip(boothook.as_bytes())), "Boothook part-001 \"#!/bin/sh\\necho early\\n\""),
            ("#cloud-config\na: {b: yes}\n".into(), "config part-001 {\"a\":{\"b\":true}}"),
            ("#cloud-config\n".into(), ""),
            (
                "#cloud-config\n- a\n".into(),
                "Failure(\"the cloud-config part-001 is not a mapping of keys to values; it was left out\")",
            ),
            (
                archive.into(),
                "Script part-001 \"#!/bin/sh\\necho a\\n\"\nPerBoot _b \"x\"\nconfig part-002 {\"a\":1}\nFailure(\"an entry of a #cloud-config-archive has no content; it was left out\")",
            ),
            (
                mime.into(),
                "Script part-002 \"#!/bin/sh\"\nconfig part-001 {\"runcmd\":[\"x\"]}\nWarning(\"a user data part of the content type \\\"image/png\\\" was ignored: it is not handled\")",
            ),
            (
                "## template: jinja\n#cloud-config\n".into(),
                "Failure(\"user data of the format `## template: jinja` is not supported and was not run\")",
            ),
            ("hello".into(), "Warning(\"Unhandled non-multipart (text/x-not-multipart) userdata: \\\"hello\\\"...\")"),
            (" \n".into(), ""),
        ];
        for (data, want) in cases {
            assert_eq!(summary(&data, &mut no_fetch), want, "{:?}", String::from_utf8_lossy(&data));
        }
    }

    /// Included user data is handled like user data, each address in its
    /// place; what cannot be fetched and what includes itself ends.
    #[test]
    fn includes() {
        let mut fetched = Vec::new();
        let mut fetch = |address: &str, once: bool| {
            fetched.push((address.to_owned(), once));
            match address {
                "http://a/script" => Ok(b"#!/bin/sh\n".to_vec()),
                "http://a/config" => Ok(gzip(b"#cloud-config\na: 1\n")),
                "http://a/self" => Ok(b"#include\nhttp://a/self\n".to_vec()),
                _ => Err("not found".to_owned()),
            }
        };
        let data = b"#include\nhttp://a/config\n# a comment\n\n#include-once http://a/script\nhttp://a/missing\n";
        let got = summary(data, &mut fetch);
        let want = "Script part-002 \"#!/bin/sh\\n\"\nconfig part-001 {\"a\":1}\nFailure(\"the include http://a/missing was left out: not found\")";
        assert_eq!(got, want);
        let endless = summary(b"#include\nhttp://a/self\n", &mut fetch);
        assert!(endless.contains("nested more than 10 deep"), "{endless}");
        let once: Vec<bool> = fetched.iter().take(3).map(|(_, once)| *once).collect();
        assert_eq!(once, [false, true, true]);
    }

    /// A YAML fault is one problem with its place; other parts stay.
    #[test]
    fn fault_in_one_part() {
        let mime = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\na: [\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n";
        let got = gather(mime.as_bytes(), &mut no_fetch);
        assert_eq!(got.parts.len(), 1);
        let [Problem::Failure(why)] = &got.problems[..] else { panic!("{:?}", got.problems) };
        assert!(
            why.starts_with("the cloud-config part-001 cannot be read as YAML: ") && why.contains("line "),
            "{why}"
        );
    }
}
