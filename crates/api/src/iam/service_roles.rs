//! Service-linked roles: a service's own, which only it may assume and only
//! it may change. What the services do here they do without them. The roles
//! are there as with AWS: for those who make them, and once a service was used
//! that makes its own.

use super::bearers::find;
use super::{errors, names, shape};
use crate::{Call, Change};
use elastane_engine::identity::{
    self,
    aws_policies::{ARN_PREFIX, SERVICE_ROLE_PATH},
};
use elastane_engine::row::{Permissions, PolicyText, Role, Tags, TemporaryKey};
use elastane_engine::{Tables, Tx, View};
use elastane_wire::{ApiError, Operation, iam as wire};
use std::sync::Arc;

/// A service with a role of its own.
struct Linked {
    service: &'static str,
    role: &'static str,
    policy: &'static str,
    /// Whether there may be several, with suffixes.
    suffixes: bool,
    description: &'static str,
    /// What of the service's is there in a region: names of resources.
    usage: fn(&Tables) -> Vec<String>,
}

/// The services that have one here (each service's guide, "Service-linked roles").
const LINKED: [Linked; 3] = [
    Linked {
        service: "autoscaling.amazonaws.com",
        role: "AWSServiceRoleForAutoScaling",
        policy: "AutoScalingServiceRolePolicy",
        suffixes: true,
        description: "Default Service-Linked Role enables access to AWS Services and Resources used or managed by Auto Scaling",
        usage: |tables| tables.groups.values().map(|row| row.arn.clone()).collect(),
    },
    Linked {
        service: "elasticloadbalancing.amazonaws.com",
        role: "AWSServiceRoleForElasticLoadBalancing",
        policy: "AWSElasticLoadBalancingServiceRolePolicy",
        suffixes: false,
        description: "Allows ELB to call AWS services on your behalf.",
        usage: |tables| tables.load_balancers.ids(),
    },
    Linked {
        service: "spot.amazonaws.com",
        role: "AWSServiceRoleForEC2Spot",
        policy: "AWSEC2SpotServiceRolePolicy",
        suffixes: false,
        description: "Default EC2 Spot Service Linked Role",
        usage: |tables| tables.spot_requests.ids(),
    },
];

/// Operations whose services then have their roles, made when they are not
/// there (each service's guide, "Service-linked roles").
const MADE_BY: [(Operation, &str); 3] = [
    (Operation::AutoScalingCreateAutoScalingGroup, "autoscaling.amazonaws.com"),
    (Operation::Elbv2CreateLoadBalancer, "elasticloadbalancing.amazonaws.com"),
    (Operation::Ec2RequestSpotInstances, "spot.amazonaws.com"),
];

/// Seconds that a session of a service-linked role lasts.
const SESSION_SECS: i32 = 3600;

/// Resources that are named in the reason of a failed deletion.
const RESOURCES_SHOWN_MAX: usize = 10;

/// What the ids of deletions begin with.
const TASK: &str = "task/aws-service-role/";

fn of_service(service: &str) -> Option<&'static Linked> {
    LINKED.iter().find(|linked| linked.service == service)
}

fn linked(role: &Role) -> Option<&'static Linked> {
    let service = role.path.strip_prefix(SERVICE_ROLE_PATH)?.trim_end_matches('/');
    of_service(service)
}

/// The service whose role an operation makes on its way.
pub fn linked_service(operation: Operation) -> Option<&'static str> {
    MADE_BY.iter().find(|(maker, _)| *maker == operation).map(|(_, service)| *service)
}

/// Path and name of the role that an operation would make on its way, in a
/// view of any region: `None` for an operation that makes none, and when the
/// account has it.
pub fn linked_role_to_make(view: &View<'_>, operation: Operation) -> Option<String> {
    let service = linked_service(operation)?;
    let linked = of_service(service)?;
    identity::role(view, linked.role).is_none().then(|| format!("{SERVICE_ROLE_PATH}{service}/{}", linked.role))
}

/// Whether an account, whose rows these are, has the role of a service.
pub fn has_linked_role(view: &View<'_>, service: &str) -> bool {
    let linked = of_service(service);
    linked.is_none_or(|linked| view.get::<Role>(linked.role).is_some())
}

/// Makes the role of a service, unless the account has it.
pub fn ensure_linked_role(tx: &mut Tx<'_>, service: &str) {
    let linked = of_service(service);
    if let Some(linked) = linked
        && !has_linked_role(&tx.view(), service)
    {
        let row = row(tx, linked, linked.role.to_string(), linked.description.to_string());
        tx.put(row);
    }
}

