//! Network plans: from rows to plans, and plans in their rounds.

use super::*;
use crate::plans;
use elastane_domain::network::Cidr;
use elastane_domain::vpc::{FlowLogPlan, Holder, NetworkPlan, Peer, Protocol, Via};
use std::net::Ipv4Addr;

const VPC: &str = "vpc-1";

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a range")
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// A VPC 10.0.0.0/16 with an internet gateway, a public subnet in zone a and
/// a private one in zone b, each with a route table of its own.
fn put_vpc(tx: &mut Tx<'_>) {
    tx.put(Vpc {
        id: VpcId::from(VPC),
        cidr: cidr("10.0.0.0/16"),
        default: false,
        more_cidrs: Vec::new(),
        dhcp_options: "default".to_string(),
        dns_support: true,
        dns_hostnames: true,
        address_usage_metrics: false,
        tags: Tags::new(),
    });
    tx.put(InternetGateway { id: "igw-1".to_string(), vpc: Some(VpcId::from(VPC)), tags: Tags::new() });
    put_table(tx, "rtb-main", None, &[]);
    for (subnet, range, zone) in [("subnet-a", "10.0.1.0/24", "us-east-1a"), ("subnet-b", "10.0.2.0/24", "us-east-1b")]
    {
        tx.put(Subnet {
            id: SubnetId::from(subnet),
            vpc: VpcId::from(VPC),
            zone: Zone::from(zone),
            cidr: cidr(range),
            default: false,
            public_on_launch: false,
            resource_names: false,
            tags: Tags::new(),
        });
    }
    put_table(tx, "rtb-a", Some("subnet-a"), &[("0.0.0.0/0", "igw-1")]);
}

/// A route table of a subnet, or the main one. Routes go to a range or prefix
/// list, by the target's id.
fn put_table(tx: &mut Tx<'_>, id: &str, subnet: Option<&str>, routes: &[(&str, &str)]) {
    let target = |id: &str| match id.split_once('-') {
        Some(("igw", _)) => RouteTarget::InternetGateway(id.to_string()),
        Some(("nat", _)) => RouteTarget::NatGateway(id.to_string()),
        _ => RouteTarget::Interface(id.to_string()),
    };
    let destination = |text: &str| match text.parse() {
        Ok(cidr) => RouteDestination::Cidr(cidr),
        Err(_) => RouteDestination::PrefixList(text.to_string()),
    };
    let association = RouteTableAssociation { id: format!("{id}-association"), subnet: subnet.map(SubnetId::from) };
    tx.put(RouteTable {
        id: id.to_string(),
        vpc: VpcId::from(VPC),
        routes: routes.iter().map(|(to, via)| Route { destination: destination(to), target: target(via) }).collect(),
        associations: vec![association],
        client_token: None,
        tags: Tags::new(),
    });
}

fn interface(id: &str, subnet: &str, address: &str) -> NetworkInterface {
    NetworkInterface {
        id: id.to_string(),
        vpc: VpcId::from(VPC),
        subnet: SubnetId::from(subnet),
        zone: Zone::from("us-east-1a"),
        description: String::new(),
        addresses: vec![ip(address)],
        groups: Vec::new(),
        source_dest_check: true,
        owner: InterfaceOwner::User,
        attachment: None,
        public_ip: None,
        created_at: START,
        client_token: None,
        tags: Tags::new(),
    }
}

fn attached(instance: &str) -> Option<Attachment> {
    Some(Attachment {
        id: "eni-attach-1".to_string(),
        instance: InstanceId::from(instance),
        device: 0,
        delete_on_termination: true,
        attached_at: START,
    })
}

fn put_address(tx: &mut Tx<'_>, public: &str, interface: &str, private: &str) {
    let association =
        AddressAssociation { id: "eipassoc-1".to_string(), interface: interface.to_string(), private_ip: ip(private) };
    tx.put(Address {
        id: format!("eipalloc-{public}"),
        public_ip: ip(public),
        association: Some(association),
        tags: Tags::new(),
    });
}

