//! Images: rows that wait for one answer of the host.

use crate::row::*;
use crate::state::Tx;
use elastane_domain::id::ImageId;
use std::sync::Arc;

pub(super) fn reconcile(tx: &mut Tx<'_>) {
    let images: Vec<Arc<Image>> = tx.all::<Image>().cloned().collect();
    for image in images {
        match &image.phase {
            ImagePhase::Pending => pending(tx, &image),
            ImagePhase::Deregistered if !launched(tx, &image.id) => tx.delete::<Image>(image.id.as_str()),
            ImagePhase::Available { .. } | ImagePhase::Failed { .. } if outlived(tx, &image) => {
                tx.delete::<Image>(image.id.as_str());
            }
            ImagePhase::Deregistered | ImagePhase::Available { .. } | ImagePhase::Failed { .. } => {}
        }
    }
}

/// A living instance shows what it was launched from.
fn launched(tx: &Tx<'_>, image: &ImageId) -> bool {
    let mut living = tx.all::<Instance>().filter(|row| !matches!(row.phase, Phase::Terminated { .. }));
    living.any(|row| row.image == *image)
}

/// A capture for a snapshot that was deleted.
fn outlived(tx: &Tx<'_>, image: &Image) -> bool {
    image.details.origin == ImageOrigin::Snapshot && tx.get::<Snapshot>(&image.snapshot).is_none()
}

fn pending(tx: &mut Tx<'_>, image: &Image) {
    let source = image.source.as_ref().and_then(|id| tx.get::<Instance>(id.as_str()));
    let gone = source.is_none_or(|source| matches!(source.phase, Phase::Terminated { .. }));
    let phase = match tx.state.seen.captures.remove(&image.id) {
        Some(Ok(bytes)) => ImagePhase::Available { bytes },
        Some(Err(reason)) => ImagePhase::Failed { reason },
        None if gone => ImagePhase::Failed { reason: "The instance was terminated".to_string() },
        None => return,
    };
    tx.update(image.id.as_str(), |row: &mut Image| row.phase = phase);
}
