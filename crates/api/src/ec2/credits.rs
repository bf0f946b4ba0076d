//! CPU credit options of burstable instances. Credits are counted and shown
//! as metrics; no instance is ever slowed down for the want of them.

use super::filter::Filters;
use super::instances::{named, one};
use super::{errors, launch_data, paging};
use crate::{Call, Change};
use elastane_domain::credits::unlimited_by_default;
use elastane_domain::types::instance_type;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};
use std::sync::Arc;

const UNLIMITED: &str = "unlimited";

/// DescribeInstanceCreditSpecifications: the instances of ids, or the
/// unlimited ones. Errors: `InvalidInstanceID.*`,
/// `InstanceCreditSpecification.NotSupported` for one of a type without
/// credits, those of filters and pages.
pub fn describe_instance_credit_specifications(
    call: &Call<'_>,
    input: &wire::DescribeInstanceCreditSpecificationsRequest,
) -> Result<wire::DescribeInstanceCreditSpecificationsResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let filters = Filters::new(&input.filters, &["instance-id"])?;
    let by_id = !input.instance_ids.is_empty();
    let mut found: Vec<(&Arc<Instance>, &str)> = Vec::new();
    if by_id {
        for row in named(&call.view, &input.instance_ids)? {
            found.push((row, credits(row).ok_or_else(|| without_credits(row))?));
        }
        found.sort_unstable_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    } else {
        let all = call.all::<Instance>().filter_map(|row| Some((row, credits(row)?)));
        found.extend(all.filter(|(_, credits)| *credits == UNLIMITED));
    }
    found.retain(|(row, _)| filters.accept(&Tags::new(), |_, emit| emit(row.id.as_str())));
    let token = input.next_token.as_deref();
    let limits = (paging::USUAL, by_id);
    let (found, next_token) = paging::cut(found, input.max_results, token, limits, |(row, _)| row.id.to_string())?;
    let shown = |(row, credits): (&Arc<Instance>, &str)| wire::InstanceCreditSpecification {
        cpu_credits: Some(credits.to_string()),
        instance_id: Some(row.id.to_string()),
    };
    Ok(wire::DescribeInstanceCreditSpecificationsResult {
        instance_credit_specifications: found.into_iter().map(shown).collect(),
        next_token,
    })
}

/// ModifyInstanceCreditSpecification: each instance for itself; what cannot be
/// changed is told in the answer and is no error of the call.
///
/// # Errors
/// `InvalidParameterValue` for a word that is no option.
pub fn modify_instance_credit_specification(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceCreditSpecificationRequest,
) -> Result<wire::ModifyInstanceCreditSpecificationResult, ApiError> {
    if input.instance_credit_specifications.is_empty() {
        return Err(errors::missing("InstanceCreditSpecification"));
    }
    let mut result = wire::ModifyInstanceCreditSpecificationResult::default();
    for one in &input.instance_credit_specifications {
        let word = launch_data::cpu_credits(one.cpu_credits.as_deref().unwrap_or_default())?;
        match changeable(change, one.instance_id.as_ref()) {
            Ok(row) => {
                change.update(row.id.as_str(), |row: &mut Instance| row.cpu_credits = Some(word));
                let done = wire::SuccessfulInstanceCreditSpecificationItem { instance_id: one.instance_id.clone() };
                result.successful_instance_credit_specifications.push(done);
            }
            Err(err) => {
                let error = wire::UnsuccessfulInstanceCreditSpecificationItemError {
                    code: Some(err.code.to_string()),
                    message: Some(err.message),
                };
                let instance_id = one.instance_id.clone();
                let failed = wire::UnsuccessfulInstanceCreditSpecificationItem { error: Some(error), instance_id };
                result.unsuccessful_instance_credit_specifications.push(failed);
            }
        }
    }
    errors::dry_run(input.dry_run)?;
    Ok(result)
}

