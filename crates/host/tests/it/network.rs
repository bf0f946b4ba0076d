//! VPC networks by plan: who reaches whom, and what of it stays after changes,
//! kills and restarts. Instances serve and call over TCP; a server tells each
//! caller the address that it sees and then echoes.

use crate::cases::{Case, expect};
use crate::isolated;
use crate::vpc::{Net, REFUSAL, anyone, boot_all, group, in_network, range, reaches, rule, serve, unreached};
use crate::world::{World, unique, until};
use elastane_domain::machine::LaunchSpec;
use elastane_domain::vpc::{FlowLogPlan, Holder, Peer, Protocol, Via};
use elastane_host::Make;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

pub const CASES: [(&str, Case); 16] = [
    ("net_groups_by_range_and_by_group", groups_by_range_and_by_group),
    ("net_change_bites_and_established_goes_on", change_bites_and_established_goes_on),
    ("net_egress", egress),
    ("net_vpcs_are_apart", vpcs_are_apart),
    ("net_spoofed_sources", spoofed_sources),
    ("net_ways_out", ways_out),
    ("net_instance_forwards", instance_forwards),
    ("net_zone_outage", zone_outage),
    ("net_load_balancer", load_balancer),
    ("net_names", names),
    ("net_more_addresses_and_cards", more_addresses_and_cards),
    ("net_killed_holder", killed_holder),
    ("net_flow_logs", flow_logs),
    ("net_next_daemon", next_daemon),
    ("net_internet_if_asked", internet_if_asked),
    ("net_two_hundred", two_hundred),
];

/// Rules by range, by group, by port and by protocol; both sides' groups count.
fn groups_by_range_and_by_group(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let out = vec![rule(Protocol::All, anyone())];
    net.group("web", vec![], out.clone());
    net.group("client", vec![], out.clone());
    let server = net.instance(0, 10, &["web"]);
    let (member, neighbour) = (net.instance(0, 11, &["client"]), net.instance(1, 12, &["open"]));
    net.group(
        "web",
        vec![
            rule(Protocol::Tcp(8000, 8010), Peer::Members(group("client"))),
            rule(Protocol::Tcp(9000, 9000), Peer::Range(range("10.9.1.0/24"))),
            rule(Protocol::Icmp(Some(8), None), Peer::Range(range("10.9.1.12/32"))),
        ],
        out,
    );
    net.send(world);
    boot_all(world, &[&server, &member, &neighbour])?;
    net.applied(world)?;
    for port in [8005, 8011, 9000] {
        serve(world, &server, port)?;
    }
    let seen = reaches(world, &member, server.private_ip, 8005)?;
    expect(seen == member.private_ip.to_string(), || format!("the server sees {seen}"))?;
    reaches(world, &neighbour, server.private_ip, 9000)?;
    unreached(world, &member, server.private_ip, 8011)?;
    unreached(world, &member, server.private_ip, 9000)?;
    unreached(world, &neighbour, server.private_ip, 8005)?;
    // The server's own metadata is never filtered.
    let probe = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/";
    expect(world.output(&server.instance, probe)? == "401", || "metadata is not reachable".to_owned())?;
    in_network(world, &neighbour, &["ping", "-c", "1", "-W", "5", "10.9.0.10"]).or_else(|err| {
        match err.contains("ping") && err.contains("No such file") {
            true => Ok(String::new()),
            false => Err(err),
        }
    })?;
    net.end(world, &[&server, &member, &neighbour])
}

/// A client that keeps talking on one connection and writes down how often it was answered.
fn keep_talking(world: &World, from: &LaunchSpec, to: Ipv4Addr, port: u16) -> Result<(), String> {
    let program = format!(
        "import socket, time\n\
         s = socket.create_connection((\"{to}\", {port}), 20)\n\
         s.recv(100)\n\
         for n in range(100000):\n\
         \x20   s.sendall(b\"x\"); s.recv(100)\n\
         \x20   open(\"/run/talk\", \"w\").write(str(n + 1))\n\
         \x20   time.sleep(0.02)\n"
    );
    let script =
        format!("cat > /run/talk.py <<'END'\n{program}END\n/usr/bin/python3 /run/talk.py > /run/talk.log 2>&1 &");
    world.output(&from.instance, &script)?;
    talks_on(world, from)
}

