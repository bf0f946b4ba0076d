//! Rows of images that come from outside: archives and registries. The host
//! has unpacked the layer, complete, before its row is written, so that a row
//! never names a layer that is not there; a layer without a row goes at the
//! host's next start.

use super::images::{check_name, description};
use super::{snapshots, tag_rules};
use elastane_domain::id::ImageId;
use elastane_engine::Tx;
use elastane_engine::network::ROOT_VOLUME_GIB;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

pub use elastane_engine::public_parameters::ALIAS_TAG;

/// What an import is to become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// What it comes from, as the user named it.
    pub from: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
}

impl Import {
    fn tags(&self) -> Result<Tags, ApiError> {
        if self.aliases.is_empty() {
            return Ok(Tags::new());
        }
        let tag = wire::Tag { key: Some(ALIAS_TAG.to_string()), value: Some(self.aliases.join(" ")) };
        tag_rules::checked(&[tag])
    }
}

/// Checks an import before the work is done, and gives it an id. Errors:
/// those of CreateImage's name, description and tags.
pub fn begin_import(tx: &mut Tx<'_>, import: &Import) -> Result<ImageId, ApiError> {
    check_name(&tx.view(), &import.name)?;
    description(&Some(import.description.clone()))?;
    import.tags()?;
    Ok(ImageId::from(tx.rng.id(ImageId::PREFIX)))
}

/// Writes the row of an import whose layer, named like the image, is complete
/// on the host and holds `bytes`. Errors: as [`begin_import`], since the name
/// may have been taken meanwhile.
pub fn finish_import(tx: &mut Tx<'_>, id: &ImageId, import: &Import, bytes: u64) -> Result<(), ApiError> {
    check_name(&tx.view(), &import.name)?;
    let (description, tags) = (description(&Some(import.description.clone()))?, import.tags()?);
    let snapshot = tx.rng.id("snap-");
    let now = tx.now;
    let gib = i32::try_from(bytes.div_ceil(1 << 30)).unwrap_or(i32::MAX).max(ROOT_VOLUME_GIB);
    let details = ImageDetails {
        origin: ImageOrigin::Imported(import.from.clone()),
        architecture: import.architecture.clone(),
        root: BlockDevice { size_gib: Some(gib), ..BlockDevice::default() },
        ..ImageDetails::default()
    };
    tx.put(Snapshot {
        id: snapshot.clone(),
        volume: String::new(),
        description: format!("Imported for {id}"),
        layers: vec![id.clone()],
        image: None,
        size_gib: snapshots::size_gib(&details.root),
        started_at: now,
        tags: Tags::new(),
    });
    tx.put(Image {
        id: id.clone(),
        name: import.name.clone(),
        description,
        layers: vec![id.clone()],
        source: None,
        created_at: now,
        phase: ImagePhase::Available { bytes },
        reboot: false,
        snapshot,
        details,
        tags,
    });
    Ok(())
}
