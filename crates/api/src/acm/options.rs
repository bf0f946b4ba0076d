//! Options of certificates and of the account.

use super::{errors, lookup};
use crate::{Call, Change};
use elastane_engine::row::{Certificate, CertificateOrigin, CertificateSettings};
use elastane_wire::{ApiError, acm as wire};

/// `DaysBeforeExpiry` when it was not set (API Reference, "ExpiryEventsConfiguration").
const DAYS_BEFORE_EXPIRY: i32 = 45;

/// UpdateCertificateOptions: transparency logging and export.
///
/// # Errors
/// `InvalidStateException` for imported certificates and for taking back that
/// a certificate may be exported; `ValidationException` for another
/// validation method, `ResourceNotFoundException`, `InvalidArnException`.
pub fn update_certificate_options(
    change: &mut Change<'_, '_>,
    input: &wire::UpdateCertificateOptionsRequest,
) -> Result<wire::UpdateCertificateOptionsOutput, ApiError> {
    let row = lookup::find(change.tables(), &input.certificate_arn)?.clone();
    let options = input.options.clone().ok_or_else(|| errors::missing("Options"))?;
    if row.origin == CertificateOrigin::Imported {
        return Err(errors::invalid_state("The options of an imported certificate cannot be changed."));
    }
    if options.validation_method.as_ref().is_some_and(|method| Some(method) != row.validation.as_ref()) {
        return Err(errors::unsupported("Changing the validation method"));
    }
    let exportable = options.export.map_or(row.exportable, |export| export == "ENABLED");
    if row.exportable && !exportable {
        return Err(errors::invalid_state("A certificate that can be exported stays so."));
    }
    change.update(row.arn.as_str(), |row: &mut Certificate| {
        row.exportable = exportable;
        if let Some(preference) = options.certificate_transparency_logging_preference {
            row.transparency = Some(preference);
        }
    });
    Ok(wire::UpdateCertificateOptionsOutput {})
}

/// ResendValidationEmail: nothing waits for validation, as certificates are
/// issued at once.
///
/// # Errors
/// `InvalidStateException` always, after `ResourceNotFoundException` and
/// `InvalidArnException`.
pub fn resend_validation_email(
    change: &mut Change<'_, '_>,
    input: &wire::ResendValidationEmailRequest,
) -> Result<wire::ResendValidationEmailOutput, ApiError> {
    let row = lookup::find(change.tables(), &input.certificate_arn)?;
    Err(errors::invalid_state(format!("Certificate {} is not waiting for validation by e-mail.", row.arn)))
}

/// GetAccountConfiguration.
///
/// # Errors
/// None.
pub fn get_account_configuration(
    call: &Call<'_>,
    _input: &wire::GetAccountConfigurationRequest,
) -> Result<wire::GetAccountConfigurationResponse, ApiError> {
    let settings = call.all::<CertificateSettings>().next();
    let days = settings.map_or(DAYS_BEFORE_EXPIRY, |row| row.days_before_expiry);
    let events = wire::ExpiryEventsConfiguration { days_before_expiry: Some(days) };
    Ok(wire::GetAccountConfigurationResponse { expiry_events: Some(events) })
}

/// PutAccountConfiguration. The number is kept and shown; there is no event
/// bus that events could go to.
///
/// # Errors
/// None: the model's limits are checked before.
pub fn put_account_configuration(
    change: &mut Change<'_, '_>,
    input: &wire::PutAccountConfigurationRequest,
) -> Result<wire::PutAccountConfigurationOutput, ApiError> {
    if let Some(days) = input.expiry_events.as_ref().and_then(|events| events.days_before_expiry) {
        change.put(CertificateSettings { days_before_expiry: days });
    }
    Ok(wire::PutAccountConfigurationOutput {})
}
