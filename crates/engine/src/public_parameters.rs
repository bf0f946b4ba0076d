//! Public parameters: the names under `/aws/service/` by which people find
//! the newest image of a distribution.
//!
//! A name stands for an image that is here. The rule: of the available images
//! that the account may launch, of the architecture that the parameter names,
//! those count whose name or one of whose aliases (the words of the tag
//! [`ALIAS_TAG`]) is the parameter's full name, its last word, or its short
//! name (`al2023`, `ubuntu-22.04`, `ubuntu-jammy`, `debian-12`). The newest of
//! them is meant; when there is none, the built-in image.

use crate::row::*;
use crate::state::View;
use crate::{images, network};
use std::sync::Arc;

/// The tag whose words are further names of an image.
pub const ALIAS_TAG: &str = "elastane:alias";

/// What the names of Amazon Linux images begin with.
pub const AMAZON_LINUX: &str = "/aws/service/ami-amazon-linux-latest/";

/// What the names of Ubuntu images begin with.
pub const UBUNTU: &str = "/aws/service/canonical/ubuntu/server/";

/// What the names of Debian images begin with.
pub const DEBIAN: &str = "/aws/service/debian/release/";

/// What a parameter's name says.
struct Meaning {
    /// `x86_64` or `arm64`.
    architecture: &'static str,
    /// `al2023`, `ubuntu-22.04`, `debian-12`.
    short: String,
}

/// Whether a name is a public parameter of images.
pub fn stands_for_image(name: &str) -> bool {
    meaning(name).is_some()
}

/// `None` for a name that stands for no image.
fn meaning(name: &str) -> Option<Meaning> {
    let architecture = |word: &str| match word {
        "x86_64" | "amd64" => Some("x86_64"),
        "arm64" => Some("arm64"),
        _ => None,
    };
    if let Some(rest) = name.strip_prefix(AMAZON_LINUX) {
        let short = ["al2023", "amzn2", "amzn"]
            .into_iter()
            .find(|family| rest.strip_prefix(family).is_some_and(|rest| rest.starts_with("-ami-")))?;
        let found = rest.split('-').find_map(architecture)?;
        return Some(Meaning { architecture: found, short: short.to_string() });
    }
    if let Some(rest) = name.strip_prefix(UBUNTU) {
        return match rest.split('/').collect::<Vec<_>>()[..] {
            [release, "stable", "current", arch, "hvm", "ebs-gp2" | "ebs-gp3", "ami-id"] if !release.is_empty() => {
                Some(Meaning { architecture: architecture(arch)?, short: format!("ubuntu-{release}") })
            }
            _ => None,
        };
    }
    match name.strip_prefix(DEBIAN)?.split('/').collect::<Vec<_>>()[..] {
        [release, "latest", arch] if !release.is_empty() => {
            Some(Meaning { architecture: architecture(arch)?, short: format!("debian-{release}") })
        }
        _ => None,
    }
}

/// The image that a public parameter stands for; `None` for a name that is
/// not one, or one of an architecture that no image here has.
pub fn image<'a>(view: &View<'a>, name: &str) -> Option<&'a Arc<Image>> {
    let meaning = meaning(name)?;
    let last = name.rsplit('/').next().unwrap_or_default();
    // The last word of the others is the same for all releases.
    let last = if name.starts_with(AMAZON_LINUX) { last } else { "" };
    let means = |text: &str| text == name || text == meaning.short || (!last.is_empty() && text == last);
    let called = |image: &Image| {
        let aliases = image.tags.get(ALIAS_TAG).map_or("", String::as_str);
        means(&image.name) || aliases.split_ascii_whitespace().any(means)
    };
    let fits = |image: &Arc<Image>| {
        matches!(image.phase, ImagePhase::Available { .. })
            && image.details.architecture == meaning.architecture
            && image.details.deprecated_at.is_none_or(|at| at > view.now)
    };
    let found = images::all(view).map(|(_, image)| image).filter(|image| fits(image) && called(image));
    let newest = found.max_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    newest.or_else(|| view.get::<Image>(network::host_image().as_str()).filter(|image| fits(image)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the three publishers, their architectures and short names; what is none of them.
    #[test]
    fn names_have_a_meaning() {
        let ubuntu = |rest: &str| format!("{UBUNTU}{rest}");
        for (name, expected) in [
            (format!("{AMAZON_LINUX}al2023-ami-kernel-default-x86_64"), Some(("x86_64", "al2023"))),
            (format!("{AMAZON_LINUX}amzn2-ami-hvm-arm64-gp2"), Some(("arm64", "amzn2"))),
            (format!("{AMAZON_LINUX}al2023"), None),
            (format!("{AMAZON_LINUX}windows-ami-x86_64"), None),
            (ubuntu("22.04/stable/current/amd64/hvm/ebs-gp3/ami-id"), Some(("x86_64", "ubuntu-22.04"))),
            (ubuntu("jammy/stable/current/arm64/hvm/ebs-gp2/ami-id"), Some(("arm64", "ubuntu-jammy"))),
            (ubuntu("22.04/stable/20240101/amd64/hvm/ebs-gp3/ami-id"), None),
            (format!("{DEBIAN}12/latest/amd64"), Some(("x86_64", "debian-12"))),
            (format!("{DEBIAN}12/latest/riscv"), None),
            ("/my/parameter".to_string(), None),
        ] {
            let found = meaning(&name).map(|meaning| (meaning.architecture, meaning.short));
            assert_eq!(found, expected.map(|(arch, short)| (arch, short.to_string())), "{name}");
        }
    }
}
