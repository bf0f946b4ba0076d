//! What volumes may be made of, by their types (EBS User Guide, "Amazon EBS
//! volume types"; EC2 API Reference, "EbsBlockDevice").

use super::errors;
use super::images::volume_gib;
use elastane_engine::View;
use elastane_engine::row::{BlockDevice, Image, Instance, VolumeFigures};
use elastane_wire::ApiError;

/// The type of a volume whose launch named none, as the images here say.
pub(super) const DEFAULT_TYPE: &str = "gp3";

/// What a gp3 volume has without asking.
const GP3_IOPS: i32 = 3000;
const GP3_THROUGHPUT: i32 = 125;

/// IOPS of a gp2 volume: three a GiB, within these.
const GP2_IOPS: (i32, i32) = (100, 16_000);

/// GiB of the largest volume of any type.
const SIZE_MAX: i32 = 65_536;

const TYPES: [&str; 7] = ["gp2", "gp3", "io1", "io2", "sc1", "st1", "standard"];

/// Checks what a mapping or a modification asks for.
///
/// # Errors
/// `InvalidParameterValue` for an unknown type or a size out of range,
/// `InvalidParameterCombination` for figures that the type does not have,
/// `MissingParameter` for those that it needs.
pub(super) fn check(device: &BlockDevice) -> Result<(), ApiError> {
    if let Some(kind) = &device.volume_type
        && !TYPES.contains(&kind.as_str())
    {
        return Err(errors::invalid_value(format!("Value ({kind}) for parameter volumeType is invalid.")));
    }
    if let Some(size) = device.size_gib
        && !(1..=SIZE_MAX).contains(&size)
    {
        return Err(errors::invalid_value(format!("Volume of {size}GiB is invalid; it is from 1 to {SIZE_MAX}GiB.")));
    }
    let kind = device.volume_type.as_deref();
    let provisioned = matches!(kind, Some("io1" | "io2"));
    if device.iops.is_some() && !(provisioned || matches!(kind, None | Some("gp3"))) {
        let message = format!("The parameter iops is not supported for {} volumes.", kind.unwrap_or(DEFAULT_TYPE));
        return Err(errors::invalid_combination(message));
    }
    if provisioned && device.iops.is_none() {
        return Err(errors::missing("iops"));
    }
    if device.throughput.is_some() && !matches!(kind, None | Some("gp3")) {
        let message =
            format!("The parameter throughput is not supported for {} volumes.", kind.unwrap_or(DEFAULT_TYPE));
        return Err(errors::invalid_combination(message));
    }
    Ok(())
}

/// What an instance's root volume is made of: as asked, else its image's
/// size and what the type has without asking.
pub(super) fn figures(view: &View<'_>, instance: &Instance) -> VolumeFigures {
    let root = &instance.root_device;
    let of_image = || {
        let (_, image) = elastane_engine::images::find(view, instance.image.as_str())
            .or_else(|| view.get::<Image>(instance.image.as_str()).map(|image| (view.scope, image)))?;
        i32::try_from(volume_gib(image)).ok()
    };
    let size_gib = root.size_gib.or_else(of_image).unwrap_or(elastane_engine::network::ROOT_VOLUME_GIB);
    let volume_type = root.volume_type.clone().unwrap_or_else(|| DEFAULT_TYPE.to_string());
    let (iops, throughput) = match volume_type.as_str() {
        "gp3" => (Some(root.iops.unwrap_or(GP3_IOPS)), Some(root.throughput.unwrap_or(GP3_THROUGHPUT))),
        "gp2" => (Some(size_gib.saturating_mul(3).clamp(GP2_IOPS.0, GP2_IOPS.1)), None),
        _ => (root.iops, None),
    };
    VolumeFigures { size_gib, volume_type, iops, throughput }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which figures go with which type.
    #[test]
    fn figures_by_type() {
        for (kind, size, iops, throughput, code) in [
            (None, None, None, None, ""),
            (None, Some(20), Some(4000), Some(200), ""),
            (Some("gp3"), None, Some(4000), Some(200), ""),
            (Some("gp2"), None, Some(4000), None, "InvalidParameterCombination"),
            (Some("gp2"), None, None, Some(125), "InvalidParameterCombination"),
            (Some("io1"), None, None, None, "MissingParameter"),
            (Some("io2"), None, Some(100), None, ""),
            (Some("ssd"), None, None, None, "InvalidParameterValue"),
            (None, Some(0), None, None, "InvalidParameterValue"),
            (None, Some(SIZE_MAX + 1), None, None, "InvalidParameterValue"),
        ] {
            let volume_type = kind.map(str::to_string);
            let device = BlockDevice { size_gib: size, volume_type, iops, throughput, ..BlockDevice::default() };
            let found = check(&device).err().map_or(String::new(), |err| err.code.to_string());
            assert_eq!(found, code, "{device:?}");
        }
    }
}
