"""Load balancers of both kinds that clients reach over IPv6: with privileges at addresses of their own, without at ::1."""

import http.client
import ipaddress
import json
import socket
import struct

import botocore.exceptions
import pytest

import elastane
from elastane import until

SETUPS = [elastane.SANDBOX_ROOT, elastane.SANDBOX_USER, elastane.PROCESS_USER]
TIME_SCALE = 20
PORT = 8080
# An odd port that anybody may have.
FRONT = 8097
FLOWS = 8098
AAAA = 28
# Says what a request looked like when it arrived.
MIRROR = f"""#!/bin/sh
cat > "$ELASTANE_ROOT/mirror.py" <<'END'
import http.server, json, os, socketserver
class Mirror(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored):
        pass
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        # Without the base class's look-up of our own name, which may wait for a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
Server((os.environ["ELASTANE_LOCAL_IPV4"], {PORT}), Mirror).serve_forever()
END
nohup /usr/bin/python3 "$ELASTANE_ROOT/mirror.py" > "$ELASTANE_ROOT/mirror.log" 2>&1 < /dev/null &
"""


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


class Fronts:
    """One instance behind an application and a network load balancer, both dualstack."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.lb, self.ec2 = daemon.client("elbv2"), daemon.client("ec2")
        vpc = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = [one["SubnetId"] for one in self.ec2.describe_subnets()["Subnets"]]
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        security = self.ec2.create_security_group(GroupName="web", Description="all of TCP")["GroupId"]
        self.ec2.authorize_security_group_ingress(
            GroupId=security, IpProtocol="tcp", FromPort=1, ToPort=65535, CidrIp="0.0.0.0/0"
        )
        instance = self.ec2.run_instances(
            ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SecurityGroupIds=[security], UserData=MIRROR
        )["Instances"][0]["InstanceId"]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[instance])
        self.arns = {}
        for name, kind, protocol, port in [("web", "application", "HTTP", FRONT), ("flows", "network", "TCP", FLOWS)]:
            made = self.lb.create_load_balancer(Name=name, Type=kind, Subnets=subnets, IpAddressType="dualstack")
            self.arns[name] = made["LoadBalancers"][0]["LoadBalancerArn"]
            assert made["LoadBalancers"][0]["IpAddressType"] == "dualstack"
            group = self.lb.create_target_group(
                Name=name, Protocol=protocol, Port=PORT, VpcId=vpc, HealthyThresholdCount=2, HealthCheckIntervalSeconds=10
            )["TargetGroups"][0]["TargetGroupArn"]
            # The one target may be in any zone.
            self.lb.modify_target_group_attributes(
                TargetGroupArn=group,
                Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}] if kind == "network" else
                [{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}],
            )
            self.lb.create_listener(
                LoadBalancerArn=self.arns[name], Protocol=protocol, Port=port,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
            )
            self.lb.register_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
            self.lb.get_waiter("target_in_service").wait(
                TargetGroupArn=group, Targets=[{"Id": instance}], WaiterConfig={"Delay": 1, "MaxAttempts": 90}
            )

    def view(self, name):
        return next(one for one in json.loads(self.daemon.run("lb", "list", "--json").stdout) if one["name"] == name)

    def addresses(self, name):
        """IPv6 addresses of the nodes."""
        return [node["ipv6_address"] for node in self.view(name)["nodes"] if node["ipv6_address"]]

    def places(self, name):
        """Where the listener is, over IPv6."""
        def told():
            bound = self.view(name)["listeners"][0]["bound"]
            return [place for place in bound if place.startswith("[")]

        found = until(told, 30, f"{name} to listen over IPv6")
        return [(place[1:place.index("]")], int(place.rsplit(":", 1)[1])) for place in found]


@pytest.fixture(scope="module")
def fronts(daemon):
    return Fronts(daemon)


def get(place, path="/", headers=None):
    """Status, what the target saw, and our own end."""
    connection = http.client.HTTPConnection(*place, timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        ours = connection.sock.getsockname()
        answer = connection.getresponse()
        body = answer.read()
        return answer, body, ours
    finally:
        connection.close()


def asked(daemon, name, kind):
    """Addresses that the name server answers."""
    host, port = daemon.status()["daemon"]["dns"].rsplit(":", 1)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.sendto(question, (host, int(port)))
        reply = udp.recv(512)
    count, size = struct.unpack(">H", reply[6:8])[0], 28 if kind == AAAA else 16
    records = [reply[len(question) + size * one:][:size] for one in range(count)]
    return sorted(str(ipaddress.ip_address(record[12:])) for record in records)


def test_where_nodes_are(daemon, setup, fronts):
    for name in fronts.arns:
        places, addresses = fronts.places(name), fronts.addresses(name)
        if setup is elastane.SANDBOX_ROOT:
            # A node in each zone has one of its own, on the very port.
            assert len(set(addresses)) == 3 and all(ipaddress.ip_address(one).is_private for one in addresses)
            assert sorted(places) == sorted((address, FRONT if name == "web" else FLOWS) for address in addresses)
        else:
            assert addresses == ["::1"] and [place[0] for place in places] == ["::1"]
    notes = " ".join(daemon.status()["daemon"]["driver_notes"])
    assert "dualstack" in notes, notes


def test_requests_over_ipv6(daemon, fronts):
    for place in fronts.places("web"):
        answer, body, ours = get(place)
        assert answer.status == 200
        seen = json.loads(body)
        assert seen["X-Forwarded-For"] == ours[0] and ":" in ours[0]
        assert seen["Host"] == f"[{place[0]}]:{place[1]}" or seen["Host"].startswith(f"[{place[0]}]")
    fronts.lb.modify_load_balancer_attributes(
        LoadBalancerArn=fronts.arns["web"],
        Attributes=[{"Key": "routing.http.xff_client_port.enabled", "Value": "true"}],
    )

    def with_port():
        _, body, ours = get(place)
        return json.loads(body)["X-Forwarded-For"] == f"[{ours[0]}]:{ours[1]}"

    until(with_port, 20, "the client's port in X-Forwarded-For")


def test_rules_know_ipv6(daemon, fronts):
    place = fronts.places("web")[0]
    listener = fronts.lb.describe_listeners(LoadBalancerArn=fronts.arns["web"])["Listeners"][0]["ListenerArn"]
    ours = get(place)[2][0]
    for priority, cidr, path in [(1, "2001:db8::/32", "elsewhere"), (2, f"{ours}/128", "here")]:
        fronts.lb.create_rule(
            ListenerArn=listener, Priority=priority,
            Conditions=[
                {"Field": "source-ip", "SourceIpConfig": {"Values": [cidr]}},
                {"Field": "path-pattern", "Values": ["/move"]},
            ],
            Actions=[{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_302", "Path": f"/{path}"}}],
        )

    def moved():
        answer = get(place, "/move")[0]
        return answer.status == 302 and answer.getheader("Location")

    location = until(moved, 20, "the rule to be in force")
    assert location == f"http://[{place[0]}]:{FRONT}/here"
    told = daemon.run("lb", "explain", f"http://[{place[0]}]:{place[1]}/move", "--source", ours).stdout
    assert "=> 2" in told, told


def test_flows_over_ipv6(daemon, fronts):
    for place in fronts.places("flows"):
        answer, body, _ = get(place)
        assert answer.status == 200 and json.loads(body)["Host"] == f"[{place[0]}]:{place[1]}"


def test_names_have_both_kinds_of_addresses(daemon, setup, fronts):
    for name in fronts.arns:
        host, nodes = fronts.view(name)["dns_name"], fronts.view(name)["nodes"]
        # A zone of a network load balancer without a target of its own is not in DNS.
        nodes = [node for node in nodes if node["in_dns"]]
        assert asked(daemon, host, 1) == sorted(node["address"] for node in nodes)
        six = asked(daemon, host, AAAA)
        if setup is elastane.SANDBOX_ROOT:
            assert six == sorted(node["ipv6_address"] for node in nodes) != []
            assert asked(daemon, f"{nodes[0]['zone']}.{host}", AAAA) == [nodes[0]["ipv6_address"]]
        else:
            # The first node has it; and only where the port that clients know is this load balancer's there.
            port = fronts.places(name)[0][1]
            is_told = nodes[0]["ipv6_address"] == "::1" and port == (FRONT if name == "web" else FLOWS)
            assert six == (["::1"] if is_told else [])


def test_counted(daemon, fronts):
    get(fronts.places("web")[0])
    seen = until(lambda: "ipv6" in daemon.run("lb", "metrics").stdout and daemon.run("lb", "metrics").stdout, 20, "metrics")
    counts = [line for line in seen.splitlines() if "ipv6" in line]
    assert any(float(line.rsplit(" ", 1)[1]) >= 1 for line in counts), counts


def test_ipv4_again_and_back(daemon, setup, fronts):
    before = fronts.places("web")
    fronts.lb.set_ip_address_type(LoadBalancerArn=fronts.arns["web"], IpAddressType="ipv4")
    until(lambda: not fronts.addresses("web"), 20, "no IPv6 address")

    def refused():
        try:
            socket.create_connection(before[0], timeout=5).close()
        except OSError:
            return True
        return False

    until(refused, 20, "nobody to listen")
    host = fronts.view("web")["dns_name"]
    assert asked(daemon, host, AAAA) == [] and asked(daemon, host, 1) != []
    four = next(place for place in fronts.view("web")["listeners"][0]["bound"] if not place.startswith("["))
    assert get((four.rsplit(":", 1)[0], int(four.rsplit(":", 1)[1])))[0].status == 200
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        fronts.lb.set_ip_address_type(LoadBalancerArn=fronts.arns["web"], IpAddressType="ipv6")
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    fronts.lb.set_ip_address_type(LoadBalancerArn=fronts.arns["web"], IpAddressType="dualstack")
    assert get(fronts.places("web")[0])[0].status == 200


def routes(daemon):
    """This installation's IPv6 routes."""
    prefix = elastane.ipv6_prefix(daemon.data)
    with open("/proc/net/ipv6_route") as lines:
        return [line.split()[0] for line in lines if line.startswith(prefix)]


def test_the_route_goes_with_the_last_of_them(daemon, setup, fronts):
    assert len(routes(daemon)) == (1 if setup is elastane.SANDBOX_ROOT else 0)
    # It outlives the daemon as the data plane does.
    place = fronts.places("web")[0]
    daemon.kill()
    assert get(place)[0].status == 200
    daemon.start()
    until(lambda: daemon.status()["load_balancers"], 30, "the daemon to know its load balancers")
    assert len(routes(daemon)) == (1 if setup is elastane.SANDBOX_ROOT else 0)
    # A new process takes the sockets over.
    daemon.run("lb", "upgrade-proxy")
    assert get(place)[0].status == 200
    for arn in fronts.arns.values():
        daemon.client("elbv2").delete_load_balancer(LoadBalancerArn=arn)
    until(lambda: not routes(daemon), 20, "no route")
