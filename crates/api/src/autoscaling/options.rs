//! Settings that CreateAutoScalingGroup and UpdateAutoScalingGroup share,
//! besides sizes, launch source, network and attachments: read, checked and
//! put into the group's row. A member that is not given changes nothing.

use super::{errors, settings};
use elastane_domain::group::{CapacityType, DeletionProtection, Maintenance, ZoneStrategy};
use elastane_domain::time::Span;
use elastane_engine::View;
use elastane_engine::row::{Group, LaunchSource, PlacementGroup};
use elastane_wire::{ApiError, autoscaling as wire};

/// The least MaxInstanceLifetime, a day, and the most, a year (API reference).
const LIFETIME_SECS: std::ops::RangeInclusive<i32> = 86_400..=31_536_000;

/// Characters of Context, which AWS reserves (API reference).
const CONTEXT_MAX: usize = 1_024;

/// Values of ImpairedZoneHealthCheckBehavior, which tells what becomes of
/// instances of a zone that is shifted away from (API reference).
const IMPAIRED_ZONE: [&str; 2] = ["ReplaceUnhealthy", "IgnoreUnhealthy"];

/// The members of either call.
pub struct Options<'a> {
    capacity_rebalance: Option<bool>,
    capacity_type: Option<&'a str>,
    context: Option<&'a str>,
    cooldown: Option<i32>,
    deletion_protection: Option<&'a str>,
    distribution: Option<&'a wire::AvailabilityZoneDistribution>,
    grace: Option<i32>,
    health_check_type: Option<&'a str>,
    impairment: Option<&'a wire::AvailabilityZoneImpairmentPolicy>,
    lifecycle_policy: Option<&'a wire::InstanceLifecyclePolicy>,
    maintenance: Option<&'a wire::InstanceMaintenancePolicy>,
    max_lifetime: Option<i32>,
    placement_group: Option<&'a str>,
    protect_new: Option<bool>,
    reservation: Option<&'a wire::CapacityReservationSpecification>,
    role: Option<&'a str>,
    termination_policies: &'a [String],
    warmup: Option<i32>,
}

macro_rules! options_of {
    ($input:ident) => {
        impl<'a> From<&'a wire::$input> for Options<'a> {
            fn from(input: &'a wire::$input) -> Options<'a> {
                Options {
                    capacity_rebalance: input.capacity_rebalance,
                    capacity_type: input.desired_capacity_type.as_deref(),
                    context: input.context.as_deref(),
                    cooldown: input.default_cooldown,
                    deletion_protection: input.deletion_protection.as_deref(),
                    distribution: input.availability_zone_distribution.as_ref(),
                    grace: input.health_check_grace_period,
                    health_check_type: input.health_check_type.as_deref(),
                    impairment: input.availability_zone_impairment_policy.as_ref(),
                    lifecycle_policy: input.instance_lifecycle_policy.as_ref(),
                    maintenance: input.instance_maintenance_policy.as_ref(),
                    max_lifetime: input.max_instance_lifetime,
                    placement_group: input.placement_group.as_deref(),
                    protect_new: input.new_instances_protected_from_scale_in,
                    reservation: input.capacity_reservation_specification.as_ref(),
                    role: input.service_linked_role_arn.as_deref(),
                    termination_policies: &input.termination_policies,
                    warmup: input.default_instance_warmup,
                }
            }
        }
    };
}
options_of!(CreateAutoScalingGroupType);
options_of!(UpdateAutoScalingGroupType);

