//! DHCP options. They cannot be changed once made; a VPC without a set of its
//! own (`default`) has the resolver of its own network and the region's domain.

use super::errors;
use super::filter::Filters;
use super::listing::{IdKind, chosen};
use super::network::{VPC_ID, by_id, named, required, tags_of};
use super::paging::{USUAL, cut};
use super::tag_rules;
use crate::{Call, Change};
use elastane_engine::View;
use elastane_engine::row::{DhcpOptions, Vpc};
use elastane_wire::{ApiError, ec2 as wire};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const OPTIONS_ID: IdKind = IdKind {
    prefix: "dopt-",
    malformed: "InvalidDhcpOptionsId.Malformed",
    not_found: "InvalidDhcpOptionID.NotFound",
    noun: "The dhcpOption ID",
};

/// Sets of one account and region: enough for one a VPC, many times over.
const SETS_MAX: usize = 1000;

/// Addresses of one option (EC2 API Reference, "CreateDhcpOptions").
const ADDRESSES_MAX: usize = 4;

/// The VPC's own resolver among name servers.
const PROVIDED: &str = "AmazonProvidedDNS";

const FILTERS: [&str; 4] = ["dhcp-options-id", "key", "owner-id", "value"];

/// CreateDhcpOptions.
///
/// # Errors
/// `InvalidParameterValue` for options and values, `DhcpOptionsLimitExceeded`,
/// those of tags; `UnsupportedOperation` for options about IPv6.
pub fn create_dhcp_options(
    change: &mut Change<'_, '_>,
    input: &wire::CreateDhcpOptionsRequest,
) -> Result<wire::CreateDhcpOptionsResult, ApiError> {
    let mut options = BTreeMap::new();
    for option in &input.dhcp_configurations {
        let key = required(&option.key, "DhcpConfiguration.Key")?;
        check(key, &option.values)?;
        if options.insert(key.to_string(), option.values.clone()).is_some() {
            return Err(errors::invalid_value(format!("The option {key} is given more than once.")));
        }
    }
    if options.is_empty() {
        return Err(errors::missing("DhcpConfiguration"));
    }
    let tags = tags_of(&input.tag_specifications, "dhcp-options")?;
    if change.dhcp_options.len() >= SETS_MAX {
        let message = "The maximum number of DHCP options sets has been reached.";
        return Err(ApiError::new("DhcpOptionsLimitExceeded", message));
    }
    errors::dry_run(input.dry_run)?;
    let row = DhcpOptions { id: change.rng.id(OPTIONS_ID.prefix), options, default: false, tags };
    let dhcp_options = Some(show(&change.view(), &row));
    change.put(row);
    Ok(wire::CreateDhcpOptionsResult { dhcp_options })
}

fn check(key: &str, values: &[String]) -> Result<(), ApiError> {
    let wrong = |value: &str| errors::invalid_value(format!("Value ({value}) for parameter {key} is invalid."));
    let addresses = |provided: bool| {
        let bad = |value: &&String| value.parse::<Ipv4Addr>().is_err() && !(provided && *value == PROVIDED);
        match values.iter().find(bad) {
            Some(value) => Err(wrong(value)),
            None if values.is_empty() || values.len() > ADDRESSES_MAX => Err(wrong(&values.join(", "))),
            None => Ok(()),
        }
    };
    match key {
        "domain-name-servers" => addresses(true),
        "ntp-servers" | "netbios-name-servers" => addresses(false),
        "domain-name" if values.len() == 1 && !values[0].is_empty() => Ok(()),
        "netbios-node-type" if values.len() == 1 && ["1", "2", "4", "8"].contains(&values[0].as_str()) => Ok(()),
        "domain-name" | "netbios-node-type" => Err(wrong(&values.join(", "))),
        "ipv6-address-preferred-lease-time" => Err(errors::unsupported("IPv6")),
        _ => Err(errors::invalid_value(format!("Value ({key}) for parameter name is invalid. Unknown DHCP option"))),
    }
}

