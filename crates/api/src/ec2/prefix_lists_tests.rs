//! Prefix lists and DHCP options: named sets that other things refer to.

use super::rig::{Rig, code, filter};
use super::vpcs_tests::{make_gateway, make_vpc};
use super::*;
use elastane_wire::ec2 as wire;

fn text(value: &str) -> Option<String> {
    Some(value.to_string())
}

fn entry(cidr: &str, description: Option<&str>) -> wire::AddPrefixListEntry {
    wire::AddPrefixListEntry { cidr: text(cidr), description: description.map(str::to_string) }
}

fn list_input(name: &str, max: i32, entries: Vec<wire::AddPrefixListEntry>) -> wire::CreateManagedPrefixListRequest {
    wire::CreateManagedPrefixListRequest {
        prefix_list_name: text(name),
        address_family: text("IPv4"),
        max_entries: Some(max),
        entries,
        ..Default::default()
    }
}

fn make_list(rig: &mut Rig, max: i32, cidrs: &[&str]) -> String {
    let entries = cidrs.iter().map(|cidr| entry(cidr, None)).collect();
    let made = rig.write(create_managed_prefix_list, list_input("offices", max, entries)).expect("made");
    made.prefix_list.expect("one").prefix_list_id.expect("an id")
}

fn entries(rig: &mut Rig, id: &str) -> Vec<String> {
    let input = wire::GetManagedPrefixListEntriesRequest { prefix_list_id: text(id), ..Default::default() };
    let found = rig.read(get_managed_prefix_list_entries, input).expect("entries").entries;
    found.into_iter().filter_map(|entry| entry.cidr).collect()
}

/// What is refused when a list is made; a token makes one list.
#[test]
fn lists_are_checked_when_made() {
    let mut rig = Rig::new();
    let good = list_input("offices", 2, vec![entry("10.0.0.1/8", Some("all"))]);
    let twice = vec![entry("10.0.0.0/8", None), entry("10.0.0.1/8", None)];
    let three = ["1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8"].map(|cidr| entry(cidr, None)).to_vec();
    for (input, want) in [
        (list_input("", 2, vec![]), "MissingParameter"),
        (list_input("com.amazonaws.x", 2, vec![]), "InvalidParameterValue"),
        (list_input("a", 0, vec![]), "InvalidParameterValue"),
        (list_input("a", 1001, vec![]), "InvalidParameterValue"),
        (list_input("a", 2, twice), "InvalidParameterValue"),
        (list_input("a", 2, three), "PrefixListMaxEntriesExceeded"),
        (list_input("a", 2, vec![entry("x", None)]), "InvalidParameterValue"),
        (wire::CreateManagedPrefixListRequest { address_family: text("IPv6"), ..good.clone() }, "UnsupportedOperation"),
        (wire::CreateManagedPrefixListRequest { address_family: text("x"), ..good.clone() }, "InvalidParameterValue"),
        (wire::CreateManagedPrefixListRequest { max_entries: None, ..good.clone() }, "MissingParameter"),
        (wire::CreateManagedPrefixListRequest { dry_run: Some(true), ..good.clone() }, "DryRunOperation"),
    ] {
        assert_eq!(code(rig.write(create_managed_prefix_list, input.clone())), want, "{input:?}");
    }
    let once = wire::CreateManagedPrefixListRequest { client_token: text("t"), ..good };
    let first = rig.write(create_managed_prefix_list, once.clone()).expect("made").prefix_list.expect("one");
    assert_eq!((first.version, first.state.as_deref()), (Some(1), Some("create-complete")));
    let again = rig.write(create_managed_prefix_list, once.clone()).expect("found").prefix_list.expect("one");
    assert_eq!(first, again);
    let other = wire::CreateManagedPrefixListRequest { max_entries: Some(3), ..once };
    assert_eq!(code(rig.write(create_managed_prefix_list, other)), "IdempotentParameterMismatch");
    assert_eq!(entries(&mut rig, &first.prefix_list_id.expect("an id")), ["10.0.0.0/8"]);
}