impl Options<'_> {
    /// Puts what is given into the row, whose launch source is set already.
    pub fn apply(&self, view: &View<'_>, row: &mut Group) -> Result<(), ApiError> {
        self.refuse()?;
        self.apply_health(row)?;
        self.apply_choices(row)?;
        self.apply_replacing(row)?;
        self.apply_shown(row)?;
        if let Some(name) = self.placement_group {
            row.placement_group = placement_group(view, name)?;
        }
        if let Some(text) = self.context {
            if text.len() > CONTEXT_MAX {
                return Err(errors::invalid(format!("Context may have at most {CONTEXT_MAX} characters")));
            }
            row.context = (!text.is_empty()).then(|| text.to_string());
        }
        Ok(())
    }

    fn apply_health(&self, row: &mut Group) -> Result<(), ApiError> {
        if let Some(text) = self.health_check_type {
            row.checks_elb = settings::checks_elb(text)?;
            row.health_check_type = text.to_string();
        }
        if let Some(grace) = settings::seconds(self.grace, "HealthCheckGracePeriod")? {
            row.grace = grace;
        }
        if let Some(cooldown) = settings::seconds(self.cooldown, "DefaultCooldown")? {
            (row.default_cooldown, row.cooldown) = (cooldown, cooldown);
        }
        match self.warmup {
            None => {}
            Some(-1) => row.default_warmup = None,
            Some(secs) => row.default_warmup = settings::seconds(Some(secs), "DefaultInstanceWarmup")?,
        }
        if !self.termination_policies.is_empty() {
            row.termination_policies = settings::termination_policies(self.termination_policies)?;
        }
        if let Some(protect) = self.protect_new {
            row.protect_new = protect;
        }
        Ok(())
    }

    fn apply_choices(&self, row: &mut Group) -> Result<(), ApiError> {
        if let Some(rebalance) = self.capacity_rebalance {
            row.capacity_rebalance = rebalance;
        }
        if let Some(name) = self.deletion_protection {
            row.deletion_protection = DeletionProtection::from_name(name)
                .ok_or_else(|| invalid_value("DeletionProtection", name, names(DeletionProtection::ALL)))?;
            row.named.deletion_protection = true;
        }
        if let Some(name) = self.capacity_type {
            let kind = CapacityType::from_name(name)
                .ok_or_else(|| invalid_value("DesiredCapacityType", name, names(CapacityType::ALL)))?;
            if kind != CapacityType::Units && !by_requirements(&row.source) {
                return Err(errors::invalid(
                    "DesiredCapacityType is only supported for attribute-based instance type selection; use units.",
                ));
            }
            row.capacity_type = kind;
            row.named.capacity_type = true;
        }
        let strategy = self.distribution.and_then(|given| given.capacity_distribution_strategy.as_deref());
        if let Some(name) = strategy {
            row.zone_strategy = ZoneStrategy::from_name(name).ok_or_else(|| match name {
                "reservations-then-balanced" => {
                    errors::unsupported("CapacityDistributionStrategy reservations-then-balanced")
                }
                other => invalid_value("CapacityDistributionStrategy", other, names(ZoneStrategy::ALL)),
            })?;
        }
        Ok(())
    }

    fn apply_replacing(&self, row: &mut Group) -> Result<(), ApiError> {
        if let Some(given) = self.maintenance {
            row.maintenance = maintenance(given)?;
        }
        match self.max_lifetime {
            None => {}
            Some(0) => row.max_lifetime = None,
            Some(secs) if LIFETIME_SECS.contains(&secs) => {
                row.max_lifetime = Some(Span::from_secs(i64::from(secs)));
            }
            Some(secs) => {
                let text = format!(
                    "Invalid MaxInstanceLifetime {secs}: it must be 0, or between {} and {} seconds",
                    LIFETIME_SECS.start(),
                    LIFETIME_SECS.end()
                );
                return Err(errors::invalid(text));
            }
        }
        let triggers = self.lifecycle_policy.map(|policy| policy.retention_triggers.as_ref());
        if let Some(triggers) = triggers {
            let word = triggers.and_then(|given| given.terminate_hook_abandon.as_deref());
            row.named.lifecycle_policy = word.is_some();
            row.retain_on_abandon = match word {
                Some("retain") => true,
                Some("terminate") | None => false,
                Some(other) => {
                    return Err(invalid_value("TerminateHookAbandon", other, "retain, terminate".to_string()));
                }
            };
        }
        Ok(())
    }

    /// What says only what happens anyway: kept, as clients look for it.
    fn apply_shown(&self, row: &mut Group) -> Result<(), ApiError> {
        if let Some(given) = self.impairment {
            let behavior = given.impaired_zone_health_check_behavior.as_deref();
            if let Some(name) = behavior.filter(|name| !IMPAIRED_ZONE.contains(name)) {
                return Err(invalid_value("ImpairedZoneHealthCheckBehavior", name, IMPAIRED_ZONE.join(", ")));
            }
            row.impaired_zone = behavior.map(ToString::to_string);
            row.named.impairment_policy = true;
        }
        if let Some(given) = self.reservation {
            row.named.reservation = given.capacity_reservation_preference.is_some();
        }
        Ok(())
    }

    /// Members without a meaning here, unless they say what happens anyway.
    fn refuse(&self) -> Result<(), ApiError> {
        let preference = self.reservation.and_then(|given| given.capacity_reservation_preference.as_deref());
        let reserves = self.reservation.is_some_and(|given| given.capacity_reservation_target.is_some());
        let shifts = self.impairment.is_some_and(|given| given.zonal_shift_enabled == Some(true));
        let role = self.role.unwrap_or("");
        errors::refuse_unsupported(&[
            ("AvailabilityZoneImpairmentPolicy with zonal shift", shifts),
            ("CapacityReservationSpecification", preference.is_some_and(|name| name != "default") || reserves),
            (
                "A ServiceLinkedRoleARN of one's own",
                !role.is_empty() && !role.ends_with("/AWSServiceRoleForAutoScaling"),
            ),
        ])
    }
}

