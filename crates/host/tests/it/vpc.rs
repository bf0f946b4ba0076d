//! What the network cases stand on: a VPC's plan under construction, and
//! servers and callers in its instances.

use crate::cases::expect;
use crate::world::{World, spec, unique, until};
use elastane_domain::id::{SecurityGroupId, SubnetId, VpcId};
use elastane_domain::machine::{HostFact, LaunchSpec};
use elastane_domain::network::Cidr;
use elastane_domain::vpc::{
    GroupPlan, Holder, InterfacePlan, NetworkPlan, Peer, Protocol, RoutePlan, RulePlan, SubnetPlan, Via,
};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection that must fail is tried: one that succeeds takes milliseconds.
pub const REFUSAL: Duration = Duration::from_millis(700);

/// A VPC under construction: its plan and what is in it.
pub struct Net {
    pub plan: NetworkPlan,
    /// The first three bytes of its public addresses.
    public: [u8; 3],
}

pub fn range(text: &str) -> Cidr {
    text.parse().expect("a range")
}

pub fn rule(protocol: Protocol, peer: Peer) -> RulePlan {
    RulePlan { protocol, peer }
}

pub fn anyone() -> Peer {
    Peer::Range(range("0.0.0.0/0"))
}

pub fn group(name: &str) -> SecurityGroupId {
    SecurityGroupId::from(format!("sg-{name}"))
}

impl Net {
    /// A VPC 10.9.0.0/16 with two subnets; the group `open` allows all.
    pub fn new() -> Net {
        let number = unique();
        let vpc = VpcId::from(format!("vpc-{:017x}", u64::from(std::process::id()) << 20 | u64::from(number)));
        let mut plan = NetworkPlan::empty(vpc);
        plan.cidrs = vec![range("10.9.0.0/16")];
        plan.resolver = Some(Ipv4Addr::new(10, 9, 0, 2));
        for (id, cidr) in [("subnet-a", "10.9.0.0/24"), ("subnet-b", "10.9.1.0/24")] {
            plan.subnets.push(SubnetPlan { id: SubnetId::from(id), cidr: range(cidr), cut: false, routes: Vec::new() });
        }
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let mut net = Net { plan, public: [198, 19, high.wrapping_mul(7) ^ low.wrapping_add(number as u8)] };
        net.group("open", vec![rule(Protocol::All, anyone())], vec![rule(Protocol::All, anyone())]);
        net
    }

    pub fn group(&mut self, name: &str, ingress: Vec<RulePlan>, egress: Vec<RulePlan>) {
        let members = self.plan.groups.get(&group(name)).map(|group| group.members.clone()).unwrap_or_default();
        self.plan.groups.insert(group(name), GroupPlan { ingress, egress, members });
    }

    /// An interface in a subnet (0 or 1) with the address of this last byte.
    pub fn interface(&mut self, holder: Holder, subnet: u8, last: u8, groups: &[&str]) -> String {
        let id = format!("eni-{:017x}", u64::from(std::process::id()) << 20 | u64::from(unique()));
        let address = Ipv4Addr::new(10, 9, subnet, last);
        for name in groups {
            self.plan.groups.get_mut(&group(name)).expect("the group is made first").members.push(address);
        }
        self.plan.interfaces.push(InterfacePlan {
            id: id.clone(),
            subnet: self.plan.subnets[usize::from(subnet)].id.clone(),
            addresses: vec![address],
            public: Vec::new(),
            holder,
            groups: groups.iter().map(|name| group(name)).collect(),
            source_dest_check: true,
        });
        id
    }

    /// The launch of an instance with an interface in the plan.
    pub fn instance(&mut self, subnet: u8, last: u8, groups: &[&str]) -> LaunchSpec {
        let mut launch = spec("");
        launch.vpc = self.plan.vpc.clone();
        launch.private_ip = Ipv4Addr::new(10, 9, subnet, last);
        launch.subnet_cidr = (Ipv4Addr::new(10, 9, subnet, 0), 24);
        launch.hostname = format!("ip-10-9-{subnet}-{last}");
        self.interface(Holder::Instance(launch.instance.clone(), 0), subnet, last, groups);
        launch
    }

    pub fn of(&mut self, spec: &LaunchSpec) -> &mut InterfacePlan {
        let holder = Holder::Instance(spec.instance.clone(), 0);
        self.plan.interfaces.iter_mut().find(|interface| interface.holder == holder).expect("it is in the plan")
    }

