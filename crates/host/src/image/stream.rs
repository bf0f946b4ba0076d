//! Archives as they come: plain, or compressed with gzip, xz or zstd, told
//! apart by their first bytes.

use crate::error::{Context, HostError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes read from a file at a time.
const BUFFER_BYTES: usize = 128 << 10;
/// Memory that an xz stream may ask for, in KiB: the format's strongest preset takes 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// The frame's first bytes say how much a zstd stream wants to look back; `zstd --ultra` goes to 128 MiB.
const ZSTD_WINDOW_BYTES: u64 = 128 << 20;

/// Opens an archive's content.
pub fn open(path: &Path) -> Result<Box<dyn Read>, HostError> {
    let file = File::open(path).context(|| format!("open {}", path.display()))?;
    decompressed(file).context(|| format!("read {}", path.display()))
}

/// What a stream holds when it is decompressed.
pub fn decompressed(source: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    let start = source.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(Frames { source: Some(source), current: None })
        }
        _ => Box::new(source),
    })
}

type Source<R> = BufReader<R>;

/// zstd streams are frames one after the other; some say nothing and are skipped.
struct Frames<R: Read> {
    /// The rest, between two frames.
    source: Option<Source<R>>,
    current: Option<Box<StreamingDecoder<Source<R>, FrameDecoder>>>,
}

impl<R: Read> Frames<R> {
    /// Begins the next frame; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let Some(mut source) = self.source.take() else { return Ok(false) };
        loop {
            match source.fill_buf()? {
                [] => return Ok(false),
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => skip(&mut source)?,
                _ => {
                    let frame = StreamingDecoder::new_with_max_window_size(source, ZSTD_WINDOW_BYTES);
                    self.current = Some(Box::new(frame.map_err(io::Error::other)?));
                    return Ok(true);
                }
            }
        }
    }
}

/// Passes over a frame without content: its length follows its four bytes.
fn skip(source: &mut impl Read) -> io::Result<()> {
    let mut head = [0; 8];
    source.read_exact(&mut head)?;
    let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    match io::copy(&mut source.take(length), &mut io::sink())? {
        copied if copied == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.current {
                let count = frame.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                self.source = self.current.take().map(|frame| frame.into_inner());
            } else if !self.next()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Every format is told by its first bytes; streams of several parts are read whole.
    #[test]
    fn formats() {
        let gzip = |text: &str| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |text: &str| {
            ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
        };
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].to_vec();
        // `printf hello | xz --check=crc32`.
        let xz: &[u8] = &[
            0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00,
            0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x04, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00, 0x00,
            0x86, 0xa6, 0x10, 0x36, 0x00, 0x01, 0x19, 0x05, 0xbc, 0xe8, 0xec, 0xcb, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00,
            0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
        ];
        for (bytes, want) in [
            (b"hello".to_vec(), "hello"),
            (Vec::new(), ""),
            ([gzip("hel"), gzip("lo")].concat(), "hello"),
            ([zstd("hel"), skipped.clone(), zstd("lo")].concat(), "hello"),
            ([skipped, zstd("hello")].concat(), "hello"),
            (xz.to_vec(), "hello"),
        ] {
            let mut text = String::new();
            decompressed(io::Cursor::new(bytes.clone())).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, want, "{bytes:x?}");
        }
    }

    /// What ends early or is damaged is an error, not less content.
    #[test]
    fn damage_is_told() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[7; 1000]).unwrap();
        let whole = encoder.finish().unwrap();
        let cut = whole[..whole.len() - 9].to_vec();
        let mut content = Vec::new();
        assert!(decompressed(io::Cursor::new(cut)).unwrap().read_to_end(&mut content).is_err());
    }
}
