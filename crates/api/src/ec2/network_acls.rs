//! DescribeNetworkAcls: every VPC's default list, which lets everything
//! through and has every subnet. There are no others.

use super::errors;
use super::filter::Filters;
use super::listing::IdKind;
use super::network::{relative, truth};
use super::paging::{USUAL, cut};
use crate::Call;
use elastane_engine::View;
use elastane_engine::row::{Subnet, Tags, Vpc};
use elastane_wire::{ApiError, ec2 as wire};

const ACL_ID: IdKind = IdKind {
    prefix: "acl-",
    malformed: "InvalidNetworkAclId.Malformed",
    not_found: "InvalidNetworkAclID.NotFound",
    noun: "The networkAcl ID",
};

/// The number of the rule that AWS shows as `*`: what nothing before it allowed.
const LAST_RULE: i32 = 32_767;

const FILTERS: [&str; 17] = [
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "entry.cidr",
    "entry.egress",
    "entry.icmp.code",
    "entry.icmp.type",
    "entry.ipv6-cidr",
    "entry.port-range.from",
    "entry.port-range.to",
    "entry.protocol",
    "entry.rule-action",
    "entry.rule-number",
    "network-acl-id",
    "owner-id",
    "vpc-id",
];

/// DescribeNetworkAcls. Errors: `InvalidNetworkAclId.Malformed`,
/// `InvalidNetworkAclID.NotFound`, those of filters and pages.
pub fn describe_network_acls(
    call: &Call<'_>,
    input: &wire::DescribeNetworkAclsRequest,
) -> Result<wire::DescribeNetworkAclsResult, ApiError> {
    let filters = Filters::new(&input.filters, &FILTERS)?;
    let ids = &input.network_acl_ids;
    ids.iter().try_for_each(|id| ACL_ID.check(id))?;
    let lists: Vec<wire::NetworkAcl> = call.all::<Vpc>().map(|vpc| show(&call.view, vpc)).collect();
    let is = |list: &wire::NetworkAcl, id: &String| list.network_acl_id.as_ref() == Some(id);
    if let Some(id) = ids.iter().find(|id| !lists.iter().any(|list| is(list, id))) {
        return Err(ACL_ID.unknown(id));
    }
    errors::dry_run(input.dry_run)?;
    let wanted = lists.into_iter().filter(|list| {
        let named = ids.is_empty() || ids.iter().any(|id| is(list, id));
        named && filters.accept(&Tags::new(), |name, emit| values(list, name, emit))
    });
    let (token, limits) = (input.next_token.as_deref(), (USUAL, !ids.is_empty()));
    let name = |list: &wire::NetworkAcl| list.network_acl_id.clone().unwrap_or_default();
    let (network_acls, next_token) = cut(wanted.collect(), input.max_results, token, limits, name)?;
    Ok(wire::DescribeNetworkAclsResult { network_acls, next_token })
}

fn values(list: &wire::NetworkAcl, name: &str, emit: &mut dyn FnMut(&str)) {
    match name {
        "association.association-id" => {
            list.associations.iter().filter_map(|one| one.network_acl_association_id.as_deref()).for_each(emit);
        }
        "association.network-acl-id" => {
            list.associations.iter().filter_map(|one| one.network_acl_id.as_deref()).for_each(emit);
        }
        "association.subnet-id" => list.associations.iter().filter_map(|one| one.subnet_id.as_deref()).for_each(emit),
        "default" => emit(truth(list.is_default == Some(true))),
        "entry.cidr" => list.entries.iter().filter_map(|entry| entry.cidr_block.as_deref()).for_each(emit),
        "entry.egress" => list.entries.iter().for_each(|entry| emit(truth(entry.egress == Some(true)))),
        "entry.protocol" => list.entries.iter().filter_map(|entry| entry.protocol.as_deref()).for_each(emit),
        "entry.rule-action" => list.entries.iter().filter_map(|entry| entry.rule_action.as_deref()).for_each(emit),
        "entry.rule-number" => {
            list.entries.iter().filter_map(|entry| entry.rule_number).for_each(|number| emit(&number.to_string()));
        }
        "network-acl-id" => list.network_acl_id.iter().for_each(|id| emit(id)),
        "owner-id" => list.owner_id.iter().for_each(|id| emit(id)),
        "vpc-id" => list.vpc_id.iter().for_each(|id| emit(id)),
        // No entry is about ports, ICMP or IPv6.
        _ => {}
    }
}

