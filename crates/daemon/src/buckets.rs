//! Objects in the data directory, where there is no S3 yet: the object `key`
//! of a bucket is the file `buckets/<bucket>/<key>`.

use elastane_api::{OBJECT_BYTES_MAX, ObjectError};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Where a bucket's objects are, below the data directory.
pub const BUCKETS: &str = "buckets";

/// Reads an object. Calls wait meanwhile, so it is a plain file of at most
/// [`OBJECT_BYTES_MAX`], never a pipe or a device.
///
/// # Errors
/// Why it cannot be had.
pub fn read(data: &Path, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError> {
    let path = path(data, bucket, key).ok_or(ObjectError::Missing)?;
    let unreadable = |err: std::io::Error| match err.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ObjectError::Missing,
        _ => ObjectError::Unreadable(err.to_string()),
    };
    let about = std::fs::metadata(&path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(ObjectError::Missing);
    }
    let mut content = Vec::new();
    let file = File::open(&path).map_err(unreadable)?;
    file.take(OBJECT_BYTES_MAX as u64 + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() > OBJECT_BYTES_MAX { Err(ObjectError::TooLarge) } else { Ok(content) }
}

/// The file of an object; `None` for names that would lead elsewhere.
fn path(data: &Path, bucket: &str, key: &str) -> Option<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let good = plain(bucket) && !bucket.contains('/') && key.split('/').all(plain);
    good.then(|| data.join(BUCKETS).join(bucket).join(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names stay within their bucket.
    #[test]
    fn names_stay_within() {
        let data = Path::new("/data");
        for (bucket, key, expected) in [
            ("trust", "ca.pem", Some("/data/buckets/trust/ca.pem")),
            ("trust", "a/b.pem", Some("/data/buckets/trust/a/b.pem")),
            ("trust", "../key", None),
            ("trust", "a/../../key", None),
            ("trust", "/etc/passwd", None),
            ("trust", "", None),
            ("..", "key", None),
            ("a/b", "key", None),
        ] {
            assert_eq!(path(data, bucket, key).as_deref(), expected.map(Path::new), "{bucket} {key}");
        }
    }
}
