//! Operations that are being built: each line goes when its handler comes.

use super::errors;
use crate::{Call, Change};
use elastane_wire::{ApiError, acm as wire};

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

pending!(read describe_certificate DescribeCertificateRequest DescribeCertificateResponse);
pending!(read get_certificate GetCertificateRequest GetCertificateResponse);
pending!(read list_certificates ListCertificatesRequest ListCertificatesResponse);
pending!(read list_tags_for_certificate ListTagsForCertificateRequest ListTagsForCertificateResponse);
pending!(read get_account_configuration GetAccountConfigurationRequest GetAccountConfigurationResponse);
pending!(write import_certificate ImportCertificateRequest ImportCertificateResponse);
pending!(write request_certificate RequestCertificateRequest RequestCertificateResponse);
pending!(write delete_certificate DeleteCertificateRequest DeleteCertificateOutput);
pending!(write renew_certificate RenewCertificateRequest RenewCertificateOutput);
pending!(write add_tags_to_certificate AddTagsToCertificateRequest AddTagsToCertificateOutput);
pending!(write remove_tags_from_certificate RemoveTagsFromCertificateRequest RemoveTagsFromCertificateOutput);
pending!(write update_certificate_options UpdateCertificateOptionsRequest UpdateCertificateOptionsOutput);
pending!(write put_account_configuration PutAccountConfigurationRequest PutAccountConfigurationOutput);
pending!(write export_certificate ExportCertificateRequest ExportCertificateResponse);
pending!(write resend_validation_email ResendValidationEmailRequest ResendValidationEmailOutput);