/// Entries change with the version, which a call may name; name and size without.
#[test]
fn lists_have_versions() {
    let mut rig = Rig::new();
    let id = make_list(&mut rig, 3, &["10.0.0.0/8", "11.0.0.0/8"]);
    let base = wire::ModifyManagedPrefixListRequest { prefix_list_id: text(&id), ..Default::default() };
    let remove = |cidr: &str| vec![wire::RemovePrefixListEntry { cidr: text(cidr) }];
    let at = |version: i64, add: Vec<wire::AddPrefixListEntry>, remove| wire::ModifyManagedPrefixListRequest {
        current_version: Some(version),
        add_entries: add,
        remove_entries: remove,
        ..base.clone()
    };
    for (input, want) in [
        (at(2, vec![entry("1.0.0.0/8", None)], vec![]), "PrefixListVersionMismatch"),
        (at(1, vec![entry("1.0.0.0/8", Some("new"))], remove("10.0.0.0/8")), ""),
        (at(1, vec![entry("2.0.0.0/8", None)], vec![]), "PrefixListVersionMismatch"),
        (at(2, vec![], remove("10.0.0.0/8")), "InvalidParameterValue"),
        (at(2, vec![entry("2.0.0.0/8", None), entry("3.0.0.0/8", None)], vec![]), "PrefixListMaxEntriesExceeded"),
        (wire::ModifyManagedPrefixListRequest { max_entries: Some(1), ..base.clone() }, "PrefixListMaxEntriesExceeded"),
        (
            wire::ModifyManagedPrefixListRequest {
                max_entries: Some(5),
                ..at(2, vec![entry("2.0.0.0/8", None)], vec![])
            },
            "InvalidParameterCombination",
        ),
        (wire::ModifyManagedPrefixListRequest { max_entries: Some(5), ..base.clone() }, ""),
        (wire::ModifyManagedPrefixListRequest { prefix_list_name: text("new name"), ..base.clone() }, ""),
        (
            wire::ModifyManagedPrefixListRequest { prefix_list_id: text("pl-00000000"), ..base.clone() },
            "InvalidPrefixListID.NotFound",
        ),
        (
            wire::ModifyManagedPrefixListRequest { prefix_list_id: text("x"), ..base.clone() },
            "InvalidPrefixListId.Malformed",
        ),
    ] {
        assert_eq!(code(rig.write(modify_managed_prefix_list, input.clone())), want, "{input:?}");
    }
    assert_eq!(entries(&mut rig, &id), ["1.0.0.0/8", "11.0.0.0/8"]);
    for (name, value, count) in [("prefix-list-name", "new*", 1), ("prefix-list-id", &id, 1), ("owner-id", "1", 0)] {
        let input =
            wire::DescribeManagedPrefixListsRequest { filters: vec![filter(name, value)], ..Default::default() };
        let found = rig.read(describe_managed_prefix_lists, input).expect("described").prefix_lists;
        assert_eq!(found.len(), count, "{name}={value}");
        for list in found {
            assert_eq!(
                (list.version, list.max_entries, list.state.as_deref()),
                (Some(2), Some(5), Some("modify-complete"))
            );
        }
    }
    let page = |version, token| wire::GetManagedPrefixListEntriesRequest {
        prefix_list_id: text(&id),
        max_results: Some(1),
        target_version: version,
        next_token: token,
        dry_run: None,
    };
    let first = rig.read(get_managed_prefix_list_entries, page(Some(2), None)).expect("a page");
    let second = rig.read(get_managed_prefix_list_entries, page(None, first.next_token.clone())).expect("a page");
    assert_eq!((first.entries.len(), second.entries.len(), second.next_token), (1, 1, None));
    for (version, want) in [(1, "UnsupportedOperation"), (3, "InvalidParameterValue"), (0, "InvalidParameterValue")] {
        assert_eq!(code(rig.read(get_managed_prefix_list_entries, page(Some(version), None))), want);
    }
}

