//! Finding groups and their members, with the errors of what is not there.

use super::errors;
use elastane_domain::id::GroupName;
use elastane_engine::View;
use elastane_engine::row::{Group, Instance, Membership};
use elastane_wire::ApiError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The group that a member names.
pub fn group(view: &View<'_>, name: Option<&str>) -> Result<Arc<Group>, ApiError> {
    let name = name.ok_or_else(|| errors::missing("AutoScalingGroupName"))?;
    view.get::<Group>(name).cloned().ok_or_else(|| errors::group_not_found(name))
}

/// The group that a member names, unless it is being deleted.
pub fn live_group(view: &View<'_>, name: Option<&str>) -> Result<Arc<Group>, ApiError> {
    let group = group(view, name)?;
    if group.deleting { Err(errors::pending_delete(group.name.as_str())) } else { Ok(group) }
}

/// The instance of an id with its place in a group.
pub fn member(view: &View<'_>, id: Option<&str>) -> Result<(Arc<Instance>, Membership), ApiError> {
    let id = id.ok_or_else(|| errors::missing("InstanceId"))?;
    let instance = view.get::<Instance>(id).ok_or_else(|| errors::instance_not_found(id))?;
    match &instance.membership {
        Some(membership) => Ok((instance.clone(), membership.clone())),
        None => Err(errors::instance_not_found(id)),
    }
}

/// Every group's members, in the order of their ids.
pub fn members_by_group<'a>(view: &View<'a>) -> BTreeMap<&'a GroupName, Vec<(&'a Instance, &'a Membership)>> {
    let mut index: BTreeMap<&GroupName, Vec<(&Instance, &Membership)>> = BTreeMap::new();
    for instance in view.all::<Instance>() {
        if let Some(membership) = &instance.membership {
            index.entry(&membership.group).or_default().push((instance, membership));
        }
    }
    index
}

/// One group's members, in the order of their ids.
pub fn members_of<'a>(view: &View<'a>, group: &GroupName) -> Vec<(&'a Instance, &'a Membership)> {
    let instances = view.all::<Instance>().map(AsRef::as_ref);
    let members = instances.filter_map(|instance| Some((instance, instance.membership.as_ref()?)));
    members.filter(|(_, membership)| membership.group == *group).collect()
}
