//! The public parameters of images: the names under `/aws/service/` that
//! `elastane_engine::public_parameters` knows.

use elastane_domain::time::Time;
use elastane_engine::View;
use elastane_engine::public_parameters::{self, AMAZON_LINUX, DEBIAN, UBUNTU};
use elastane_wire::ssm as wire;
use elastane_wire::value::Timestamp;

/// What a path lists below the Amazon Linux folder; more names than these are known.
const AMAZON_LINUX_NAMES: [&str; 12] = [
    "al2023-ami-kernel-6.1-arm64",
    "al2023-ami-kernel-6.1-x86_64",
    "al2023-ami-kernel-default-arm64",
    "al2023-ami-kernel-default-x86_64",
    "al2023-ami-minimal-kernel-default-arm64",
    "al2023-ami-minimal-kernel-default-x86_64",
    "amzn2-ami-hvm-arm64-gp2",
    "amzn2-ami-hvm-x86_64-ebs",
    "amzn2-ami-hvm-x86_64-gp2",
    "amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
    "amzn2-ami-minimal-hvm-x86_64-ebs",
    "amzn2-ami-minimal-hvm-arm64-ebs",
];

/// What a path lists below the Ubuntu folder: release and code name.
const UBUNTU_RELEASES: [&str; 6] = ["20.04", "22.04", "24.04", "focal", "jammy", "noble"];

/// What a path lists below the Debian folder.
const DEBIAN_RELEASES: [&str; 6] = ["10", "11", "12", "13", "bookworm", "trixie"];

/// The public parameter of a name; `None` when it stands for no image here.
pub(super) fn shown(view: &View<'_>, name: &str) -> Option<wire::Parameter> {
    let image = public_parameters::image(view, name)?;
    let region = &view.scope.region;
    let Time(created) = image.created_at;
    Some(wire::Parameter {
        // Public parameters belong to no account.
        arn: Some(format!("arn:aws:ssm:{region}::parameter{name}")),
        data_type: Some("text".to_string()),
        last_modified_date: Some(Timestamp(created)),
        name: Some(name.to_string()),
        r#type: Some("String".to_string()),
        value: Some(image.id.to_string()),
        version: Some(1),
        ..Default::default()
    })
}

/// Every name that a path can list.
pub(super) fn listed() -> Vec<String> {
    let mut names: Vec<String> = AMAZON_LINUX_NAMES.iter().map(|name| format!("{AMAZON_LINUX}{name}")).collect();
    for arch in ["amd64", "arm64"] {
        let ubuntu = |release| format!("{UBUNTU}{release}/stable/current/{arch}/hvm/ebs-gp3/ami-id");
        names.extend(UBUNTU_RELEASES.iter().map(ubuntu));
        names.extend(DEBIAN_RELEASES.iter().map(|release| format!("{DEBIAN}{release}/latest/{arch}")));
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_engine::public_parameters::stands_for_image;

    /// Whatever a path lists stands for an image.
    #[test]
    fn listed_names_have_a_meaning() {
        assert!(listed().iter().all(|name| stands_for_image(name)));
    }
}
