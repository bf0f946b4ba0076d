//! DescribeInstanceCreditSpecifications: what was asked of burstable
//! instances. Credits are not counted here: no instance is ever slowed down
//! for the want of them.

use super::filter::Filters;
use super::instances::named;
use super::{errors, paging};
use crate::Call;
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

/// As asked, else the default of the family: T2 is standard, later ones are
/// unlimited (EC2 User Guide, "Unlimited mode"). `None` without credits.
fn credits(instance: &Instance) -> Option<&str> {
    let kind = instance_type(&instance.instance_type).filter(|kind| kind.burstable)?;
    let default = if kind.name.starts_with("t2.") { "standard" } else { UNLIMITED };
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
    }
}
