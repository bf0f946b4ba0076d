"""Listeners and rules as clients make, read, change and delete them."""

import pytest

from elastane import until
from test_ec2_vpc import code_of, paged
from test_elbv2_balancers import ZEROS, ec2, lb, shop, subnets, values

FIXTURES = (ec2, lb, shop, subnets)  # pytest finds them by their names here


@pytest.fixture
def web(lb, ec2, shop):
    """A target group; it goes before its load balancer's fixture does, so its listeners go first."""
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = lb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    yield made["TargetGroupArn"]
    for listener in lb.describe_listeners(LoadBalancerArn=shop)["Listeners"]:
        lb.delete_listener(ListenerArn=listener["ListenerArn"])
    lb.delete_target_group(TargetGroupArn=made["TargetGroupArn"])


@pytest.fixture
def certificates(daemon):
    acm = daemon.client("acm")
    arns = [acm.request_certificate(DomainName=f"{name}.example.com")["CertificateArn"] for name in ("one", "two")]

    def issued():
        return all(acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "ISSUED" for arn in arns)

    until(issued, 60, "the certificates to be issued")
    yield arns
    for arn in arns:
        acm.delete_certificate(CertificateArn=arn)


def forward(group):
    return [{"Type": "forward", "TargetGroupArn": group}]


def test_a_listener_from_beginning_to_end(lb, shop, web):
    made = lb.create_listener(LoadBalancerArn=shop, Protocol="HTTP", Port=80, DefaultActions=forward(web))["Listeners"]
    arn = made[0]["ListenerArn"]
    action = made[0]["DefaultActions"][0]
    assert (action["Order"], action["TargetGroupArn"]) == (1, web)
    assert action["ForwardConfig"] == {
        "TargetGroups": [{"TargetGroupArn": web, "Weight": 1}], "TargetGroupStickinessConfig": {"Enabled": False}
    }
    assert lb.describe_listeners(ListenerArns=[arn])["Listeners"] == made
    other = {"LoadBalancerArn": shop, "Protocol": "HTTP", "Port": 80}
    fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": "none"}}]
    assert code_of(lb.create_listener, **other, DefaultActions=fixed) == "DuplicateListener"
    changed = lb.modify_listener(ListenerArn=arn, Port=81, DefaultActions=fixed)["Listeners"][0]
    assert (changed["Port"], changed["DefaultActions"][0]["Type"]) == (81, "fixed-response")
    lb.delete_listener(ListenerArn=arn)
    assert code_of(lb.describe_listeners, ListenerArns=[arn]) == "ListenerNotFound"
    assert code_of(lb.delete_listener, ListenerArn=arn) == "ListenerNotFound"
    assert code_of(lb.modify_listener, ListenerArn=arn, Port=82) == "ListenerNotFound"


def test_listeners_come_in_pages(lb, shop, web):
    for port in range(8000, 8007):
        lb.create_listener(LoadBalancerArn=shop, Protocol="HTTP", Port=port, DefaultActions=forward(web))
    assert paged(lb, "describe_listeners", "Listeners", LoadBalancerArn=shop)[0] == 2


def test_listener_attributes(lb, shop, web):
    made = lb.create_listener(LoadBalancerArn=shop, Protocol="HTTP", Port=80, DefaultActions=forward(web))
    arn = made["Listeners"][0]["ListenerArn"]
    shown = values(lb.describe_listener_attributes(ListenerArn=arn)["Attributes"])
    key = "routing.http.response.server.enabled"
    changed = lb.modify_listener_attributes(ListenerArn=arn, Attributes=[{"Key": key, "Value": "false"}])["Attributes"]
    assert values(changed) == {**shown, key: "false"}


def test_https_listeners_and_their_certificates(lb, shop, web, certificates):
    one, two = certificates
    https = {"LoadBalancerArn": shop, "Protocol": "HTTPS", "Port": 443, "DefaultActions": forward(web)}
    assert code_of(lb.create_listener, **https) == "ValidationError"
    made = lb.create_listener(**https, Certificates=[{"CertificateArn": one}])["Listeners"][0]
    arn = made["ListenerArn"]
    assert made["SslPolicy"] == "ELBSecurityPolicy-2016-08" and made["MutualAuthentication"]["Mode"] == "off"
    assert made["SslPolicy"] in [row["Name"] for row in lb.describe_ssl_policies()["SslPolicies"]]
    lb.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    shown = lb.describe_listener_certificates(ListenerArn=arn)["Certificates"]
    assert {row["CertificateArn"]: row["IsDefault"] for row in shown} == {one: True, two: False}
    assert code_of(lb.remove_listener_certificates, ListenerArn=arn, Certificates=[{"CertificateArn": one}]) == (
        "OperationNotPermitted"
    )
    lb.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    changed = lb.modify_listener(ListenerArn=arn, Protocol="HTTP")["Listeners"][0]
    assert "Certificates" not in changed or changed["Certificates"] == []


def test_a_rule_from_beginning_to_end(lb, shop, web):
    made = lb.create_listener(LoadBalancerArn=shop, Protocol="HTTP", Port=80, DefaultActions=forward(web))
    listener = made["Listeners"][0]["ListenerArn"]

    def create(priority, *conditions):
        return lb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=list(conditions), Actions=forward(web)
        )["Rules"][0]

    path = {"Field": "path-pattern", "Values": ["/a/*"]}
    first, second = create(1, path), create(2, {"Field": "host-header", "HostHeaderConfig": {"Values": ["a.example.com"]}})
    shown = first["Conditions"][0]
    assert shown["Values"] == shown["PathPatternConfig"]["Values"] == ["/a/*"], "both forms"
    taken = {"ListenerArn": listener, "Priority": 1, "Conditions": [path], "Actions": forward(web)}
    assert code_of(lb.create_rule, **taken) == "PriorityInUse"
    lb.set_rule_priorities(
        RulePriorities=[{"RuleArn": first["RuleArn"], "Priority": 2}, {"RuleArn": second["RuleArn"], "Priority": 1}]
    )
    rules = lb.describe_rules(ListenerArn=listener)["Rules"]
    assert [rule["RuleArn"] for rule in rules[:2]] == [second["RuleArn"], first["RuleArn"]]
    assert (rules[2]["Priority"], rules[2]["IsDefault"]) == ("default", True)
    rewrite = [{"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/a/(.*)", "Replace": "/$1"}]}}]
    changed = lb.modify_rule(RuleArn=first["RuleArn"], Transforms=rewrite)["Rules"][0]
    assert changed["Transforms"] == rewrite and changed["Conditions"] == first["Conditions"]
    assert code_of(lb.delete_rule, RuleArn=rules[2]["RuleArn"]) == "OperationNotPermitted"
    lb.add_tags(ResourceArns=[first["RuleArn"]], Tags=[{"Key": "a", "Value": "b"}])
    assert lb.describe_tags(ResourceArns=[first["RuleArn"]])["TagDescriptions"][0]["Tags"] == [{"Key": "a", "Value": "b"}]
    lb.delete_rule(RuleArn=first["RuleArn"])
    assert code_of(lb.describe_rules, RuleArns=[first["RuleArn"]]) == "RuleNotFound"
    assert code_of(lb.modify_rule, RuleArn=listener.replace(":listener/", ":listener-rule/") + "/" + ZEROS) == (
        "RuleNotFound"
    )
    for priority in range(10, 16):
        create(priority, path)
    assert paged(lb, "describe_rules", "Rules", ListenerArn=listener)[0] == 2
