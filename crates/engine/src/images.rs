//! Who may use which image, and which layers are in use. Images belong to an
//! account and region; layers belong to the host and are shared by every row
//! of every scope that has them among its layers. A layer lives while an
//! image that is not deregistered, a snapshot or a living instance has it.

use crate::network::host_image;
use crate::row::*;
use crate::scope::Scope;
use crate::state::{State, View};
use elastane_domain::id::{AccountId, ImageId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whether it is the image that every installation has: the host's own root.
pub fn built_in(image: &Image) -> bool {
    image.id == host_image()
}

/// The root device's name of images that say none.
pub const ROOT_DEVICE: &str = "/dev/xvda";

/// What an image calls its root device.
pub fn root_device_name(image: &Image) -> &str {
    match image.details.root.device.as_str() {
        "" => ROOT_DEVICE,
        name => name,
    }
}

/// Whether clients see it as an image at all.
pub fn shown(image: &Image) -> bool {
    image.phase != ImagePhase::Deregistered && image.details.origin != ImageOrigin::Snapshot
}

/// Whether an account that does not own it may launch it.
pub fn permits(image: &Image, account: &AccountId) -> bool {
    image.details.public || image.details.launch_accounts.contains(account)
}

/// All images that the view's account may launch in its region, with their
/// owners: its own first, then those of other accounts of this installation.
pub fn all<'a>(view: &View<'a>) -> impl Iterator<Item = (&'a Scope, &'a Arc<Image>)> + use<'a> {
    let scope = view.scope;
    let own = view.tables.images.values().map(move |image| (scope, image));
    let others = view.state.scopes.iter().filter(move |(other, _)| *other != scope && other.region == scope.region);
    let given = others.flat_map(move |(other, tables)| {
        let images = tables.images.values();
        images.filter(move |image| permits(image, &scope.account) && !built_in(image)).map(move |image| (other, image))
    });
    own.chain(given).filter(|(_, image)| shown(image))
}

/// The image of an id, if the view's account may launch it, with its owner.
pub fn find<'a>(view: &View<'a>, id: &str) -> Option<(&'a Scope, &'a Arc<Image>)> {
    match view.tables.images.get(id) {
        Some(image) => Some((view.scope, image)).filter(|(_, image)| shown(image)),
        None => all(view).find(|(_, image)| image.id.as_str() == id),
    }
}

/// Layers that images and snapshots of any scope have.
pub(crate) fn layers_of_rows(state: &State) -> BTreeSet<ImageId> {
    let mut found = BTreeSet::new();
    for tables in state.scopes.values() {
        let images = tables.images.values().filter(|image| image.phase != ImagePhase::Deregistered);
        images.for_each(|image| found.extend(image.layers.iter().cloned()));
        tables.snapshots.values().for_each(|snapshot| found.extend(snapshot.layers.iter().cloned()));
    }
    found
}