fn put_nat(tx: &mut Tx<'_>, subnet: &str, public: bool, phase: NatGatewayPhase) {
    tx.put(NatGateway {
        id: "nat-1".to_string(),
        vpc: VpcId::from(VPC),
        subnet: SubnetId::from(subnet),
        public,
        interface: "eni-nat".to_string(),
        allocations: vec!["eipalloc-198.18.0.9".to_string()],
        created_at: START,
        phase,
        client_token: None,
        tags: Tags::new(),
    });
    let owner = InterfaceOwner::NatGateway("nat-1".to_string());
    tx.put(NetworkInterface { owner, ..interface("eni-nat", subnet, "10.0.1.200") });
    put_address(tx, "198.18.0.9", "eni-nat", "10.0.1.200");
}

/// A region with the VPC, changed as a case wants it, and the VPC's plan.
fn plan(change: impl FnOnce(&mut Tx<'_>)) -> NetworkPlan {
    let mut rig = Rig::new();
    rig.tx(|tx| {
        put_vpc(tx);
        change(tx);
    });
    let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
    plans::compile(&view, &VpcId::from(VPC))
}

/// `10.0.0.0/8 internet, …`, of the subnet of this id.
fn routes(plan: &NetworkPlan, subnet: &str) -> String {
    let subnet = plan.subnets.iter().find(|one| one.id.as_str() == subnet).expect("a subnet");
    let words = subnet.routes.iter().map(|route| match route.via {
        Via::Internet => format!("{} internet", route.destination),
        Via::Nat(address) => format!("{} nat {address}", route.destination),
        Via::Interface(address) => format!("{} via {address}", route.destination),
        Via::Nowhere => format!("{} nowhere", route.destination),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// An empty VPC: its ranges, its resolver, its subnets in their order, and no way out but by a route.
#[test]
fn an_empty_vpc() {
    let got = plan(|tx| {
        tx.update(VPC, |row: &mut Vpc| {
            let more = CidrAssociation { id: "vpc-cidr-assoc-1".to_string(), cidr: cidr("10.1.0.0/16") };
            row.more_cidrs.push(more);
        });
    });
    assert_eq!(got.cidrs, [cidr("10.0.0.0/16"), cidr("10.1.0.0/16")]);
    assert_eq!((got.generation, got.resolver), (0, Some(ip("10.0.0.2"))));
    assert_eq!((routes(&got, "subnet-a"), routes(&got, "subnet-b")), ("0.0.0.0/0 internet".to_string(), String::new()));
    let silent = plan(|tx| tx.update(VPC, |row: &mut Vpc| row.dns_support = false));
    assert_eq!((silent.resolver, silent.names.len()), (None, 0));
}

/// The longest prefix first; prefix lists are expanded and yield to static routes; targets that are gone lead nowhere.
#[test]
fn routes_and_their_targets() {
    for (name, table, expected) in [
        (
            "longest first",
            &[("0.0.0.0/0", "igw-1"), ("8.8.8.0/24", "igw-1"), ("8.0.0.0/8", "igw-1")][..],
            "8.8.8.0/24 internet, 8.0.0.0/8 internet, 0.0.0.0/0 internet",
        ),
        ("prefix list", &[("pl-1", "igw-2"), ("9.0.0.0/8", "igw-1")], "7.0.0.0/8 nowhere, 9.0.0.0/8 internet"),
        ("no such gateway", &[("0.0.0.0/0", "igw-3")], "0.0.0.0/0 nowhere"),
        ("another VPC's gateway", &[("0.0.0.0/0", "igw-2")], "0.0.0.0/0 nowhere"),
        ("an attached interface", &[("0.0.0.0/0", "eni-router")], "0.0.0.0/0 via 10.0.1.7"),
        ("a loose interface", &[("0.0.0.0/0", "eni-loose")], "0.0.0.0/0 nowhere"),
        ("no such interface", &[("0.0.0.0/0", "eni-none")], "0.0.0.0/0 nowhere"),
        ("no such NAT gateway", &[("0.0.0.0/0", "nat-9")], "0.0.0.0/0 nowhere"),
    ] {
        let got = plan(|tx| {
            tx.put(InternetGateway { id: "igw-2".to_string(), vpc: None, tags: Tags::new() });
            let entries = vec![(cidr("9.0.0.0/8"), None), (cidr("7.0.0.0/8"), None)];
            tx.put(PrefixList {
                id: "pl-1".to_string(),
                name: "list".to_string(),
                max_entries: 5,
                version: 1,
                entries,
                client_token: None,
                modified: false,
                tags: Tags::new(),
            });
            tx.put(NetworkInterface { attachment: attached("i-1"), ..interface("eni-router", "subnet-a", "10.0.1.7") });
            tx.put(interface("eni-loose", "subnet-a", "10.0.1.8"));
            put_table(tx, "rtb-main", None, table);
        });
        assert_eq!(routes(&got, "subnet-b"), expected, "{name}");
    }
}

/// A NAT gateway carries traffic while it is pending or available, public, and its own subnet has a way out.
#[test]
fn routes_by_nat_gateways() {
    let out = "0.0.0.0/0 nat 198.18.0.9";
    let nowhere = "0.0.0.0/0 nowhere";
    for (subnet, public, phase, gateway, expected) in [
        ("subnet-a", true, NatGatewayPhase::Available, true, out),
        ("subnet-a", true, NatGatewayPhase::Pending, true, out),
        ("subnet-a", true, NatGatewayPhase::Deleting, true, nowhere),
        ("subnet-a", true, NatGatewayPhase::Deleted { at: START }, true, nowhere),
        ("subnet-a", false, NatGatewayPhase::Available, true, nowhere),
        ("subnet-b", true, NatGatewayPhase::Available, true, nowhere),
        ("subnet-a", true, NatGatewayPhase::Available, false, nowhere),
    ] {
        let got = plan(|tx| {
            put_nat(tx, subnet, public, phase);
            put_table(tx, "rtb-main", None, &[("0.0.0.0/0", "nat-1")]);
            if !gateway {
                tx.update("igw-1", |row: &mut InternetGateway| row.vpc = None);
            }
        });
        assert_eq!(routes(&got, "subnet-b"), expected, "{subnet} {public} {phase:?} {gateway}");
        assert_eq!(got.interfaces[0].holder, Holder::NatGateway);
    }
}

/// Public addresses of an interface, by whether there is an internet gateway, an Elastic IP, and a stop.
#[test]
fn public_addresses() {
    for (gateway, elastic, stopped, expected) in [
        (true, false, false, vec![("10.0.1.5", "198.18.0.5")]),
        (true, true, false, vec![("10.0.1.5", "198.18.0.6")]),
        (false, true, false, vec![]),
        (true, false, true, vec![]),
        (true, true, true, vec![("10.0.1.5", "198.18.0.6")]),
    ] {
        let mut rig = Rig::new();
        let id = rig.tx(super::rounds::run_one);
        let got = rig.tx(|tx| {
            put_vpc(tx);
            let public_ip = Some(ip("198.18.0.5"));
            let attachment = attached(id.as_str());
            tx.put(NetworkInterface { public_ip, attachment, ..interface("eni-1", "subnet-a", "10.0.1.5") });
            if stopped {
                tx.update(id.as_str(), |row: &mut Instance| row.phase = Phase::Stopped);
            }
            if elastic {
                put_address(tx, "198.18.0.6", "eni-1", "10.0.1.5");
            }
            if !gateway {
                tx.delete::<InternetGateway>("igw-1");
            }
            plans::compile(&tx.view(), &VpcId::from(VPC))
        });
        let expected: Vec<_> = expected.into_iter().map(|(private, public)| (ip(private), ip(public))).collect();
        assert_eq!(got.interfaces[0].public, expected, "{gateway} {elastic} {stopped}");
        let name = expected.first().map(|(_, public)| Scope::new("1", "us-east-1").public_name(*public));
        assert_eq!(got.names.contains_key(&name.unwrap_or_default()), !expected.is_empty());
    }
}

fn rule(egress: bool, protocol: &str, ports: (i32, i32), peer: RulePeer) -> SecurityGroupRule {
    let (from_port, to_port) = ports;
    SecurityGroupRule {
        id: "sgr-1".to_string(),
        egress,
        protocol: protocol.to_string(),
        from_port,
        to_port,
        peer,
        description: None,
        tags: Tags::new(),
    }
}

fn put_group(tx: &mut Tx<'_>, id: &str, rules: Vec<SecurityGroupRule>) {
    tx.put(SecurityGroup {
        id: SecurityGroupId::from(id),
        name: id.to_string(),
        description: String::new(),
        vpc: VpcId::from(VPC),
        rules,
        tags: Tags::new(),
    });
}

/// Rules of groups in use, members of these and of the groups that they name, and no others.
#[test]
fn security_groups() {
    let got = plan(|tx| {
        let peer = RulePeer::Group(SecurityGroupId::from("sg-front"));
        let app = vec![
            rule(false, "tcp", (80, 80), peer),
            rule(false, "tcp", (22, 22), RulePeer::Cidr("192.0.2.0/24".to_string())),
            rule(false, "tcp", (23, 23), RulePeer::Cidr6("::/0".to_string())),
            rule(true, "-1", (-1, -1), RulePeer::Cidr("0.0.0.0/0".to_string())),
        ];
        put_group(tx, "sg-app", app);
        put_group(tx, "sg-front", vec![rule(false, "udp", (1, 2), RulePeer::Group(SecurityGroupId::from("sg-idle")))]);
        put_group(tx, "sg-idle", vec![rule(false, "-1", (-1, -1), RulePeer::Cidr("0.0.0.0/0".to_string()))]);
        put_group(tx, "sg-unused", Vec::new());
        let group = |id: &str| vec![SecurityGroupId::from(id)];
        let addresses = vec![ip("10.0.1.5"), ip("10.0.1.6")];
        tx.put(NetworkInterface { groups: group("sg-app"), addresses, ..interface("eni-1", "subnet-a", "10.0.1.5") });
        tx.put(NetworkInterface { groups: group("sg-front"), ..interface("eni-2", "subnet-b", "10.0.2.5") });
    });
    let names: Vec<&str> = got.groups.keys().map(SecurityGroupId::as_str).collect();
    assert_eq!(names, ["sg-app", "sg-front", "sg-idle"]);
    let app = &got.groups["sg-app"];
    assert_eq!(app.members, [ip("10.0.1.5"), ip("10.0.1.6")]);
    let peers: Vec<_> = app.ingress.iter().map(|rule| (rule.protocol, rule.peer.clone())).collect();
    let front = Peer::Members(SecurityGroupId::from("sg-front"));
    let range = Peer::Range(cidr("192.0.2.0/24"));
    assert_eq!(peers, [(Protocol::Tcp(80, 80), front), (Protocol::Tcp(22, 22), range)]);
    assert_eq!(app.egress.len(), 1);
    assert_eq!(got.groups["sg-front"].members, [ip("10.0.2.5")]);
    assert!(got.groups["sg-idle"].members.is_empty() && got.groups["sg-idle"].ingress.is_empty());
}

/// A flow log of a VPC, a subnet or an interface names the interfaces that it is about.
#[test]
fn flow_logs() {
    for (resource, traffic, expected) in [
        (VPC, "ALL", Some((&["eni-1", "eni-2"][..], true, true))),
        ("subnet-a", "ACCEPT", Some((&["eni-1"], true, false))),
        ("eni-2", "REJECT", Some((&["eni-2"], false, true))),
        ("vpc-other", "ALL", None),
    ] {
        let got = plan(|tx| {
            tx.put(interface("eni-1", "subnet-a", "10.0.1.5"));
            tx.put(interface("eni-2", "subnet-b", "10.0.2.5"));
            tx.put(FlowLog {
                id: "fl-1".to_string(),
                resource: resource.to_string(),
                traffic: traffic.to_string(),
                destination_type: "cloud-watch-logs".to_string(),
                destination: None,
                log_group: Some("flows".to_string()),
                role_arn: None,
                interval_secs: 60,
                created_at: START,
                client_token: None,
                tags: Tags::new(),
            });
        });
        let expected = expected.map(|(interfaces, accepted, rejected)| FlowLogPlan {
            id: "fl-1".to_string(),
            interfaces: interfaces.iter().map(ToString::to_string).collect(),
            accepted,
            rejected,
            interval_secs: 60,
        });
        assert_eq!(got.flow_logs, expected.into_iter().collect::<Vec<_>>(), "{resource}");
    }
}

/// Name servers and search domain by the VPC's DHCP options.
#[test]
fn dhcp_options() {
    for (options, expected) in [
        (None, (vec![], "ec2.internal")),
        (Some(vec![("domain-name-servers", vec!["AmazonProvidedDNS"])]), (vec![], "")),
        (
            Some(vec![("domain-name-servers", vec!["10.0.0.9", "192.0.2.1"]), ("domain-name", vec!["example.org"])]),
            (vec!["10.0.0.9", "192.0.2.1"], "example.org"),
        ),
    ] {
        let mut rig = Rig::new();
        let got = rig.tx(|tx| {
            put_vpc(tx);
            if let Some(options) = options {
                let text = |values: Vec<&str>| values.into_iter().map(str::to_string).collect();
                let options = options.into_iter().map(|(name, values)| (name.to_string(), text(values))).collect();
                tx.put(DhcpOptions { id: "dopt-1".to_string(), options, default: false, tags: Tags::new() });
                tx.update(VPC, |row: &mut Vpc| row.dhcp_options = "dopt-1".to_string());
            }
            plans::resolver_settings(&tx.view(), &VpcId::from(VPC))
        });
        let (servers, domain) = expected;
        assert_eq!(got, (servers.into_iter().map(ip).collect(), domain.to_string()));
    }
}

fn networks(step: &Step) -> Vec<Arc<NetworkPlan>> {
    let plan = |effect: &Effect| match effect {
        Effect::Network(plan) => Some(plan.clone()),
        _ => None,
    };
    step.effects.iter().filter_map(plan).collect()
}

/// A plan that names the interface comes before the launch, once; what goes ends the network.
#[test]
fn plans_come_before_launches() {
    let mut rig = Rig::new();
    let id = rig.tx(super::rounds::run_one);
    let step = rig.tell(Vec::new());
    let (first, launch) = (networks(&step).remove(0), Effect::Launch(Box::new(spec(&rig, &id))));
    let place = |wanted: &Effect| step.effects.iter().position(|effect| effect == wanted);
    assert!(place(&Effect::Network(first.clone())) < place(&launch) && place(&launch).is_some(), "{step:?}");
    assert_eq!(first.interfaces[0].holder, Holder::Instance(id.clone(), 0));
    rig.pass(Span::ZERO);
    assert!(networks(&rig.tell(Vec::new())).is_empty(), "nothing changed");
    let vpc = first.vpc.clone();
    rig.tx(|tx| tx.update(vpc.as_str(), |row: &mut Vpc| row.dns_support = false));
    let second = networks(&rig.tell(Vec::new())).remove(0);
    assert!(second.generation > first.generation && second.resolver.is_none());
    rig.pass(Span::ZERO);
    assert_eq!(rig.engine.state().seen.networks[&vpc], (second.generation, String::new()));
    rig.tx(|tx| {
        let row = tx.get::<Instance>(id.as_str()).expect("a row");
        crate::instances::end(tx, &row, "Client.UserInitiatedShutdown", "");
    });
    rig.tell(Vec::new());
    let step = rig.tell(vec![Fact::Host(HostFact::Removed { instance: id })]);
    assert!(step.effects.contains(&Effect::EndNetwork { vpc }), "{step:?}");
    assert!(rig.engine.state().seen.networks.is_empty());
}

fn spec(rig: &Rig, id: &InstanceId) -> elastane_domain::machine::LaunchSpec {
    let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
    let row = rig.get::<Instance>(id.as_str()).expect("a row");
    let spec = crate::launch::spec(&view, &row).expect("its subnet is there");
    elastane_domain::machine::LaunchSpec { cpu_millicores: crate::launch::millicores("t3.micro", 50), ..spec }
}

/// A plan that is not in force as a whole is issued again after a while; a restart issues all anew, as later ones.
#[test]
fn plans_are_repeated() {
    let mut rig = Rig::new();
    rig.tx(super::rounds::run_one);
    let plan = networks(&rig.tell(Vec::new())).remove(0);
    let (vpc, generation) = (plan.vpc.clone(), plan.generation);
    let told = |problem: &str| Fact::Host(HostFact::Network { vpc: vpc.clone(), generation, problem: problem.into() });
    let step = rig.tell(vec![told("nft says no")]);
    assert!(networks(&step).is_empty());
    rig.now += Span::from_mins(11);
    assert_eq!(networks(&rig.tell(Vec::new())), std::slice::from_ref(&plan));
    rig.tell(vec![told("")]);
    rig.now += Span::from_mins(11);
    assert!(networks(&rig.tell(Vec::new())).is_empty());
    let rows = rig.stored.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    rig.engine = Engine::open(Config::default(), 8, rows).expect("a store");
    let step = rig.tell(vec![Fact::Host(HostFact::Inventory(Vec::new())), told("")]);
    let again = networks(&step).remove(0);
    assert!(again.generation > generation);
    assert_eq!(NetworkPlan { generation, ..(*again).clone() }, *plan);
    assert!(rig.engine.state().seen.networks.is_empty(), "the fact was about another daemon's plan");
}

/// A NAT gateway is available at once where nobody lives, and with its plan elsewhere; a deleted one frees what it had.
#[test]
fn nat_gateways() {
    let mut rig = Rig::new();
    let phase = |rig: &Rig| rig.get::<NatGateway>("nat-1").expect("a row").phase;
    rig.tx(|tx| {
        put_vpc(tx);
        put_nat(tx, "subnet-a", true, NatGatewayPhase::Pending);
    });
    rig.tell(Vec::new());
    assert_eq!(phase(&rig), NatGatewayPhase::Available);
    let id = rig.tx(super::rounds::run_one);
    rig.tx(|tx| {
        let attachment = attached(id.as_str());
        tx.put(NetworkInterface { attachment, ..interface("eni-1", "subnet-a", "10.0.1.5") });
        tx.update("nat-1", |row: &mut NatGateway| row.phase = NatGatewayPhase::Pending);
    });
    rig.tell(Vec::new());
    assert_eq!(phase(&rig), NatGatewayPhase::Pending);
    rig.pass(Span::ZERO);
    assert_eq!(phase(&rig), NatGatewayPhase::Available);
    rig.tx(|tx| tx.update("nat-1", |row: &mut NatGateway| row.phase = NatGatewayPhase::Deleting));
    rig.pass(Span::ZERO);
    assert_eq!(phase(&rig), NatGatewayPhase::Deleted { at: rig.now });
    assert!(rig.get::<NetworkInterface>("eni-nat").is_none());
    assert_eq!(rig.all::<Address>()[0].association, None);
    rig.pass(Span::from_mins(60));
    assert!(rig.get::<NatGateway>("nat-1").is_none());
}

/// A stop takes the public address and a start brings another; the private one and Elastic IPs stay.
#[test]
fn addresses_over_a_stop() {
    let mut rig = Rig::new();
    let id = rig.tx(super::rounds::run_one);
    rig.pass(Span::ZERO);
    let shown = |rig: &Rig| {
        let view = rig.engine.view(&rig.scope, rig.now).expect("a scope");
        let row = rig.get::<Instance>(id.as_str()).expect("a row");
        let interface = network::primary_interface(&view, &row).expect("it lives");
        (interface.primary(), network::public_ip(&view, interface, interface.primary()))
    };
    let (private, first) = shown(&rig);
    assert!(first.is_some());
    rig.tx(|tx| crate::instances::stop(tx, &id, "Client.UserInitiatedShutdown", ""));
    rig.pass(Span::ZERO);
    assert_eq!(shown(&rig), (private, None));
    rig.tx(|tx| crate::instances::start(tx, &id));
    let step = rig.tell(Vec::new());
    let (still, second) = shown(&rig);
    assert!(still == private && second.is_some() && second != first, "{first:?} {second:?}");
    assert_eq!(networks(&step)[0].interfaces[0].public, [(private, second.expect("there is one"))]);
    assert_eq!(rig.get::<Instance>(id.as_str()).expect("a row").generation, elastane_domain::machine::Generation(2));
}