/// A new role of a service.
fn row(tx: &mut Tx<'_>, linked: &Linked, name: String, description: String) -> Role {
    let trust = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": linked.service }, "Action": "sts:AssumeRole" }],
    });
    Role {
        id: names::id(tx, "AROA"),
        path: format!("{SERVICE_ROLE_PATH}{}/", linked.service),
        description: Some(description),
        trust_policy: PolicyText::new(trust.to_string()),
        session_secs_max: SESSION_SECS,
        created_at: tx.now,
        tags: Tags::new(),
        permissions: Permissions {
            attached: [format!("{ARN_PREFIX}{SERVICE_ROLE_PATH}{}", linked.policy)].into(),
            ..Permissions::default()
        },
        boundary: None,
        name,
    }
}

/// CreateServiceLinkedRole.
///
/// # Errors
/// `InvalidInput` for a service without one, a name that is taken, and a
/// suffix that the service does not have.
pub fn create_service_linked_role(
    change: &mut Change<'_, '_>,
    input: &wire::CreateServiceLinkedRoleRequest,
) -> Result<wire::CreateServiceLinkedRoleResponse, ApiError> {
    let service = input.aws_service_name.as_deref().unwrap_or_default();
    let linked = of_service(service);
    let linked = linked.ok_or_else(|| errors::input(format!("No service-linked role is known for {service}.")))?;
    let name = match input.custom_suffix.as_deref() {
        None => linked.role.to_string(),
        Some(_) if !linked.suffixes => {
            return Err(errors::input(format!("Custom suffix is not allowed for {service}")));
        }
        Some(suffix) => format!("{}_{suffix}", linked.role),
    };
    let name = names::name(&Some(name), "RoleName", 64)?.to_string();
    if change.all::<Role>().any(|row| row.name.eq_ignore_ascii_case(&name)) {
        let message =
            format!("Service role name {name} has been taken in this account, please try a different suffix.");
        return Err(errors::input(message));
    }
    let description = input.description.clone().filter(|text| !text.is_empty());
    let row = row(change, linked, name, description.unwrap_or_else(|| linked.description.to_string()));
    let role = Some(shape::role(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateServiceLinkedRoleResponse { role })
}

/// What of the role's service the account has, by region.
fn usage(view: &View<'_>, linked: &Linked) -> Vec<wire::RoleUsageType> {
    let of_account = view.state.scopes.iter().filter(|(scope, _)| scope.account == view.scope.account);
    of_account
        .map(|(scope, tables)| wire::RoleUsageType {
            region: Some(scope.region.to_string()),
            resources: (linked.usage)(tables).into_iter().take(RESOURCES_SHOWN_MAX).collect(),
        })
        .filter(|usage| !usage.resources.is_empty())
        .collect()
}

/// DeleteServiceLinkedRole: done at once, unless the service has resources;
/// GetServiceLinkedRoleDeletionStatus tells.
///
/// # Errors
/// `NoSuchEntity`, also for a role that is not service-linked.
pub fn delete_service_linked_role(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteServiceLinkedRoleRequest,
) -> Result<wire::DeleteServiceLinkedRoleResponse, ApiError> {
    let view = change.view();
    let row = find::<Role>(&view, &input.role_name)?.clone();
    let linked = linked(&row).ok_or_else(|| errors::no_such("The service-linked role with name", &row.name))?;
    if usage(&view, linked).is_empty() {
        for id in super::roles::sessions_of(change, &row.id) {
            change.delete::<TemporaryKey>(&id);
        }
        change.delete::<Role>(&row.name);
    }
    let deletion_task_id = Some(format!("{TASK}{}/{}/{}", linked.service, row.name, row.id));
    Ok(wire::DeleteServiceLinkedRoleResponse { deletion_task_id })
}

/// GetServiceLinkedRoleDeletionStatus: the id names the role by its unique
/// id, so the answer is whether that role is still there, and why.
///
/// # Errors
/// `NoSuchEntity` for an id of another make.
pub fn get_service_linked_role_deletion_status(
    call: &Call<'_>,
    input: &wire::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<wire::GetServiceLinkedRoleDeletionStatusResponse, ApiError> {
    let task = input.deletion_task_id.as_deref().unwrap_or_default();
    let parts: Vec<&str> = task.strip_prefix(TASK).unwrap_or_default().split('/').collect();
    let (&[service, name, id], true) = (&parts[..], task.starts_with(TASK)) else {
        return Err(errors::no_such("The deletion task with id", task));
    };
    let Some(linked) = of_service(service) else {
        return Err(errors::no_such("The deletion task with id", task));
    };
    let row: Option<&Arc<Role>> = call.get::<Role>(name).filter(|row| row.id == id);
    let reason = row.map(|_| wire::DeletionTaskFailureReasonType {
        reason: Some("The service has resources that use the role.".to_string()),
        role_usage_list: usage(&call.view, linked),
    });
    let status = if reason.is_some() { "FAILED" } else { "SUCCEEDED" };
    Ok(wire::GetServiceLinkedRoleDeletionStatusResponse { reason, status: Some(status.to_string()) })
}