/// The default list of a VPC. Its id is the VPC's with another prefix, an
/// association's is the subnet's.
fn show(view: &View<'_>, vpc: &Vpc) -> wire::NetworkAcl {
    let id = relative(vpc.id.as_str(), ACL_ID.prefix);
    let subnets = view.all::<Subnet>().filter(|subnet| subnet.vpc == vpc.id);
    let associations = subnets.map(|subnet| wire::NetworkAclAssociation {
        network_acl_association_id: Some(relative(subnet.id.as_str(), "aclassoc-")),
        network_acl_id: Some(id.clone()),
        subnet_id: Some(subnet.id.to_string()),
    });
    let entry = |egress: bool, number: i32, action: &str| wire::NetworkAclEntry {
        cidr_block: Some("0.0.0.0/0".to_string()),
        egress: Some(egress),
        protocol: Some("-1".to_string()),
        rule_action: Some(action.to_string()),
        rule_number: Some(number),
        ..Default::default()
    };
    let entries =
        [true, false].into_iter().flat_map(|egress| [entry(egress, 100, "allow"), entry(egress, LAST_RULE, "deny")]);
    wire::NetworkAcl {
        associations: associations.collect(),
        entries: entries.collect(),
        is_default: Some(true),
        network_acl_id: Some(id.clone()),
        owner_id: Some(view.scope.account.to_string()),
        tags: Vec::new(),
        vpc_id: Some(vpc.id.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, code, filter};
    use super::*;

    fn list(rig: &mut Rig, input: wire::DescribeNetworkAclsRequest) -> Vec<wire::NetworkAcl> {
        rig.read(describe_network_acls, input).expect("described").network_acls
    }

    /// The default VPC's list lets everything through and has its three subnets.
    #[test]
    fn every_vpc_has_one() {
        let mut rig = Rig::new();
        let all = list(&mut rig, Default::default());
        assert_eq!((all.len(), all[0].associations.len(), all[0].entries.len()), (1, 3, 4));
        let (id, vpc) = (all[0].network_acl_id.clone().expect("an id"), all[0].vpc_id.clone().expect("a VPC"));
        let subnet = all[0].associations[0].subnet_id.clone().expect("a subnet");
        for (name, value, count) in [
            ("vpc-id", vpc.as_str(), 1),
            ("default", "true", 1),
            ("default", "false", 0),
            ("association.subnet-id", &subnet, 1),
            ("entry.rule-number", "100", 1),
            ("entry.rule-action", "deny", 1),
            ("entry.icmp.code", "*", 0),
            ("network-acl-id", "acl-0*", usize::from(id.starts_with("acl-0"))),
        ] {
            let input = wire::DescribeNetworkAclsRequest { filters: vec![filter(name, value)], ..Default::default() };
            assert_eq!(list(&mut rig, input).len(), count, "{name}={value}");
        }
        let ask =
            |id: &str| wire::DescribeNetworkAclsRequest { network_acl_ids: vec![id.to_string()], ..Default::default() };
        assert_eq!(list(&mut rig, ask(&id)), all);
        for (id, want) in [("acl-00000000", "InvalidNetworkAclID.NotFound"), ("x", "InvalidNetworkAclId.Malformed")] {
            assert_eq!(code(rig.read(describe_network_acls, ask(id))), want);
        }
        let unknown = wire::DescribeNetworkAclsRequest { filters: vec![filter("colour", "b")], ..Default::default() };
        assert_eq!(code(rig.read(describe_network_acls, unknown)), "InvalidParameterValue");
    }
}
