//! Which members of a group a refresh replaces.

use super::{OnProtected, OnStandby, Preferences};
use crate::id::LaunchTemplateId;
use crate::lifecycle::LifecycleState;

/// What becomes of a member that does not have the wanted configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is replaced in its turn.
    Replace,
    /// It is terminated now: nothing replaces an instance in standby.
    Terminate,
    /// It must be replaced, and cannot be until its user changes its state.
    Wait,
    /// It belongs to the warm pool: it goes after the group's working members.
    Pool,
    /// It stays as it is, or goes anyhow.
    Leave,
}

/// What a refresh does with a member in this state (autoscaling.md 11.1:
/// ScaleInProtectedInstances and StandbyInstances).
pub fn treatment(state: LifecycleState, protected: bool, preferences: &Preferences) -> Treatment {
    if state.is_terminating() || state == LifecycleState::Detaching {
        return Treatment::Leave;
    }
    if state.is_warm() {
        return Treatment::Pool;
    }
    if matches!(state, LifecycleState::Standby | LifecycleState::EnteringStandby) {
        return match preferences.on_standby {
            OnStandby::Terminate => Treatment::Terminate,
            OnStandby::Ignore => Treatment::Leave,
            OnStandby::Wait => Treatment::Wait,
        };
    }
    match (protected, preferences.on_protected) {
        (false, _) | (true, OnProtected::Refresh) => Treatment::Replace,
        (true, OnProtected::Ignore) => Treatment::Leave,
        (true, OnProtected::Wait) => Treatment::Wait,
    }
}

/// What an instance was launched from.
#[derive(Clone, Debug, PartialEq)]
pub struct Launched<'a> {
    /// Its launch template and version.
    pub template: Option<&'a (LaunchTemplateId, u64)>,
    /// Its launch configuration.
    pub configuration: Option<&'a str>,
    /// Its type.
    pub instance_type: &'a str,
}

/// What instances should be launched from, `$Latest` and `$Default` resolved now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Launch templates with versions: one, or more with overrides of their own.
    pub templates: Vec<(LaunchTemplateId, u64)>,
    /// The launch configuration.
    pub configuration: Option<String>,
    /// The types that overrides name; empty allows any.
    pub types: Vec<String>,
}

impl Wanted {
    /// Whether an instance has the wanted configuration already (SkipMatching).
    pub fn matches(&self, launched: &Launched<'_>) -> bool {
        let from_template = launched.template.is_some_and(|template| self.templates.contains(template));
        let from_configuration =
            launched.configuration.is_some() && launched.configuration == self.configuration.as_deref();
        let type_fits = self.types.is_empty() || self.types.iter().any(|one| one == launched.instance_type);
        (from_template || from_configuration) && type_fits
    }
}
