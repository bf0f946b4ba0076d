//! Operations that are in the list and not built yet: each is refused by name.
//! A line goes when its handler comes.

use crate::Call;
use elastane_wire::{ApiError, cloudtrail as wire};

macro_rules! pending {
    ($($access:ident $function:ident $name:literal $input:ident $output:ident;)*) => {$(
        #[doc = concat!($name, ": refused.")]
        pub fn $function(_: pending!(@ $access), _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(ApiError::new("UnknownOperationException", concat!("The operation ", $name, " is not implemented by Elastane.")))
        }
    )*};
    (@ read) => { &Call<'_> };
}

pending! {
    read lookup_events "LookupEvents" LookupEventsRequest LookupEventsResponse;
}