/// A list that a route or a rule names stays; it takes its maximum of their room.
#[test]
fn lists_are_named_by_routes_and_rules() {
    let mut rig = Rig::new();
    let id = make_list(&mut rig, 40, &["20.0.0.0/8"]);
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let gateway = make_gateway(&mut rig);
    let pair =
        wire::AttachInternetGatewayRequest { internet_gateway_id: text(&gateway), vpc_id: text(&vpc), dry_run: None };
    rig.write(attach_internet_gateway, pair).expect("attached");
    let table = wire::CreateRouteTableRequest { vpc_id: text(&vpc), ..Default::default() };
    let table = rig.write(create_route_table, table).expect("made").route_table.expect("one").route_table_id;
    let route = |list: &str| wire::CreateRouteRequest {
        route_table_id: table.clone(),
        destination_prefix_list_id: text(list),
        gateway_id: text(&gateway),
        ..Default::default()
    };
    assert_eq!(code(rig.write(create_route, route(&id))), "");
    let second = make_list(&mut rig, 40, &[]);
    assert_eq!(code(rig.write(create_route, route(&second))), "RouteLimitExceeded");
    let gone = |id: &str| wire::DeleteManagedPrefixListRequest { prefix_list_id: text(id), dry_run: None };
    assert_eq!(code(rig.write(delete_managed_prefix_list, gone(&id))), "DependencyViolation");
    let unroute = wire::DeleteRouteRequest {
        route_table_id: table.clone(),
        destination_prefix_list_id: text(&id),
        ..Default::default()
    };
    assert_eq!(code(rig.write(delete_route, unroute)), "");
    let group = rig.tx(|tx| Ok(tx.security_groups.keys().next().map(ToString::to_string))).expect("read");
    let rule = |list: &str, port: i32| wire::AuthorizeSecurityGroupIngressRequest {
        group_id: group.clone(),
        ip_permissions: vec![wire::IpPermission {
            ip_protocol: text("tcp"),
            from_port: Some(port),
            to_port: Some(port),
            prefix_list_ids: vec![wire::PrefixListId { prefix_list_id: text(list), description: text("offices") }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let made = rig.write(authorize_security_group_ingress, rule(&id, 80)).expect("allowed").security_group_rules;
    assert_eq!(
        (made[0].prefix_list_id.as_deref(), made[0].description.as_deref()),
        (Some(id.as_str()), Some("offices"))
    );
    assert_eq!(code(rig.write(authorize_security_group_ingress, rule(&id, 81))), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(
        code(rig.write(authorize_security_group_ingress, rule("pl-00000000", 81))),
        "InvalidPrefixListID.NotFound"
    );
    assert_eq!(code(rig.write(delete_managed_prefix_list, gone(&id))), "DependencyViolation");
    let revoke = wire::RevokeSecurityGroupIngressRequest {
        group_id: group.clone(),
        ip_permissions: rule(&id, 80).ip_permissions,
        ..Default::default()
    };
    assert_eq!(code(rig.write(revoke_security_group_ingress, revoke)), "");
    let deleted = rig.write(delete_managed_prefix_list, gone(&id)).expect("deleted").prefix_list.expect("it");
    assert_eq!(deleted.state.as_deref(), Some("delete-complete"));
    assert_eq!(code(rig.write(delete_managed_prefix_list, gone(&id))), "InvalidPrefixListID.NotFound");
    let services = rig.read(describe_prefix_lists, Default::default()).expect("described").prefix_lists;
    assert_eq!(services, []);
    let one = wire::DescribePrefixListsRequest { prefix_list_ids: vec![id], ..Default::default() };
    assert_eq!(code(rig.read(describe_prefix_lists, one)), "InvalidPrefixListId.NotFound");
}

fn option(key: &str, values: &[&str]) -> wire::NewDhcpConfiguration {
    wire::NewDhcpConfiguration { key: text(key), values: values.iter().map(|value| value.to_string()).collect() }
}

/// Options are checked, given to a VPC, and go once no VPC has them.
#[test]
fn dhcp_options_from_start_to_end() {
    let mut rig = Rig::new();
    for (options, want) in [
        (vec![], "MissingParameter"),
        (vec![option("", &["x"])], "MissingParameter"),
        (vec![option("colour", &["red"])], "InvalidParameterValue"),
        (vec![option("domain-name", &[])], "InvalidParameterValue"),
        (vec![option("domain-name-servers", &["ns.example.com"])], "InvalidParameterValue"),
        (vec![option("ntp-servers", &["1.1.1.1"; 5])], "InvalidParameterValue"),
        (vec![option("ntp-servers", &["AmazonProvidedDNS"])], "InvalidParameterValue"),
        (vec![option("netbios-node-type", &["3"])], "InvalidParameterValue"),
        (vec![option("domain-name", &["a"]), option("domain-name", &["b"])], "InvalidParameterValue"),
        (vec![option("ipv6-address-preferred-lease-time", &["140"])], "UnsupportedOperation"),
    ] {
        let input = wire::CreateDhcpOptionsRequest { dhcp_configurations: options, ..Default::default() };
        assert_eq!(code(rig.write(create_dhcp_options, input.clone())), want, "{input:?}");
    }
    let good =
        vec![option("domain-name", &["example.com"]), option("domain-name-servers", &["AmazonProvidedDNS", "1.1.1.1"])];
    let input = wire::CreateDhcpOptionsRequest { dhcp_configurations: good, ..Default::default() };
    let made = rig.write(create_dhcp_options, input).expect("made").dhcp_options.expect("a set");
    let id = made.dhcp_options_id.clone().expect("an id");
    // The region's own set has a domain name as well.
    for (name, value, (count, others)) in [
        ("key", "domain-name", (1, 1)),
        ("value", "1.1.1.1", (1, 0)),
        ("dhcp-options-id", id.as_str(), (1, 0)),
        ("value", "x", (0, 0)),
    ] {
        let input = wire::DescribeDhcpOptionsRequest { filters: vec![filter(name, value)], ..Default::default() };
        let found = rig.read(describe_dhcp_options, input).expect("described").dhcp_options;
        let ours = found.iter().filter(|one| **one == made).count();
        assert_eq!((ours, found.len() - ours), (count, others), "{name}={value}");
    }
    let vpc = make_vpc(&mut rig, "10.0.0.0/16");
    let give = |vpc: &str, options: &str| wire::AssociateDhcpOptionsRequest {
        vpc_id: text(vpc),
        dhcp_options_id: text(options),
        dry_run: None,
    };
    for (input, want) in [
        (give("vpc-00000000", &id), "InvalidVpcID.NotFound"),
        (give(&vpc, "dopt-00000000"), "InvalidDhcpOptionID.NotFound"),
        (give(&vpc, "x"), "InvalidDhcpOptionsId.Malformed"),
        (give(&vpc, &id), ""),
    ] {
        assert_eq!(code(rig.write(associate_dhcp_options, input.clone())), want, "{input:?}");
    }
    let input = wire::DescribeVpcsRequest { filters: vec![filter("dhcp-options-id", &id)], ..Default::default() };
    assert_eq!(rig.read(describe_vpcs, input).expect("described").vpcs.len(), 1);
    let gone = |id: &str| wire::DeleteDhcpOptionsRequest { dhcp_options_id: text(id), dry_run: None };
    assert_eq!(code(rig.write(delete_dhcp_options, gone(&id))), "DependencyViolation");
    assert_eq!(code(rig.write(associate_dhcp_options, give(&vpc, "default"))), "");
    assert_eq!(code(rig.write(delete_dhcp_options, gone(&id))), "");
    assert_eq!(code(rig.write(delete_dhcp_options, gone(&id))), "InvalidDhcpOptionID.NotFound");
}
