//! The three numbers of a group's size and the rules between them
//! (CreateAutoScalingGroup, UpdateAutoScalingGroup, SetDesiredCapacity).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The least and the most instances that a group may want. `min <= max`
/// holds for every value made by `Bounds::new`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// MinSize.
    pub min: u32,
    /// MaxSize.
    pub max: u32,
}

/// A group's size as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// MinSize and MaxSize.
    pub bounds: Bounds,
    /// DesiredCapacity.
    pub desired: u32,
}

/// A size that the API refuses with `ValidationError`; `Display` is the
/// message of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundsError {
    /// MinSize is above MaxSize.
    MinAboveMax(Bounds),
    /// DesiredCapacity of a create or an update is outside the bounds.
    DesiredOutside(Size),
    /// SetDesiredCapacity asks for more than MaxSize.
    SetAboveMax(Size),
    /// SetDesiredCapacity asks for less than MinSize.
    SetBelowMin(Size),
}

impl fmt::Display for BoundsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundsError::MinAboveMax(Bounds { min, max }) => {
                write!(f, "Max bound, {max}, must be greater than or equal to min bound, {min}")
            }
            BoundsError::DesiredOutside(Size { bounds, desired }) => write!(
                f,
                "Desired capacity:{desired} must be between the specified min size:{} and max size:{}",
                bounds.min, bounds.max
            ),
            BoundsError::SetAboveMax(Size { bounds, desired }) => write!(
                f,
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                bounds.max
            ),
            BoundsError::SetBelowMin(Size { bounds, desired }) => write!(
                f,
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                bounds.min
            ),
        }
    }
}

impl std::error::Error for BoundsError {}

impl Bounds {
    /// Bounds with `min <= max`.
    pub fn new(min: u32, max: u32) -> Result<Bounds, BoundsError> {
        let bounds = Bounds { min, max };
        if min > max { Err(BoundsError::MinAboveMax(bounds)) } else { Ok(bounds) }
    }

    /// `capacity` pulled into the bounds: what happens to the result of a scaling policy.
    pub fn clamp(self, capacity: u32) -> u32 {
        capacity.max(self.min).min(self.max)
    }

    /// Whether `capacity` is within the bounds.
    pub const fn contains(self, capacity: u32) -> bool {
        self.min <= capacity && capacity <= self.max
    }
}

/// The desired capacity of a new group: as given, else MinSize.
pub fn on_create(min: u32, max: u32, desired: Option<u32>) -> Result<u32, BoundsError> {
    let bounds = Bounds::new(min, max)?;
    let desired = desired.unwrap_or(min);
    if bounds.contains(desired) { Ok(desired) } else { Err(BoundsError::DesiredOutside(Size { bounds, desired })) }
}

/// The size after an update; what is `None` stays. Without a new desired
/// capacity the old one is pulled into the new bounds; a given one outside
/// of them is an error.
pub fn on_update(
    current: Size,
    new_min: Option<u32>,
    new_max: Option<u32>,
    new_desired: Option<u32>,
) -> Result<(Bounds, u32), BoundsError> {
    let bounds = Bounds::new(new_min.unwrap_or(current.bounds.min), new_max.unwrap_or(current.bounds.max))?;
    match new_desired {
        Some(desired) if !bounds.contains(desired) => Err(BoundsError::DesiredOutside(Size { bounds, desired })),
        Some(desired) => Ok((bounds, desired)),
        None => Ok((bounds, bounds.clamp(current.desired))),
    }
}

/// SetDesiredCapacity: `desired` if it is within the bounds.
pub fn set_desired(bounds: Bounds, desired: u32) -> Result<u32, BoundsError> {
    let size = Size { bounds, desired };
    if desired > bounds.max {
        Err(BoundsError::SetAboveMax(size))
    } else if desired < bounds.min {
        Err(BoundsError::SetBelowMin(size))
    } else {
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DesiredCapacity defaults to MinSize and must lie within the bounds.
    #[test]
    fn autoscaling_1_1_create() {
        for (min, max, desired, result) in [
            (1, 3, None, Ok(1)),
            (0, 0, None, Ok(0)),
            (1, 3, Some(3), Ok(3)),
            (1, 3, Some(4), Err("Desired capacity:4 must be between the specified min size:1 and max size:3")),
            (1, 3, Some(0), Err("Desired capacity:0 must be between the specified min size:1 and max size:3")),
            (4, 3, None, Err("Max bound, 3, must be greater than or equal to min bound, 4")),
        ] {
            let got = on_create(min, max, desired).map_err(|error| error.to_string());
            assert_eq!(got, result.map_err(str::to_owned), "{min} {max} {desired:?}");
        }
    }

    /// New bounds pull the desired capacity in; a given one must fit.
    #[test]
    fn autoscaling_1_1_update() {
        let current = Size { bounds: Bounds { min: 2, max: 6 }, desired: 4 };
        for (min, max, desired, result) in [
            (None, None, None, Some((2, 6, 4))),
            (Some(5), None, None, Some((5, 6, 5))),
            (Some(3), None, None, Some((3, 6, 4))),
            (None, Some(3), None, Some((2, 3, 3))),
            (None, Some(9), Some(8), Some((2, 9, 8))),
            (Some(0), Some(0), None, Some((0, 0, 0))),
            (Some(7), None, None, None),
            (Some(5), None, Some(4), None),
        ] {
            let got = on_update(current, min, max, desired).ok();
            assert_eq!(got.map(|(bounds, desired)| (bounds.min, bounds.max, desired)), result);
        }
    }

    /// SetDesiredCapacity outside of the bounds fails with the observed texts.
    #[test]
    fn autoscaling_1_1_set_desired() {
        let bounds = Bounds { min: 2, max: 6 };
        assert_eq!(set_desired(bounds, 6), Ok(6));
        assert_eq!(
            set_desired(bounds, 7).expect_err("above").to_string(),
            "New SetDesiredCapacity value 7 is above max value 6 for the AutoScalingGroup."
        );
        assert_eq!(
            set_desired(bounds, 1).expect_err("below").to_string(),
            "New SetDesiredCapacity value 1 is below min value 2 for the AutoScalingGroup."
        );
    }
}
