//! MIME messages as user data has them: headers, nested multiparts, and the
//! transfer encodings base64, quoted-printable and none (RFC 2045, 2046).
//! Texts of headers are taken as they are; encoded words are not decoded.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Multiparts within multiparts.
const DEPTH_MAX: usize = 8;
/// Parts of one message: far more than 16 KB of user data hold.
const PARTS_MAX: usize = 256;

/// Base64 as mail programs write it: padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One part that is not itself a multipart, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// Content type in lower case without parameters; empty when not given.
    pub content_type: String,
    /// File name of the content disposition, or the content type's name.
    pub name: Option<String>,
    /// How a cloud-config of it is merged: `Merge-Type` or `X-Merge-Type`.
    pub merge_type: Option<String>,
    /// The body after its transfer encoding.
    pub body: Vec<u8>,
}

/// The leaves of a message in their order, or what is wrong with it.
pub fn leaves(message: &[u8]) -> Result<Vec<Leaf>, String> {
    let mut found = Vec::new();
    walk(message, 0, &mut found)?;
    Ok(found)
}

fn walk(entity: &[u8], depth: usize, found: &mut Vec<Leaf>) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("its parts are nested more than {DEPTH_MAX} deep"));
    }
    let (headers, body) = split_headers(entity);
    let content_type = header(&headers, "content-type").unwrap_or_default();
    let (kind, parameters) = parameters(content_type);
    if kind.starts_with("multipart/") {
        let boundary = parameter(&parameters, "boundary").ok_or("a multipart has no boundary")?;
        let parts = split_parts(body, boundary.as_bytes());
        if parts.is_empty() {
            return Err(format!("the boundary {boundary:?} does not occur in it"));
        }
        return parts.into_iter().try_for_each(|part| walk(part, depth + 1, found));
    }
    if found.len() >= PARTS_MAX {
        return Err(format!("it has more than {PARTS_MAX} parts"));
    }
    let disposition = parameters_of(header(&headers, "content-disposition").unwrap_or_default());
    let name = parameter(&disposition, "filename").or_else(|| parameter(&parameters, "name"));
    let merge_type = header(&headers, "merge-type").or_else(|| header(&headers, "x-merge-type"));
    let encoding = header(&headers, "content-transfer-encoding").unwrap_or_default().trim().to_ascii_lowercase();
    found.push(Leaf {
        content_type: kind,
        name: name.map(str::to_owned).filter(|name| !name.is_empty()),
        merge_type: merge_type.map(|text| text.trim().to_owned()),
        body: decode(body, &encoding)?,
    });
    Ok(())
}

/// Lines with their ends.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split_inclusive(|b| *b == b'\n')
}

/// Headers with folded lines joined, names in lower case; and what follows
/// the empty line.
fn split_headers(entity: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut used = 0;
    for line in lines(entity) {
        used += line.len();
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        if text.is_empty() {
            break;
        }
        match text.split_once(':') {
            _ if text.starts_with([' ', '\t']) => {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(text.trim());
                }
            }
            Some((name, value)) => headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
            // The `From nobody` line of a mailbox.
            None => {}
        }
    }
    (headers, &entity[used..])
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// A value before its first `;` in lower case, and its parameters.
fn parameters(value: &str) -> (String, Vec<(String, String)>) {
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (kind, parameters_of(value))
}

/// The `name=value` of a header, quoted or not, names in lower case.
fn parameters_of(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches([';', ' ', '\t']).trim().to_ascii_lowercase();
        let after = after.trim_start();
        let (text, left) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name, text));
        rest = left;
    }
    found
}

/// The text up to the closing quote, and the rest after it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            other => text.push(other),
        }
    }
    (text, "")
}

fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// What lies between the boundary lines. The line end before a boundary
/// belongs to the boundary. A missing last boundary ends with the data.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in lines(body) {
        let text = line.trim_ascii_end();
        let rest = text.strip_prefix(b"--").and_then(|text| text.strip_prefix(boundary));
        if let Some(rest @ (b"" | b"--")) = rest {
            parts.extend(start.map(|from| without_line_end(&body[from..at])));
            start = Some(at + line.len());
            if rest == b"--" {
                return parts;
            }
        }
        at += line.len();
    }
    parts.extend(start.map(|from| &body[from..]).filter(|part| !part.trim_ascii().is_empty()));
    parts
}

fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

fn decode(body: &[u8], encoding: &str) -> Result<Vec<u8>, String> {
    match encoding {
        "" | "7bit" | "8bit" | "binary" => Ok(body.to_vec()),
        "base64" => base64_lines(body).ok_or_else(|| "a part's base64 cannot be decoded".to_owned()),
        "quoted-printable" => Ok(quoted_printable(body)),
        other => Err(format!("the transfer encoding {other:?} is unknown")),
    }
}

/// Base64 that may be broken into lines.
pub fn base64_lines(text: &[u8]) -> Option<Vec<u8>> {
    let packed: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    LENIENT.decode(packed).ok()
}

fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'=' {
            decoded.push(*first);
            continue;
        }
        let hexadecimal = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
        match after {
            [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] => rest = after,
            [high, low, after @ ..] if hexadecimal(*high).is_some() && hexadecimal(*low).is_some() => {
                decoded.extend(hexadecimal(*high).zip(hexadecimal(*low)).map(|(high, low)| high << 4 | low));
                rest = after;
            }
            // Damaged: kept as it is, as mail programs do.
            _ => decoded.push(b'='),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nested parts come in order, decoded, with names and merge types.
    #[test]
    fn nested_and_encoded() {
        let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"=o u:t\"\r\n\r\npreamble\r\n\
            --=o u:t\r\nContent-Type: text/x-shellscript; charset=\"us-ascii\"; name=n.sh\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=\"a \\\"b\\\".sh\"\r\n\r\nIyEvYmlu\r\nL3No\r\n\
            --=o u:t\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n--in\nContent-Type: Text/Cloud-Config\n\
            X-Merge-Type: list(append)\nContent-Transfer-Encoding: Quoted-Printable\n\na: =C3=A4=\n b=3D1\n\n--in--\n\
            \r\n--=o u:t\r\n\r\nplain\r\n--=o u:t--\r\nepilogue";
        let got = leaves(message.as_bytes()).unwrap();
        let leaf = |content_type: &str, name: Option<&str>, merge: Option<&str>, body: &str| Leaf {
            content_type: content_type.to_owned(),
            name: name.map(str::to_owned),
            merge_type: merge.map(str::to_owned),
            body: body.as_bytes().to_vec(),
        };
        let want = [
            leaf("text/x-shellscript", Some("a \"b\".sh"), None, "#!/bin/sh"),
            leaf("text/cloud-config", None, Some("list(append)"), "a: ä b=1\n"),
            leaf("", None, None, "plain"),
        ];
        assert_eq!(got, want);
    }

    /// What cannot be read says why; a missing end is no fault.
    #[test]
    fn faults() {
        for (message, want) in [
            ("Content-Type: multipart/mixed\n\n--x\n", "a multipart has no boundary"),
            ("Content-Type: multipart/mixed; boundary=x\n\nnothing", "the boundary \"x\" does not occur in it"),
            ("Content-Transfer-Encoding: base64\n\n!!!", "a part's base64 cannot be decoded"),
            ("Content-Transfer-Encoding: uuencode\n\nx", "the transfer encoding \"uuencode\" is unknown"),
        ] {
            assert_eq!(leaves(message.as_bytes()).unwrap_err(), want, "{message:?}");
        }
        let cut = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n#!/bin/sh\n";
        assert_eq!(leaves(cut.as_bytes()).unwrap()[0].body, b"#!/bin/sh\n");
        let mut deep = String::new();
        for level in 0..DEPTH_MAX + 2 {
            deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
        }
        assert!(leaves(deep.as_bytes()).unwrap_err().contains("nested"));
    }
}
