//! Decompression with a limit.

use flate2::read::MultiGzDecoder;
use std::io::Read;

/// Most bytes that one compressed piece may unpack to. 16 KB of user data can
/// unpack to 16 MB at most; nothing that people write comes near.
pub const UNPACKED_BYTES_MAX: u64 = 8 << 20;

/// Unpacks gzip, also of several members.
pub fn gunzip(data: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(data)
        .take(UNPACKED_BYTES_MAX + 1)
        .read_to_end(&mut unpacked)
        .map_err(|err| format!("it cannot be decompressed: {err}"))?;
    if unpacked.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(format!("it is more than {} MiB when decompressed", UNPACKED_BYTES_MAX >> 20));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// What fits is unpacked; a bomb and a cut stream are refused.
    #[test]
    fn limits() {
        assert_eq!(gunzip(&gzip(b"hello")).unwrap(), b"hello");
        let bomb = gzip(&vec![0; UNPACKED_BYTES_MAX as usize + 1]);
        assert!(gunzip(&bomb).unwrap_err().contains("more than 8 MiB"));
        let whole = gzip(b"hello");
        assert!(gunzip(&whole[..whole.len() - 9]).unwrap_err().contains("cannot be decompressed"));
    }
}
