//! Operations that are being built: each line goes when its handler comes.

use super::errors;
use crate::{Call, Change};
use elastane_wire::{ApiError, autoscaling as wire};

macro_rules! pending {
    (read $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &Call<'_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
    (write $name:ident $input:ident $output:ident) => {
        /// Refused until it is built.
        pub fn $name(_: &mut Change<'_, '_>, _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(errors::unsupported(stringify!($name)))
        }
    };
}

pending!(read describe_launch_configurations LaunchConfigurationNamesType LaunchConfigurationsType);
pending!(write create_launch_configuration CreateLaunchConfigurationType CreateLaunchConfigurationOutput);
pending!(write delete_launch_configuration LaunchConfigurationNameType DeleteLaunchConfigurationOutput);
