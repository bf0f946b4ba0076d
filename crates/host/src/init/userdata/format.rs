//! What a piece of user data is: by its first bytes, or by the content type
//! that its MIME part declares (ec2-imds.md 5.4; cloud-init's user data
//! formats).

/// How a piece of user data is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `#!`: run once in the instance's life.
    Script,
    /// `#cloud-config`.
    CloudConfig,
    /// `#cloud-boothook`: run early at every boot.
    Boothook,
    /// Stored with the scripts of every boot.
    PerBoot,
    /// Stored with the scripts of each instance.
    PerInstance,
    /// Stored with the scripts that run once, also across images.
    PerOnce,
    /// `#include`, or `#include-once` when `once`: a list of addresses.
    Include {
        /// What was fetched is kept and not fetched again at later boots.
        once: bool,
    },
    /// `#cloud-config-archive`: a list of pieces.
    Archive,
    /// MIME: a message with a content type, usually of several parts.
    Mime,
    /// Compressed with gzip.
    Gzip,
    /// A format of cloud-init's that is refused here, with its name.
    Refused(&'static str),
    /// Only white space.
    Nothing,
    /// None of these.
    Unknown,
}

/// The headers of a message are looked for this far, as cloud-init does.
const HEADER_BYTES_MAX: usize = 4096;

/// Formats by the bytes that they begin with, after white space, in lower
/// case. Of two that fit the first one counts.
const PREFIXES: [(&[u8], Format); 12] = [
    (b"#cloud-config-archive", Format::Archive),
    (b"#cloud-config-jsonp", Format::Refused("#cloud-config-jsonp")),
    (b"#cloud-config", Format::CloudConfig),
    (b"#cloud-boothook", Format::Boothook),
    (b"#part-handler", Format::Refused("#part-handler")),
    (b"## template: jinja", Format::Refused("## template: jinja")),
    (b"#template: jinja", Format::Refused("## template: jinja")),
    (b"#include-once", Format::Include { once: true }),
    (b"#include", Format::Include { once: false }),
    (b"content-type: multipart/", Format::Mime),
    (b"mime-version:", Format::Mime),
    (b"#!", Format::Script),
];

/// Content types of MIME parts, in lower case.
const TYPES: [(&str, Format); 11] = [
    ("text/x-shellscript", Format::Script),
    ("text/x-shellscript-per-boot", Format::PerBoot),
    ("text/x-shellscript-per-instance", Format::PerInstance),
    ("text/x-shellscript-per-once", Format::PerOnce),
    ("text/cloud-config", Format::CloudConfig),
    ("text/cloud-boothook", Format::Boothook),
    ("text/x-include-url", Format::Include { once: false }),
    ("text/x-include-once-url", Format::Include { once: true }),
    ("text/cloud-config-archive", Format::Archive),
    ("text/cloud-config-jsonp", Format::Refused("text/cloud-config-jsonp")),
    ("text/part-handler", Format::Refused("text/part-handler")),
];

/// Content types that say nothing about the handling: the first bytes do.
const PLAIN_TYPES: [&str; 5] =
    ["", "text/plain", "text/x-not-multipart", "application/octet-stream", "application/x-gzip"];

/// The format by the first bytes.
pub fn by_content(data: &[u8]) -> Format {
    if data.starts_with(&[0x1f, 0x8b]) {
        return Format::Gzip;
    }
    let data = data.trim_ascii_start();
    let text = data[..data.len().min(HEADER_BYTES_MAX)].to_ascii_lowercase();
    if let Some((_, format)) = PREFIXES.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return *format;
    }
    let is_message =
        !text.starts_with(b"#") && text.split(|b| *b == b'\n').any(|line| line.starts_with(b"mime-version:"));
    match () {
        () if text.is_empty() => Format::Nothing,
        () if is_message => Format::Mime,
        () => Format::Unknown,
    }
}

/// The format of a MIME part; `None` for a content type that nobody handles.
pub fn by_type(content_type: &str, data: &[u8]) -> Option<Format> {
    if data.starts_with(&[0x1f, 0x8b]) {
        return Some(Format::Gzip);
    }
    if content_type == "text/jinja2" {
        return Some(Format::Refused("text/jinja2"));
    }
    if PLAIN_TYPES.contains(&content_type) || content_type.starts_with("application/gzip") {
        return Some(by_content(data));
    }
    TYPES.iter().find(|(name, _)| *name == content_type).map(|(_, format)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats are recognised by their first bytes, after white space, in any case.
    #[test]
    fn first_bytes() {
        for (data, want) in [
            (&b"#!/bin/sh\n"[..], Format::Script),
            (b" \n#!/usr/bin/python3\n", Format::Script),
            (b"#Cloud-Config\nruncmd: []\n", Format::CloudConfig),
            (b"#cloud-config-archive\n- x", Format::Archive),
            (b"#cloud-config-jsonp\n", Format::Refused("#cloud-config-jsonp")),
            (b"#cloud-boothook\n#!/bin/sh\n", Format::Boothook),
            (b"#include\nhttp://a\n", Format::Include { once: false }),
            (b"#include-once\nhttp://a\n", Format::Include { once: true }),
            (b"#part-handler\n", Format::Refused("#part-handler")),
            (b"## template: jinja\n#cloud-config\n", Format::Refused("## template: jinja")),
            (b"\x1f\x8b\x08", Format::Gzip),
            (b"Content-Type: multipart/mixed; boundary=x\n", Format::Mime),
            (b"MIME-Version: 1.0\n", Format::Mime),
            (b"From nobody\nMIME-Version: 1.0\n", Format::Mime),
            (b"#!/bin/sh\ncat <<E\nMIME-Version: 1.0\nE\n", Format::Script),
            (b"# a comment\nMIME-Version: 1.0\n", Format::Unknown),
            (b"hello", Format::Unknown),
            (b"", Format::Nothing),
            (b"  \n", Format::Nothing),
        ] {
            assert_eq!(by_content(data), want, "{:?}", String::from_utf8_lossy(data));
        }
    }

    /// A declared type decides; a plain one leaves it to the content; a
    /// compressed body is unpacked whatever it is declared as.
    #[test]
    fn declared_types() {
        for (content_type, data, want) in [
            ("text/x-shellscript", &b"echo no shebang"[..], Some(Format::Script)),
            ("text/cloud-config", b"a: 1", Some(Format::CloudConfig)),
            ("text/x-shellscript-per-boot", b"#!", Some(Format::PerBoot)),
            ("text/plain", b"#cloud-config\n", Some(Format::CloudConfig)),
            ("text/plain", b"notes", Some(Format::Unknown)),
            ("text/cloud-config", b"\x1f\x8b", Some(Format::Gzip)),
            ("text/jinja2", b"", Some(Format::Refused("text/jinja2"))),
            ("image/png", b"#!", None),
        ] {
            assert_eq!(by_type(content_type, data), want, "{content_type}");
        }
    }
}