fn changeable(change: &Change<'_, '_>, id: Option<&String>) -> Result<Arc<Instance>, ApiError> {
    let row = one(&change.view(), id)?.clone();
    credits(&row).ok_or_else(|| without_credits(&row))?;
    match row.phase {
        Phase::Running | Phase::Stopped | Phase::Pending => Ok(row),
        Phase::Stopping | Phase::ShuttingDown | Phase::Terminated { .. } => {
            Err(errors::incorrect_state(row.id.as_str(), "modified"))
        }
    }
}

/// As asked, else the default of the family: T2 is standard, later ones are
/// unlimited (EC2 User Guide, "Unlimited mode"). `None` without credits.
fn credits(instance: &Instance) -> Option<&str> {
    let kind = instance_type(&instance.instance_type).filter(|kind| kind.burstable)?;
    let default = if unlimited_by_default(kind) { UNLIMITED } else { "standard" };
    Some(instance.cpu_credits.as_deref().unwrap_or(default))
}

fn without_credits(instance: &Instance) -> ApiError {
    let message = format!(
        "The instance '{}' of type '{}' does not use CPU credits; only burstable performance instances do.",
        instance.id, instance.instance_type
    );
    ApiError::new("InstanceCreditSpecification.NotSupported", message)
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, run};
    use super::*;

    fn launch(scene: &mut Scene, kind: &str, credits: Option<&str>) -> String {
        let mut input = run(1);
        input.instance_type = Some(kind.to_string());
        input.credit_specification =
            credits.map(|word| wire::CreditSpecificationRequest { cpu_credits: Some(word.to_string()) });
        let reservation = scene.write(|change| super::super::run_instances(change, &input)).expect("a launch");
        reservation.instances[0].instance_id.clone().expect("an id")
    }

    /// Families have their defaults, what was asked wins, and only burstable types take part.
    #[test]
    fn credit_modes() {
        let mut scene = Scene::new();
        for (kind, asked, want) in [
            ("t3.micro", None, "unlimited"),
            ("t2.micro", None, "standard"),
            ("t3.micro", Some("standard"), "standard"),
            ("t2.micro", Some("unlimited"), "unlimited"),
            ("m5.large", None, "InstanceCreditSpecification.NotSupported"),
        ] {
            let instance_ids = vec![launch(&mut scene, kind, asked)];
            let input = wire::DescribeInstanceCreditSpecificationsRequest { instance_ids, ..Default::default() };
            let answer = scene.read(|call| describe_instance_credit_specifications(call, &input));
            let found = match &answer {
                Ok(answer) => answer.instance_credit_specifications[0].cpu_credits.as_deref().unwrap_or_default(),
                Err(err) => err.code.as_ref(),
            };
            assert_eq!(found, want, "{kind} {asked:?}");
        }
        let all = scene.read(|call| describe_instance_credit_specifications(call, &Default::default()));
        assert_eq!(all.expect("described").instance_credit_specifications.len(), 2);
        let burst = launch(&mut scene, "t3.micro", None);
        let fixed = launch(&mut scene, "m5.large", None);
        let specification = |id: &str| wire::InstanceCreditSpecificationRequest {
            instance_id: Some(id.to_string()),
            cpu_credits: Some("standard".to_string()),
        };
        let input = wire::ModifyInstanceCreditSpecificationRequest {
            instance_credit_specifications: vec![
                specification(&burst),
                specification(&fixed),
                specification("i-0123456789abcdef0"),
            ],
            ..Default::default()
        };
        let answer = scene.write(|change| modify_instance_credit_specification(change, &input)).expect("answered");
        assert_eq!(answer.successful_instance_credit_specifications.len(), 1);
        let failures = answer.unsuccessful_instance_credit_specifications;
        let codes: Vec<_> = failures.into_iter().filter_map(|one| one.error?.code).collect();
        assert_eq!(codes, ["InstanceCreditSpecification.NotSupported", "InvalidInstanceID.NotFound"]);
        assert_eq!(scene.row::<Instance>(&burst).cpu_credits.as_deref(), Some("standard"));
    }
}