fn talked(world: &World, from: &LaunchSpec) -> u32 {
    let text = world.output(&from.instance, "cat /run/talk 2>/dev/null; true").unwrap_or_default();
    text.parse().unwrap_or(0)
}

fn talks_on(world: &World, from: &LaunchSpec) -> Result<(), String> {
    let before = talked(world, from);
    until("answers on an open connection", || (talked(world, from) > before).then_some(()))
}

/// A rule that is taken away or added counts at once for new connections;
/// one that is open goes on through any number of changes.
fn change_bites_and_established_goes_on(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", all.clone(), all.clone());
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    keep_talking(world, &client, server.private_ip, 8000)?;
    net.group("web", vec![], all.clone());
    net.apply(world)?;
    unreached(world, &client, server.private_ip, 8000)?;
    talks_on(world, &client)?;
    net.group("web", all.clone(), vec![]);
    net.apply(world)?;
    reaches(world, &client, server.private_ip, 8000)?;
    talks_on(world, &client)?;
    net.end(world, &[&server, &client])
}

/// The sender's groups count as well, and answers need no rule.
fn egress(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    net.group("narrow", vec![], vec![rule(Protocol::Tcp(8000, 8000), Peer::Range(range("10.9.0.10/32")))]);
    let (server, client) = (net.instance(0, 10, &["open"]), net.instance(0, 11, &["narrow"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    serve(world, &server, 8001)?;
    serve(world, &client, 8000)?;
    reaches(world, &client, server.private_ip, 8000)?;
    unreached(world, &client, server.private_ip, 8001)?;
    unreached(world, &server, client.private_ip, 8000)?;
    net.end(world, &[&server, &client])
}

/// Two VPCs with one range, the same addresses in both.
fn vpcs_are_apart(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let (mut one, mut two) = (Net::new(), Net::new());
    let (server, client, other) =
        (one.instance(0, 10, &["open"]), one.instance(0, 11, &["open"]), two.instance(0, 11, &["open"]));
    one.send(world);
    two.send(world);
    boot_all(world, &[&server, &client, &other])?;
    serve(world, &server, 8000)?;
    reaches(world, &client, server.private_ip, 8000)?;
    unreached(world, &other, server.private_ip, 8000)?;
    one.end(world, &[&server, &client])?;
    two.end(world, &[&other])
}

/// Datagrams under an address that is not the sender's own do not arrive,
/// unless its interface may send for others.
fn spoofed_sources(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let (server, client) = (net.instance(0, 10, &["open"]), net.instance(0, 11, &["open"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    let program = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind((\"\", 7000))\n\
        open(\"/run/ready\", \"w\").close()\n\
        while True:\n\
        \x20   d, a = s.recvfrom(100)\n\
        \x20   open(\"/run/heard\", \"a\").write(a[0] + \" \" + d.decode() + \"\\n\")\n";
    let script = format!(
        "cat > /run/hear.py <<'END'\n{program}END\n/usr/bin/python3 /run/hear.py > /run/hear.log 2>&1 &\n\
         until test -e /run/ready; do sleep 0.02; done"
    );
    world.output(&server.instance, &script)?;
    in_network(world, &client, &["ip", "addr", "add", "10.9.0.77/32", "dev", "eth0"])?;
    let send = |source: &str, word: &str| {
        let program = format!(
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"{source}\", 0)); \
             s.sendto(b\"{word}\", (\"10.9.0.10\", 7000))"
        );
        in_network(world, &client, &["/usr/bin/python3", "-c", &program])
    };
    let heard = |what: &str| {
        until(what, || {
            world.output(&server.instance, "cat /run/heard 2>/dev/null").ok().filter(|text| text.contains(what))
        })
    };
    send("10.9.0.77", "spoofed")?;
    send("10.9.0.11", "honest")?;
    let text = heard("10.9.0.11 honest")?;
    expect(!text.contains("spoofed"), || format!("heard {text}"))?;
    net.of(&client).source_dest_check = false;
    net.apply(world)?;
    send("10.9.0.77", "forwarded")?;
    heard("10.9.0.77 forwarded")?;
    net.end(world, &[&server, &client])
}

/// Nothing leaves without a route; under a NAT gateway's address with one;
/// through an internet gateway only with a public address, under which the
/// instance is reached from other VPCs and, as root, from this machine.
fn ways_out(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let (mut net, mut outside) = (Net::new(), Net::new());
    let (public, private) = (net.instance(0, 10, &["open"]), net.instance(1, 11, &["open"]));
    let far = outside.instance(0, 10, &["open"]);
    outside.route(0, "0.0.0.0/0", Via::Internet);
    let far_public = outside.publish(&far, 20);
    outside.send(world);
    net.send(world);
    boot_all(world, &[&public, &private, &far])?;
    outside.applied(world)?;
    for server in [&public, &private, &far] {
        serve(world, server, 8000)?;
    }
    unreached(world, &private, far_public, 8000)?;
    net.route(0, "0.0.0.0/0", Via::Internet);
    net.route(1, "0.0.0.0/0", Via::Internet);
    let address = net.publish(&public, 10);
    net.apply(world)?;
    unreached(world, &private, far_public, 8000)?;
    let seen = reaches(world, &public, far_public, 8000)?;
    expect(seen == address.to_string(), || format!("seen as {seen}, not as {address}"))?;
    let seen = reaches(world, &far, address, 8000)?;
    expect(seen == far_public.to_string(), || format!("seen as {seen}, not as {far_public}"))?;
    let gateway = net.public(99);
    net.route(1, "0.0.0.0/0", Via::Nat(gateway));
    net.route(1, "198.18.0.0/16", Via::Nowhere);
    net.apply(world)?;
    let seen = reaches(world, &private, far_public, 8000)?;
    expect(seen == gateway.to_string(), || format!("seen as {seen}, not as {gateway}"))?;
    unreached(world, &far, gateway, 8000)?;
    if world.make == Make::Root {
        from_this_machine(world, &mut net, &public, address)?;
    }
    outside.end(world, &[&far])?;
    net.end(world, &[&public, &private])
}

fn from_this_machine(world: &World, net: &mut Net, public: &LaunchSpec, address: Ipv4Addr) -> Result<(), String> {
    let target = SocketAddr::from((address, 8000));
    let stream = TcpStream::connect_timeout(&target, Duration::from_secs(20)).map_err(|err| err.to_string())?;
    let mut seen = String::new();
    BufReader::new(stream).read_line(&mut seen).map_err(|err| err.to_string())?;
    expect(seen.trim() == "198.18.0.1", || format!("this machine is seen as {seen}"))?;
    let listener = std::net::TcpListener::bind("0.0.0.0:0").map_err(|err| err.to_string())?;
    let port = listener.local_addr().map_err(|err| err.to_string())?.port();
    let accepting = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, format!("{}\n", from.ip()).as_bytes()).unwrap();
    });
    let seen = reaches(world, public, Ipv4Addr::new(198, 18, 0, 1), port)?;
    accepting.join().map_err(|_| "the listener failed")?;
    expect(seen == address.to_string(), || format!("this machine sees {seen}, not {address}"))?;
    // No other address of this machine is to be reached.
    let other = std::net::TcpListener::bind("0.0.0.0:0").map_err(|err| err.to_string())?;
    let port = other.local_addr().map_err(|err| err.to_string())?.port();
    for own in own_addresses() {
        unreached(world, public, own, port)?;
    }
    // A group decides for this machine as for everybody.
    net.group("open", vec![], vec![rule(Protocol::All, anyone())]);
    net.apply(world)?;
    let refused = TcpStream::connect_timeout(&target, REFUSAL).is_err();
    net.group("open", vec![rule(Protocol::All, anyone())], vec![rule(Protocol::All, anyone())]);
    net.apply(world)?;
    expect(refused, || "this machine reaches what a group forbids".to_owned())
}

/// Addresses of this machine besides loopback and the edge.
fn own_addresses() -> Vec<Ipv4Addr> {
    let output = Command::new("ip").args(["-4", "-o", "addr"]).output().expect("ip is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.lines().filter_map(|line| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok());
    words.filter(|address: &Ipv4Addr| !address.is_loopback() && address.octets()[0] != 198).collect()
}

/// A route to an interface leads through its instance, if that may forward.
fn instance_forwards(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let (client, middle) = (net.instance(0, 10, &["open"]), net.instance(1, 11, &["open"]));
    net.route(0, "192.0.2.0/24", Via::Interface(middle.private_ip));
    net.send(world);
    boot_all(world, &[&client, &middle])?;
    serve(world, &middle, 8000)?;
    in_network(world, &middle, &["ip", "addr", "add", "192.0.2.9/32", "dev", "lo"])?;
    let beyond = Ipv4Addr::new(192, 0, 2, 9);
    unreached(world, &client, beyond, 8000)?;
    net.of(&middle).source_dest_check = false;
    net.apply(world)?;
    reaches(world, &client, beyond, 8000)?;
    net.end(world, &[&client, &middle])
}

/// A cut subnet is silent, also on connections that were open; metadata stays.
fn zone_outage(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let (server, client) = (net.instance(0, 10, &["open"]), net.instance(1, 11, &["open"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    keep_talking(world, &client, server.private_ip, 8000)?;
    net.plan.subnets[0].cut = true;
    net.apply(world)?;
    let before = talked(world, &client);
    unreached(world, &client, server.private_ip, 8000)?;
    unreached(world, &server, client.private_ip, 8000)?;
    let after = talked(world, &client);
    expect(after <= before + 1, || format!("an open connection went on: {before} to {after} answers"))?;
    let probe = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/";
    expect(world.output(&server.instance, probe)? == "401", || "metadata is not reachable".to_owned())?;
    net.plan.subnets[0].cut = false;
    net.apply(world)?;
    reaches(world, &client, server.private_ip, 8000)?;
    net.end(world, &[&server, &client])
}

/// A connection of the daemon into the VPC; whether it is accepted.
fn daemon_calls(world: &World, net: &Net, source: Option<Ipv4Addr>, to: Ipv4Addr) -> Result<Option<String>, String> {
    let socket = world.host().sockets().tcp_socket_from(&net.plan.vpc, source).map_err(|err| err.to_string())?;
    rustix::io::ioctl_fionbio(&socket, false).map_err(|err| err.to_string())?;
    let limit = rustix::net::sockopt::Timeout::Send;
    rustix::net::sockopt::set_socket_timeout(&socket, limit, Some(REFUSAL)).map_err(|err| err.to_string())?;
    if rustix::net::connect(&socket, &SocketAddrV4::new(to, 8000)).is_err() {
        return Ok(None);
    }
    let mut seen = String::new();
    BufReader::new(TcpStream::from(socket)).read_line(&mut seen).map_err(|err| err.to_string())?;
    Ok(Some(seen.trim().to_owned()))
}

/// A rule that names the load balancer's group lets it in and nobody else;
/// the balancer's own egress rules count too.
fn load_balancer(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("lb", vec![], all.clone());
    net.group("web", vec![rule(Protocol::Tcp(8000, 8000), Peer::Members(group("lb")))], all.clone());
    net.interface(Holder::LoadBalancer, 1, 50, &["lb"]);
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    let source = Some(Ipv4Addr::new(10, 9, 1, 50));
    let seen = daemon_calls(world, &net, source, server.private_ip)?;
    expect(seen.as_deref() == Some("10.9.1.50"), || format!("the balancer is seen as {seen:?}"))?;
    unreached(world, &client, server.private_ip, 8000)?;
    let seen = daemon_calls(world, &net, None, server.private_ip)?;
    expect(seen.is_none(), || format!("a connection from no interface is let in as {seen:?}"))?;
    net.group("lb", vec![], vec![]);
    net.apply(world)?;
    let seen = daemon_calls(world, &net, source, server.private_ip)?;
    expect(seen.is_none(), || "the balancer's egress rules do not count".to_owned())?;
    let elsewhere = world.host().sockets().tcp_socket_from(&net.plan.vpc, Some(Ipv4Addr::new(10, 9, 1, 51)));
    expect(elsewhere.is_err(), || "an address of nobody can be connected from".to_owned())?;
    net.end(world, &[&server, &client])
}

/// A lookup from inside an instance at one name server, in a few lines of Python.
fn look_up(world: &World, from: &LaunchSpec, server: &str, name: &str, kind: u8) -> Result<String, String> {
    let program = format!(
        "import socket, struct\n\
         q = struct.pack(\">6H\", 7, 256, 1, 0, 0, 0) + b\"\".join(bytes([len(l)]) + l.encode() for l in \"{name}\".split(\".\")) + bytes([0, 0, {kind}, 0, 1])\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect((\"{server}\", 53)); s.send(q)\n\
         try: r = s.recv(600)\n\
         except OSError: print(\"silence\"); raise SystemExit\n\
         n = struct.unpack(\">H\", r[6:8])[0]; t = r[len(q):]; found = [str(r[3] & 15)]\n\
         for _ in range(n):\n\
         \x20   size = struct.unpack(\">H\", t[10:12])[0]; d = t[12:12+size]; t = t[12+size:]\n\
         \x20   found.append(\".\".join(str(b) for b in d) if {kind} == 1 else d.decode(\"latin1\").translate({{c: 46 for c in range(32)}}))\n\
         print(\" \".join(found))\n"
    );
    world.output(&from.instance, &format!("/usr/bin/python3 - <<'END'\n{program}END"))
}

fn names(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let client = net.instance(0, 10, &["open"]);
    let balancers = vec![Ipv4Addr::new(10, 9, 0, 50), Ipv4Addr::new(10, 9, 1, 50)];
    net.plan.names.insert("lb-1.elb.example".to_owned(), balancers);
    net.send(world);
    boot_all(world, &[&client])?;
    net.applied(world)?;
    for (name, kind, want) in [
        ("ip-10-9-0-10.ec2.internal", 1, "0 10.9.0.10"),
        ("lb-1.elb.example", 1, "0 10.9.0.50 10.9.1.50"),
        ("ip-10-9-0-99.ec2.internal", 1, "3"),
        ("www.example.com", 1, "5"),
        ("10.0.9.10.in-addr.arpa", 12, "0 .ip-10-9-0-10.ec2.internal."),
        ("99.0.9.10.in-addr.arpa", 12, "3"),
        ("1.2.0.192.in-addr.arpa", 12, "5"),
    ] {
        for server in ["10.9.0.2", "169.254.169.253"] {
            let got = look_up(world, &client, server, name, kind)?;
            expect(got == want, || format!("{name} at {server}: {got}, not {want}"))?;
        }
    }
    net.plan.resolver = None;
    net.apply(world)?;
    let got = look_up(world, &client, "169.254.169.253", "ip-10-9-0-10.ec2.internal", 1)?;
    expect(got == "silence", || format!("a VPC without a resolver answers {got}"))?;
    net.end(world, &[&client])
}

/// Secondary addresses and further cards come and go on a running instance
/// and are there when it boots.
fn more_addresses_and_cards(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let (server, client) = (net.instance(0, 10, &["open"]), net.instance(0, 11, &["open"]));
    let second = Ipv4Addr::new(10, 9, 0, 20);
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    unreached(world, &client, second, 8000)?;
    net.of(&server).addresses.push(second);
    net.interface(Holder::Instance(server.instance.clone(), 1), 1, 30, &["open"]);
    net.apply(world)?;
    let card = Ipv4Addr::new(10, 9, 1, 30);
    reaches(world, &client, second, 8000)?;
    reaches(world, &client, card, 8000)?;
    let seen = world.output(&server.instance, "cat /sys/class/net/eth1/address")?;
    expect(seen == "02:00:0a:09:01:1e", || format!("hardware address {seen}"))?;
    net.of(&server).addresses.pop();
    net.plan.interfaces.retain(|interface| interface.addresses[0] != card);
    net.apply(world)?;
    unreached(world, &client, second, 8000)?;
    unreached(world, &client, card, 8000)?;
    world.output(&server.instance, "! test -e /sys/class/net/eth1")?;
    let late = net.instance(1, 40, &["open"]);
    net.of(&late).addresses.push(Ipv4Addr::new(10, 9, 1, 41));
    net.interface(Holder::Instance(late.instance.clone(), 1), 0, 42, &["open"]);
    net.send(world);
    boot_all(world, &[&late])?;
    serve(world, &late, 8000)?;
    reaches(world, &client, Ipv4Addr::new(10, 9, 1, 41), 8000)?;
    reaches(world, &client, Ipv4Addr::new(10, 9, 0, 42), 8000)?;
    net.end(world, &[&server, &client, &late])
}

fn holder(world: &World, net: &Net) -> Option<i32> {
    let text = std::fs::read(world.data.join("vpcs").join(format!("{}.json", net.plan.vpc))).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
    i32::try_from(record["pid"].as_i64()?).ok()
}

fn kill(pid: i32) -> Result<(), String> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|err| err.to_string())
}

/// The process that keeps a network may die, alone or while there is no
/// daemon: its instances have a network again, filtered as before.
fn killed_holder(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", vec![rule(Protocol::Tcp(8000, 8000), anyone())], all);
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    net.send(world);
    boot_all(world, &[&server, &client])?;
    serve(world, &server, 8000)?;
    serve(world, &server, 8001)?;
    let first = holder(world, &net).ok_or("no holder")?;
    kill(first)?;
    until("another holder", || holder(world, &net).filter(|pid| *pid != first))?;
    reaches(world, &client, server.private_ip, 8000)?;
    unreached(world, &client, server.private_ip, 8001)?;
    let second = holder(world, &net).ok_or("no holder")?;
    world.close();
    kill(second)?;
    world.reopen();
    net.apply(world)?;
    reaches(world, &client, server.private_ip, 8000)?;
    unreached(world, &client, server.private_ip, 8001)?;
    net.end(world, &[&server, &client])
}

/// Flows that passed and flows that were refused are written down per interface.
fn flow_logs(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", vec![rule(Protocol::Tcp(8000, 8000), anyone())], all);
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    let (here, there) = (net.of(&server).id.clone(), net.of(&client).id.clone());
    let log = format!("fl-{:017x}", unique());
    net.plan.flow_logs.push(FlowLogPlan {
        id: log.clone(),
        interfaces: vec![here.clone(), there.clone()],
        accepted: true,
        rejected: true,
        interval_secs: 1,
    });
    net.send(world);
    boot_all(world, &[&server, &client])?;
    net.applied(world)?;
    serve(world, &server, 8000)?;
    reaches(world, &client, server.private_ip, 8000)?;
    unreached(world, &client, server.private_ip, 8001)?;
    let path = world.data.join("flow-logs").join(format!("{log}.log"));
    let line = |id: &str, ports: &str, action: &str| {
        until(&format!("a line of {id} {ports} {action}"), || {
            let text = std::fs::read_to_string(&path).ok()?;
            let fits = |line: &&str| {
                let words: Vec<&str> = line.split(' ').collect();
                words.len() == 14
                    && words[2] == id
                    && format!("{}>{}", words[5], words[6]).ends_with(ports)
                    && words[12] == action
            };
            text.lines().find(fits).map(str::to_owned)
        })
        .map_err(|err| format!("{err}; {:?}", std::fs::read_to_string(&path)))
    };
    let accepted = line(&here, ">8000", "ACCEPT")?;
    expect(accepted.starts_with(&format!("2 000000000000 {here} 10.9.0.11 10.9.0.10 ")), || accepted.clone())?;
    let words: Vec<u64> = accepted.split(' ').skip(7).take(3).filter_map(|word| word.parse().ok()).collect();
    expect(words[0] == 6 && words[1] > 0 && words[2] >= words[1] * 40, || accepted.clone())?;
    line(&there, ">8000", "ACCEPT")?;
    line(&here, ">8001", "REJECT")?;
    line(&there, ">8001", "ACCEPT")?;
    until("an interval without flows", || {
        std::fs::read_to_string(&path)
            .ok()
            .filter(|text| text.contains(&format!("{here} - - - - - - - ")) && text.contains(" - NODATA"))
            .map(drop)
    })?;
    net.end(world, &[&server, &client])
}

/// Rules outlive a daemon, and the next one can apply the plan again.
fn next_daemon(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", vec![rule(Protocol::Tcp(8000, 8000), anyone())], all);
    let (server, client) = (net.instance(0, 10, &["web"]), net.instance(0, 11, &["open"]));
    net.of(&server).addresses.push(Ipv4Addr::new(10, 9, 0, 20));
    net.interface(Holder::Instance(server.instance.clone(), 1), 1, 30, &["web"]);
    net.route(0, "0.0.0.0/0", Via::Internet);
    net.publish(&server, 10);
    net.send(world);
    boot_all(world, &[&server, &client])?;
    net.applied(world)?;
    serve(world, &server, 8000)?;
    serve(world, &server, 8001)?;
    keep_talking(world, &client, server.private_ip, 8000)?;
    world.reopen();
    unreached(world, &client, server.private_ip, 8001)?;
    // The next engine counts its plans anew.
    net.plan.generation = 0;
    net.apply(world)?;
    talks_on(world, &client)?;
    reaches(world, &client, Ipv4Addr::new(10, 9, 0, 20), 8000)?;
    reaches(world, &client, Ipv4Addr::new(10, 9, 1, 30), 8000)?;
    unreached(world, &client, server.private_ip, 8001)?;
    net.end(world, &[&server, &client])
}

/// A network namespace beside the host's own, joined to it: the rest of the
/// world. It goes with its process.
struct Beyond(std::process::Child);

const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

impl Beyond {
    fn make(port: u16) -> Result<Beyond, String> {
        let program = format!(
            "import socket, subprocess, time\n\
             while not subprocess.run(['ip', 'link', 'set', 'far0', 'up'], capture_output=True).returncode == 0: time.sleep(0.02)\n\
             subprocess.run(['ip', 'addr', 'add', '{WORLD}/24', 'dev', 'far0'])\n\
             s = socket.create_server((\"\", {port}))\n\
             while True:\n\
             \x20   c, a = s.accept(); c.sendall((a[0] + \"\\n\").encode()); c.close()\n"
        );
        let child = Command::new("unshare").args(["-n", "/usr/bin/python3", "-c", &program]).spawn();
        let beyond = Beyond(child.map_err(|err| err.to_string())?);
        let pid = beyond.0.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").map_err(|err| err.to_string())?;
        until("a namespace", || std::fs::read_link(format!("/proc/{pid}/ns/net")).ok().filter(|other| *other != own))?;
        let near = format!("far{}", std::process::id());
        for words in [
            &["link", "add", &near, "type", "veth", "peer", "name", "far0", "netns", &pid][..],
            &["addr", "add", "198.51.100.1/24", "dev", &near],
            &["link", "set", &near, "up"],
        ] {
            let done = Command::new("ip").args(words).status().map_err(|err| err.to_string())?;
            expect(done.success(), || format!("ip {words:?} failed"))?;
        }
        Ok(beyond)
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Only a host that is asked to leads further than this machine; what it
/// changed here is taken back when it is closed.
fn internet_if_asked(world: &mut World) -> Result<(), String> {
    if world.make != Make::Root {
        return Ok(());
    }
    let beyond = Beyond::make(8000)?;
    let forwarding = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
    let before = forwarding();
    let mut net = Net::new();
    let client = net.instance(0, 10, &["open"]);
    net.route(0, "0.0.0.0/0", Via::Internet);
    net.publish(&client, 10);
    net.send(world);
    boot_all(world, &[&client])?;
    unreached(world, &client, WORLD, 8000)?;
    expect(forwarding() == before, || "forwarding was turned on unasked".to_owned())?;
    world.reopen_with_internet(true);
    net.apply(world)?;
    let seen = reaches(world, &client, WORLD, 8000)?;
    expect(seen == "198.51.100.1", || format!("seen outside as {seen}"))?;
    let other = std::net::TcpListener::bind("0.0.0.0:0").map_err(|err| err.to_string())?;
    let port = other.local_addr().map_err(|err| err.to_string())?.port();
    for own in own_addresses() {
        unreached(world, &client, own, port)?;
    }
    world.reopen_with_internet(false);
    expect(forwarding() == before, || "forwarding is not as it was".to_owned())?;
    let tables = Command::new("nft").args(["list", "tables"]).output().map_err(|err| err.to_string())?;
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    expect(!tables.contains(&crate::world::host_link(&world.data)), || format!("tables are left: {tables}"))?;
    net.apply(world)?;
    unreached(world, &client, WORLD, 8000)?;
    drop(beyond);
    net.end(world, &[&client])
}

/// Two hundred instances in groups of sixty rules: a change of a rule bites.
/// Prints how long that takes, asserts no time.
fn two_hundred(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut net = Net::new();
    let rules =
        |first: u16| (0..60).map(|n| rule(Protocol::Tcp(first + 2 * n, first + 2 * n), anyone())).collect::<Vec<_>>();
    for number in 0..10 {
        net.group(&format!("tier{number}"), rules(1000), rules(1000));
    }
    let all = vec![rule(Protocol::All, anyone())];
    net.group("web", all.clone(), all.clone());
    let (server, client) = (net.instance(0, 250, &["web"]), net.instance(0, 251, &["open"]));
    let mut others = Vec::new();
    for number in 0..198_u8 {
        let groups = [format!("tier{}", number % 10), format!("tier{}", number / 10 % 10)];
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        others.push(net.instance(1, number + 10, &groups));
    }
    net.send(world);
    let start = Instant::now();
    let everyone: Vec<&LaunchSpec> = others.iter().chain([&server, &client]).collect();
    boot_all(world, &everyone)?;
    let booted = start.elapsed().as_millis();
    net.applied(world)?;
    serve(world, &server, 8000)?;
    reaches(world, &client, server.private_ip, 8000)?;
    let source = None;
    let mut took = Vec::new();
    for _ in 0..5 {
        net.group("web", vec![], all.clone());
        net.apply(world)?;
        expect(daemon_calls(world, &net, source, server.private_ip)?.is_none(), || {
            "a change does not bite".to_owned()
        })?;
        net.group("web", all.clone(), all.clone());
        let start = Instant::now();
        net.apply(world)?;
        took.push(start.elapsed().as_millis());
        let seen = daemon_calls(world, &net, source, server.private_ip)?;
        expect(seen.is_some(), || "a change does not bite".to_owned())?;
    }
    println!(
        "figure  {}: 200 instances in one VPC booted after {booted} ms; a change of a rule is in force after {took:?} ms",
        world.make.name()
    );
    everyone.iter().for_each(|spec| world.host().terminate(&spec.instance));
    everyone.iter().try_for_each(|spec| world.removed(&spec.instance))?;
    net.end(world, &[])
}
