//! The role that an instance may act as: through its instance profile, if the
//! role's trust policy lets EC2 assume it (IAM User Guide, "Using an IAM role
//! to grant permissions to applications running on Amazon EC2 instances").

use super::Entries;
use crate::identity;
use crate::row::*;
use crate::state::View;
use elastane_domain::time::Time;

/// A role that an instance's profile carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role's name.
    pub role: String,
    /// `AROA…`: another role of the same name is another grant.
    pub role_id: String,
    /// `iip-assoc-…`: another association is another grant.
    pub association: String,
    /// Since when the profile is associated.
    pub since: Time,
    /// Whether the role's trust policy lets EC2 assume it. If not, the
    /// metadata service says so in place of credentials.
    pub trusted: bool,
}

/// The role of an instance now. `None` without a profile, without a role in
/// it, and for an instance that is ending or has ended.
pub fn grant(view: &View<'_>, instance: &Instance) -> Option<Grant> {
    let association = instance.profile.as_ref().filter(|_| may_act(instance))?;
    let (_, role) = identity::role_of(view, instance)?;
    Some(Grant {
        trusted: identity::trusts_ec2(&view.scope.account, &role),
        role: role.name,
        role_id: role.id,
        association: association.id.clone(),
        since: association.since,
    })
}

/// Whether credentials of an instance are good for anything.
pub fn may_act(instance: &Instance) -> bool {
    !matches!(instance.phase, Phase::ShuttingDown | Phase::Terminated { .. })
}

/// `iam/info`, which is there with every profile.
pub(super) fn put(view: &View<'_>, instance: &Instance, entries: &mut Entries) {
    let Some(association) = &instance.profile else { return };
    let updated = association.since.iso_seconds();
    let info = match identity::profile(view, &association.profile) {
        Some(profile) => serde_json::json!({
            "Code": "Success",
            "LastUpdated": updated,
            "InstanceProfileArn": identity::profile_arn(&view.scope.account, profile),
            "InstanceProfileId": profile.id,
        }),
        None => serde_json::json!({
            "Code": "InstanceProfileNotFound",
            "Message": "The instance profile was deleted.",
            "LastUpdated": updated,
        }),
    };
    let info = serde_json::to_string_pretty(&info).expect("a JSON value prints");
    entries.insert("meta-data/iam/info".to_string(), info);
}
