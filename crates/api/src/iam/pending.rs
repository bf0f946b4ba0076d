//! Operations that are being built: each line goes when its handler comes.

use super::errors;
use crate::{Call, Change};
use elastane_wire::{ApiError, iam as wire};

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

pending!(read get_server_certificate GetServerCertificateRequest GetServerCertificateResponse);
pending!(read list_server_certificates ListServerCertificatesRequest ListServerCertificatesResponse);
pending!(read list_server_certificate_tags ListServerCertificateTagsRequest ListServerCertificateTagsResponse);
pending!(write upload_server_certificate UploadServerCertificateRequest UploadServerCertificateResponse);
pending!(write update_server_certificate UpdateServerCertificateRequest UpdateServerCertificateOutput);
pending!(write delete_server_certificate DeleteServerCertificateRequest DeleteServerCertificateOutput);
pending!(write tag_server_certificate TagServerCertificateRequest TagServerCertificateOutput);
pending!(write untag_server_certificate UntagServerCertificateRequest UntagServerCertificateOutput);