    pub fn public(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.public;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Gives an instance a public address.
    pub fn publish(&mut self, spec: &LaunchSpec, last: u8) -> Ipv4Addr {
        let (private, public) = (spec.private_ip, self.public(last));
        self.of(spec).public = vec![(private, public)];
        public
    }

    pub fn route(&mut self, subnet: usize, destination: &str, via: Via) {
        let routes = &mut self.plan.subnets[subnet].routes;
        routes.retain(|route| route.destination != range(destination));
        routes.push(RoutePlan { destination: range(destination), via });
    }

    /// Sends the plan without waiting for it.
    pub fn send(&mut self, world: &World) {
        self.plan.generation += 1;
        world.host().apply_network(Arc::new(self.plan.clone()));
    }

    pub fn applied(&self, world: &World) -> Result<(), String> {
        let (id, wanted) = (&self.plan.vpc, self.plan.generation);
        let problem = world.wait("Network", |fact| match fact {
            HostFact::Network { vpc, generation, problem } if vpc == id && *generation == wanted => {
                Some(problem.clone())
            }
            _ => None,
        })?;
        expect(problem.is_empty(), || format!("the plan is not in force: {problem}"))
    }

    pub fn apply(&mut self, world: &World) -> Result<(), String> {
        self.send(world);
        self.applied(world)
    }

    /// Removes the instances and the network, and waits for its end.
    pub fn end(self, world: &World, instances: &[&LaunchSpec]) -> Result<(), String> {
        instances.iter().try_for_each(|spec| world.remove(&spec.instance))?;
        world.host().end_network(&self.plan.vpc);
        let path = world.data.join("vpcs").join(format!("{}.json", self.plan.vpc));
        until("the end of the network", || (!path.exists()).then_some(()))
    }
}

/// Starts a server in an instance that tells callers how it sees them.
pub fn serve(world: &World, spec: &LaunchSpec, port: u16) -> Result<(), String> {
    let program = "import socket, sys, threading\n\
        s = socket.create_server((\"\", int(sys.argv[1])), reuse_port=True)\n\
        open(\"/run/ready\" + sys.argv[1], \"w\").close()\n\
        def talk(c, a):\n\
        \x20   c.sendall((a[0] + \"\\n\").encode())\n\
        \x20   while d := c.recv(100): c.sendall(d)\n\
        while True: threading.Thread(target=talk, args=s.accept(), daemon=True).start()\n";
    let script = format!(
        "cat > /run/serve.py <<'END'\n{program}END\n/usr/bin/python3 /run/serve.py {port} > /run/serve.log 2>&1 &\n\
         until test -e /run/ready{port}; do sleep 0.02; done"
    );
    world.output(&spec.instance, &script).map(drop)
}

/// One attempt: the address that the server sees, if it is reached.
pub fn call(world: &World, from: &LaunchSpec, to: Ipv4Addr, port: u16) -> Result<Option<String>, String> {
    let script = format!(
        "timeout {} bash -c 'exec 3<>/dev/tcp/{to}/{port} && head -n1 <&3' 2>/dev/null || echo",
        REFUSAL.as_secs_f32()
    );
    let seen = world.output(&from.instance, &script)?;
    Ok(Some(seen).filter(|seen| !seen.is_empty()))
}

/// Waits until a server is reached and says how it sees the caller.
pub fn reaches(world: &World, from: &LaunchSpec, to: Ipv4Addr, port: u16) -> Result<String, String> {
    until(&format!("{} reaching {to}:{port}", from.private_ip), || call(world, from, to, port).ok().flatten())
}

pub fn unreached(world: &World, from: &LaunchSpec, to: Ipv4Addr, port: u16) -> Result<(), String> {
    let seen = call(world, from, to, port)?;
    expect(seen.is_none(), || format!("{} reaches {to}:{port} and must not", from.private_ip))
}

pub fn boot_all(world: &World, specs: &[&LaunchSpec]) -> Result<(), String> {
    specs.iter().for_each(|spec| world.host().launch((*spec).clone()));
    specs.iter().try_for_each(|spec| world.booted(&spec.instance))
}

/// Runs a program in an instance's network with the rights that its own root does not have.
pub fn in_network(world: &World, spec: &LaunchSpec, words: &[&str]) -> Result<String, String> {
    let pid = world.host().pid(&spec.instance).ok_or("it does not run")?;
    let output = Command::new("nsenter")
        .args(["-t", &pid.to_string(), "-n"])
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(|err| err.to_string())?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{words:?}: {text}")) }
}
