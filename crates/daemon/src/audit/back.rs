//! Reading the trail's files back, the newest line first: what lookups are
//! answered from that reach further than memory.

use super::chain::{self, Line};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Read at once: more than the longest line.
const CHUNK_BYTES: u64 = 1 << 20;

/// Shows the events that lie before a place, the newest first, until `visit`
/// says that it has enough or about `bytes` were read. Returns the place to go
/// on before when there may be more; `None` at the beginning of the trail, and
/// when `visit` has enough.
///
/// # Errors
/// What cannot be read. A segment that is gone is the beginning.
pub fn back(
    folder: &Path,
    before: u64,
    bytes: u64,
    visit: &mut dyn FnMut(u64, &str) -> bool,
) -> io::Result<Option<u64>> {
    let (mut segment, mut end) = chain::split(before);
    let mut left = bytes;
    loop {
        let file = match File::open(chain::path_of(folder, segment)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        end = end.min(file.metadata()?.len());
        while end > 0 {
            if left == 0 {
                return Ok(Some(chain::place(segment, end)));
            }
            let start = end.saturating_sub(CHUNK_BYTES);
            let mut chunk = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut chunk, start)?;
            left = left.saturating_sub(end - start);
            let (lines, first) = chain::lines(&chunk, start);
            for line in lines.iter().rev() {
                if let Line { event: Some(event), start, .. } = line
                    && !visit(chain::place(segment, *start), event)
                {
                    return Ok(None);
                }
            }
            // A chunk within one line, which none of ours is, is passed over.
            end = if first < end { first } else { start };
        }
        match segment.checked_sub(1) {
            Some(previous) => (segment, end) = (previous, u64::MAX),
            None => return Ok(None),
        }
    }
}
