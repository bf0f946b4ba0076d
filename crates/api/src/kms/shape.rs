//! How keys look in answers.

use super::lookup::key_arn;
use elastane_engine::View;
use elastane_engine::row::EncryptionKey;
use elastane_wire::kms as wire;

/// The one way of sealing.
pub const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// The state of a key, in AWS's word.
pub fn state(key: &EncryptionKey) -> &'static str {
    match (&key.deletion, key.enabled) {
        (Some(_), _) => "PendingDeletion",
        (None, true) => "Enabled",
        (None, false) => "Disabled",
    }
}

/// A key's metadata.
pub fn metadata(view: &View<'_>, key: &EncryptionKey) -> wire::KeyMetadata {
    let text = |text: &str| Some(text.to_string());
    wire::KeyMetadata {
        arn: Some(key_arn(view, &key.id)),
        aws_account_id: text(view.scope.account.as_str()),
        creation_date: Some(key.created_at.0.into()),
        customer_master_key_spec: text(ALGORITHM),
        deletion_date: key.deletion.map(|(at, _)| at.0.into()),
        description: Some(key.description.clone()),
        enabled: Some(key.enabled && key.deletion.is_none()),
        encryption_algorithms: vec![ALGORITHM.to_string()],
        key_id: Some(key.id.clone()),
        key_manager: text(if key.service.is_some() { "AWS" } else { "CUSTOMER" }),
        key_spec: text(ALGORITHM),
        key_state: text(state(key)),
        key_usage: text("ENCRYPT_DECRYPT"),
        multi_region: Some(false),
        origin: text("AWS_KMS"),
        ..Default::default()
    }
}