/// AssociateDhcpOptions: a set, or `default` for none.
///
/// # Errors
/// Those of both ids.
pub fn associate_dhcp_options(
    change: &mut Change<'_, '_>,
    input: &wire::AssociateDhcpOptionsRequest,
) -> Result<wire::AssociateDhcpOptionsOutput, ApiError> {
    let view = change.view();
    let vpc = named::<Vpc>(&view, (&input.vpc_id, "vpcId"), &VPC_ID)?.id.to_string();
    let options = required(&input.dhcp_options_id, "dhcpOptionsId")?.to_string();
    if options != "default" {
        by_id::<DhcpOptions>(&view, &options, &OPTIONS_ID)?;
    }
    errors::dry_run(input.dry_run)?;
    change.update(&vpc, |row: &mut Vpc| row.dhcp_options = options);
    Ok(wire::AssociateDhcpOptionsOutput {})
}

/// DeleteDhcpOptions, once no VPC has them.
///
/// # Errors
/// `InvalidDhcpOptionID.NotFound`, `InvalidDhcpOptionsId.Malformed`,
/// `DependencyViolation`.
pub fn delete_dhcp_options(
    change: &mut Change<'_, '_>,
    input: &wire::DeleteDhcpOptionsRequest,
) -> Result<wire::DeleteDhcpOptionsOutput, ApiError> {
    let view = change.view();
    let id = &named::<DhcpOptions>(&view, (&input.dhcp_options_id, "dhcpOptionsId"), &OPTIONS_ID)?.id;
    if view.all::<Vpc>().any(|vpc| vpc.dhcp_options == *id) {
        return Err(super::network::dependency("dhcpOptions", id));
    }
    let id = id.clone();
    errors::dry_run(input.dry_run)?;
    change.delete::<DhcpOptions>(&id);
    Ok(wire::DeleteDhcpOptionsOutput {})
}

/// DescribeDhcpOptions. Errors: those of ids, filters and pages.
pub fn describe_dhcp_options(
    call: &Call<'_>,
    input: &wire::DescribeDhcpOptionsRequest,
) -> Result<wire::DescribeDhcpOptionsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let rows = chosen::<DhcpOptions>(call, &input.dhcp_options_ids, &OPTIONS_ID)?;
    errors::dry_run(input.dry_run)?;
    let account = call.scope.account.as_str();
    let accepted = |row: &DhcpOptions| {
        filters.accept(&row.tags, |name, emit| match name {
            "dhcp-options-id" => emit(&row.id),
            "key" => row.options.keys().for_each(|key| emit(key)),
            "owner-id" => emit(account),
            "value" => row.options.values().flatten().for_each(|value| emit(value)),
            _ => {}
        })
    };
    let rows = rows.into_iter().filter(|row| accepted(row)).collect();
    let limits = (USUAL, !input.dhcp_options_ids.is_empty());
    let (rows, next_token) = cut(rows, input.max_results, input.next_token.as_deref(), limits, |row| row.id.clone())?;
    let dhcp_options = rows.into_iter().map(|row| show(&call.view, row)).collect();
    Ok(wire::DescribeDhcpOptionsResult { dhcp_options, next_token })
}

fn show(view: &View<'_>, row: &DhcpOptions) -> wire::DhcpOptions {
    let option = |(key, values): (&String, &Vec<String>)| wire::DhcpConfiguration {
        key: Some(key.clone()),
        values: values.iter().map(|value| wire::AttributeValue { value: Some(value.clone()) }).collect(),
    };
    wire::DhcpOptions {
        dhcp_configurations: row.options.iter().map(option).collect(),
        dhcp_options_id: Some(row.id.clone()),
        owner_id: Some(view.scope.account.to_string()),
        tags: tag_rules::shown(&row.tags),
    }
}
