//! YAML as cloud-init's parser reads it: version 1.1's booleans (`yes`) and
//! octal numbers (`0644`), the last of equal keys; with limits against input
//! that grows.

use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

/// Reads one document. The error says what is wrong and where.
pub fn read(text: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(text).map_err(|err| format!("byte {} is not UTF-8", err.valid_up_to()))?;
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
    };
    // The message names line and column.
    serde_saphyr::from_str_with_options(text, options).map_err(|err| err.to_string().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The readings that cloud-configs in use rely on.
    #[test]
    fn readings() {
        for (text, want) in [
            ("a: yes\nb: off\nc: \"yes\"\n", json!({"a": true, "b": false, "c": "yes"})),
            ("permissions: 0644\nquoted: '0644'\n", json!({"permissions": 420, "quoted": "0644"})),
            ("a: 1\na: 2\n", json!({"a": 2})),
            ("a: |\n  one\n  two\nb: >-\n  x\n  y\n", json!({"a": "one\ntwo\n", "b": "x y"})),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("#cloud-config\n", json!(null)),
            ("runcmd:\n - [ls, -l]\n - echo hi\n", json!({"runcmd": [["ls", "-l"], "echo hi"]})),
        ] {
            assert_eq!(read(text.as_bytes()), Ok(want), "{text:?}");
        }
    }

    /// Faults name their place in one line.
    #[test]
    fn faults() {
        for (text, want) in [
            (&b"x: [\n  1\n y: 2\n"[..], "line 3, column 3"),
            (b"runcmd:\n - echo: a: b\n", "line 2"),
            (b"a: @x\n", "line 1, column 4"),
            (b"a: \xff\n", "byte 3 is not UTF-8"),
        ] {
            let err = read(text).unwrap_err();
            assert!(err.contains(want) && !err.contains('\n'), "{err}");
        }
    }

    /// A document that would grow without limit is refused.
    #[test]
    fn growing_document() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let below = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
        }
        assert!(read(text.as_bytes()).is_err());
    }
}
