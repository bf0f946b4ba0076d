//! DescribeInstanceTypeOfferings: every type is offered everywhere.

use super::filter::Filters;
use super::{errors, paging};
use crate::Call;
use elastane_domain::types;
use elastane_engine::metadata::zone_id;
use elastane_engine::network;
use elastane_engine::row::Tags;
use elastane_wire::{ApiError, ec2 as wire};

/// DescribeInstanceTypeOfferings, by region, zone or zone id.
///
/// # Errors
/// `InvalidParameterValue` for another location type, those of filters and pages.
pub fn describe_instance_type_offerings(
    call: &Call<'_>,
    input: &wire::DescribeInstanceTypeOfferingsRequest,
) -> Result<wire::DescribeInstanceTypeOfferingsResult, ApiError> {
    let filters = Filters::new(&input.filters, &["instance-type", "location"])?;
    let region = &call.scope.region;
    let zones = network::zones(region);
    let kind = input.location_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("region");
    let locations: Vec<String> = match kind {
        "region" => vec![region.to_string()],
        "availability-zone" => zones.iter().map(ToString::to_string).collect(),
        "availability-zone-id" => zones.iter().map(|zone| zone_id(zone.as_str(), region.as_str())).collect(),
        "outpost" => Vec::new(),
        other => {
            return Err(errors::invalid_value(format!("Value ({other}) for parameter locationType is invalid.")));
        }
    };
    errors::dry_run(input.dry_run)?;
    let offered = |name: &'static str| locations.iter().map(move |location| (name, location));
    let mut found: Vec<(&str, &String)> = types::all().iter().flat_map(|kind| offered(kind.name)).collect();
    found.retain(|(name, location)| {
        filters.accept(&Tags::new(), |filter, emit| emit(if filter == "location" { location } else { name }))
    });
    found.sort_unstable();
    let limits = (paging::USUAL, false);
    let token = input.next_token.as_deref();
    let place = |(name, location): &(&str, &String)| format!("{name} {location}");
    let (page, next_token) = paging::cut(found, input.max_results, token, limits, place)?;
    let shown = |(name, location): (&str, &String)| wire::InstanceTypeOffering {
        instance_type: Some(name.to_string()),
        location: Some(location.clone()),
        location_type: Some(kind.to_string()),
    };
    Ok(wire::DescribeInstanceTypeOfferingsResult {
        instance_type_offerings: page.into_iter().map(shown).collect(),
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, filter};
    use super::*;

    /// Every zone has every type; pages follow each other.
    #[test]
    fn offerings_by_location() {
        let scene = Scene::new();
        let ask = |kind: &str, max: Option<i32>, token: Option<String>, filters: Vec<wire::Filter>| {
            let input = wire::DescribeInstanceTypeOfferingsRequest {
                location_type: Some(kind.to_string()),
                max_results: max,
                next_token: token,
                filters,
                ..Default::default()
            };
            scene.read(|call| describe_instance_type_offerings(call, &input))
        };
        let only = vec![filter("instance-type", &["t3.*"])];
        let all = ask("availability-zone", None, None, only.clone()).expect("listed").instance_type_offerings;
        assert_eq!(
            all.len(),
            3 * ask("region", None, None, only.clone()).expect("listed").instance_type_offerings.len()
        );
        let first = ask("availability-zone", Some(5), None, only.clone()).expect("a page");
        let rest = ask("availability-zone", Some(1000), first.next_token, only).expect("the rest");
        assert_eq!([first.instance_type_offerings, rest.instance_type_offerings].concat(), all);
        let one = vec![filter("location", &["us-east-1b"]), filter("instance-type", &["t3.micro"])];
        assert_eq!(ask("availability-zone", None, None, one).expect("listed").instance_type_offerings.len(), 1);
        assert_eq!(ask("moon", None, None, vec![]).expect_err("no place").code, "InvalidParameterValue");
    }
}
