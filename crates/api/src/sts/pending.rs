//! Operations that are in the list and not built yet: each is refused by name.
//! A line goes when its handler comes.

use crate::{Call, Change};
use elastane_wire::{ApiError, sts as wire};

macro_rules! pending {
    ($($access:ident $function:ident $name:literal $input:ident $output:ident;)*) => {$(
        #[doc = concat!($name, ": refused.")]
        pub fn $function(_: pending!(@ $access), _: &wire::$input) -> Result<wire::$output, ApiError> {
            Err(ApiError::new("InvalidAction", concat!("The operation ", $name, " is not implemented by Elastane.")))
        }
    )*};
    (@ read) => { &Call<'_> };
    (@ write) => { &mut Change<'_, '_> };
}

pending! {
    read decode_authorization_message "DecodeAuthorizationMessage" DecodeAuthorizationMessageRequest DecodeAuthorizationMessageResponse;
    read get_access_key_info "GetAccessKeyInfo" GetAccessKeyInfoRequest GetAccessKeyInfoResponse;
    write assume_role "AssumeRole" AssumeRoleRequest AssumeRoleResponse;
    write get_session_token "GetSessionToken" GetSessionTokenRequest GetSessionTokenResponse;
}
