//! Who owns an imported file on the host: users of an image are shifted into
//! the instances' range, or are all one where there is only one.

use crate::error::{Context, HostError};
use crate::make::{Make, SHIFT_COUNT};
use rustix::fs::{Gid, Uid};
use std::os::fd::AsFd;

/// `security.capability` of the second revision: no user namespace is named
/// (linux/capability.h, `struct vfs_cap_data`).
const CAPABILITY_REVISION_2: u32 = 0x0200_0000;
const CAPABILITY_REVISION_3: u32 = 0x0300_0000;
const CAPABILITY_REVISION_MASK: u32 = 0xff00_0000;
const CAPABILITY_2_BYTES: usize = 20;

/// How users of images become users of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    /// An ordinary user's namespace has one user.
    single: bool,
    /// The host's number of the image's root.
    first: u32,
}

impl Owners {
    /// For instances of this make whose root has the number `owner` on the
    /// host; `None` where numbers are not shifted.
    pub fn of(make: Make, owner: Option<u32>) -> Owners {
        Owners { single: make == Make::Rootless, first: owner.unwrap_or(0) }
    }

    /// The host's number of a user or group of an image.
    pub fn id(&self, inside: u64) -> Result<u32, HostError> {
        if self.single {
            return Ok(0);
        }
        match u32::try_from(inside) {
            Ok(id) if id < SHIFT_COUNT => Ok(self.first + id),
            Ok(_) | Err(_) => {
                Err(HostError::Refused(format!("it belongs to user or group {inside}; instances have {SHIFT_COUNT}")))
            }
        }
    }

    /// Gives an open file to a user and a group of the image.
    pub fn give(&self, file: impl AsFd, user: u64, group: u64) -> Result<(), HostError> {
        let (user, group) = (Uid::from_raw(self.id(user)?), Gid::from_raw(self.id(group)?));
        rustix::fs::fchown(file, Some(user), Some(group)).context(|| "set a file's owner".to_owned())
    }

    /// An extended attribute as it is stored; `None` for one that means
    /// nothing in an instance. Capabilities of files count in the user
    /// namespace of the root that they name, so they name the image's.
    pub fn attribute(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        if name.starts_with("user.") && !name.starts_with("user.overlay.") {
            return Some(value.to_vec());
        }
        if name != "security.capability" || self.single {
            return None;
        }
        let word = u32::from_le_bytes(value.get(..4)?.try_into().ok()?);
        if self.first == 0 || value.len() != CAPABILITY_2_BYTES {
            return Some(value.to_vec());
        }
        if word & CAPABILITY_REVISION_MASK != CAPABILITY_REVISION_2 {
            return None;
        }
        let word = word & !CAPABILITY_REVISION_MASK | CAPABILITY_REVISION_3;
        Some([&word.to_le_bytes()[..], &value[4..], &self.first.to_le_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::SHIFT;

    /// Shifted, shared and single users; numbers beyond the range are refused.
    #[test]
    fn numbers() {
        for (make, owner, inside, want) in [
            (Make::Root, Some(SHIFT), 0, Some(SHIFT)),
            (Make::Root, Some(SHIFT), 1000, Some(SHIFT + 1000)),
            (Make::Root, Some(SHIFT), u64::from(SHIFT_COUNT), None),
            (Make::Root, None, 33, Some(33)),
            (Make::Rootless, Some(0), 1 << 40, Some(0)),
        ] {
            assert_eq!(Owners::of(make, owner).id(inside).ok(), want, "{make:?} {inside}");
        }
    }

    /// A file's capabilities are those of the image's root; overlayfs' own marks stay out.
    #[test]
    fn attributes() {
        let owners = Owners::of(Make::Root, Some(SHIFT));
        let mut given = [0u8; CAPABILITY_2_BYTES];
        given[..5].copy_from_slice(&[1, 0, 0, 2, 0x20]);
        let stored = owners.attribute("security.capability", &given).expect("kept");
        assert_eq!((stored.len(), stored[3], stored[4]), (24, 3, 0x20));
        assert_eq!(stored[20..], SHIFT.to_le_bytes());
        assert_eq!(owners.attribute("user.note", b"x").as_deref(), Some(&b"x"[..]));
        for name in ["user.overlay.opaque", "trusted.overlay.opaque", "security.selinux"] {
            assert_eq!(owners.attribute(name, b"y"), None, "{name}");
        }
    }
}