fn by_requirements(source: &LaunchSource) -> bool {
    match source {
        LaunchSource::Mixed(mixed) => mixed.overrides.iter().any(|item| item.requirements.is_some()),
        LaunchSource::Template(_) | LaunchSource::Configuration(_) => false,
    }
}

fn invalid_value(member: &str, value: &str, valid: String) -> ApiError {
    errors::invalid(format!("Invalid {member} '{value}'. Valid values are: {valid}"))
}

/// The words of an enum with AWS's words.
trait Named: Copy + 'static {
    fn word(self) -> &'static str;
}

macro_rules! named {
    ($($kind:ident)*) => {
        $(impl Named for $kind {
            fn word(self) -> &'static str {
                self.name()
            }
        })*
    };
}
named!(CapacityType DeletionProtection ZoneStrategy);

fn names<T: Named>(all: &[T]) -> String {
    all.iter().map(|one| one.word()).collect::<Vec<_>>().join(", ")
}

/// InstanceMaintenancePolicy: both percentages, at most 100 apart; -1 for both
/// clears it (autoscaling.md 4.5).
pub fn maintenance(given: &wire::InstanceMaintenancePolicy) -> Result<Option<Maintenance>, ApiError> {
    let (Some(min), Some(max)) = (given.min_healthy_percentage, given.max_healthy_percentage) else {
        return Err(errors::invalid(
            "Both MinHealthyPercentage and MaxHealthyPercentage must be given for an instance maintenance policy.",
        ));
    };
    if (min, max) == (-1, -1) {
        return Ok(None);
    }
    let fine = (0..=100).contains(&min) && (100..=200).contains(&max) && max - min <= 100;
    if !fine {
        return Err(errors::invalid(
            "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200, and the \
             difference between them at most 100.",
        ));
    }
    Ok(Some(Maintenance { min_percent: min as u32, max_percent: max as u32 }))
}

/// A placement group by its name; an empty name is none.
fn placement_group(view: &View<'_>, name: &str) -> Result<Option<String>, ApiError> {
    if name.is_empty() {
        return Ok(None);
    }
    if view.all::<PlacementGroup>().any(|row| row.name == name) {
        Ok(Some(name.to_string()))
    } else {
        Err(errors::invalid(format!("The placement group '{name}' does not exist.")))
    }
}
