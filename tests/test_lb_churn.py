"""A load balancer under load while everything around it changes: not one request may fail. Each test makes
ELASTANE_CHURN_REQUESTS requests, or a number that fits CI; the program that makes them repeats nothing."""

import gzip
import os
import re
import subprocess
import time

import pytest

import elastane
from elastane import until
from fleet import EACH, Fleet, forward, load

SETUPS = [elastane.PROCESS_USER]
# The deregistration delay of 300 s passes in five.
TIME_SCALE = 60
REQUESTS = int(os.environ.get("ELASTANE_CHURN_REQUESTS", 20_000))
CONNECTIONS = 32
TARGETS = 6
PAUSE_S = 0.1
# Of a line of the access log.
FIELDS = 34


@pytest.fixture(scope="module")
def fleet(daemon):
    return Fleet(daemon)


@pytest.fixture(scope="module")
def web(fleet):
    """Two target groups behind one load balancer, and where its HTTP listener is."""
    fleet.instances = fleet.launch(TARGETS)
    half = TARGETS // 2
    fleet.blue = fleet.target_group("blue", fleet.instances[:half])
    fleet.green = fleet.target_group("green", fleet.instances[half:])
    fleet.balancer = fleet.load_balancer("web")
    fleet.front = fleet.listener(fleet.balancer, forward(fleet.blue, fleet.green))
    fleet.healthy(fleet.blue, half)
    fleet.healthy(fleet.green, TARGETS - half)
    fleet.url = fleet.urls("web")[0]
    return fleet


def none_failed(running, rounds):
    report = running.report()
    print(f"{report} in {rounds} rounds of change")
    assert report["requests"] == REQUESTS and report["connections"] >= REQUESTS // EACH
    assert report["failed"] == 0, report
    assert rounds > 0
    return report


def change_until_done(running, change):
    rounds = 0
    while not running.done():
        change(rounds)
        rounds += 1
        time.sleep(PAUSE_S)
    return rounds


def test_targets_come_and_go(web):
    def change(round):
        one = web.instances[round % (TARGETS // 2)]
        web.deregister(web.blue, [one])
        time.sleep(PAUSE_S)
        web.register(web.blue, [one])

    with load(web.url, REQUESTS, CONNECTIONS) as running:
        rounds = change_until_done(running, change)
        none_failed(running, rounds)
    web.healthy(web.blue, TARGETS // 2)


def test_rules_and_weights_change(web):
    made = []

    def change(round):
        web.lb.modify_listener(
            ListenerArn=web.front, DefaultActions=forward(web.blue, web.green, weights=[round % 3, 2])
        )
        if made:
            web.lb.delete_rule(RuleArn=made.pop())
        else:
            made.append(web.lb.create_rule(
                ListenerArn=web.front, Priority=1 + round % 100, Actions=forward(web.green),
                Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a*"]}}],
            )["Rules"][0]["RuleArn"])

    with load(web.url + "/abc", REQUESTS, CONNECTIONS) as running:
        rounds = change_until_done(running, change)
        none_failed(running, rounds)
    for rule in made:
        web.lb.delete_rule(RuleArn=rule)


def test_the_daemon_is_killed(web):
    with load(web.url, REQUESTS, CONNECTIONS) as running:
        kills = 0
        while not running.done():
            web.daemon.kill()
            time.sleep(PAUSE_S)
            web.daemon.start()
            kills += 1
            time.sleep(1)
        none_failed(running, kills)
    web.ec2, web.lb = web.daemon.client("ec2"), web.daemon.client("elbv2")
    web.healthy(web.blue, TARGETS // 2)


def test_the_proxy_is_upgraded(web):
    with load(web.url, REQUESTS, CONNECTIONS) as running:
        upgrades = 0
        while not running.done():
            web.daemon.run("lb", "upgrade-proxy")
            upgrades += 1
            time.sleep(0.5)
        none_failed(running, upgrades)
    web.healthy(web.blue, TARGETS // 2)


def self_signed(folder, name):
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-keyout", key, "-out", certificate, "-subj", f"/CN={name}.example.com", "-addext",
         f"subjectAltName=DNS:{name}.example.com"],
        check=True, capture_output=True,
    )
    return {"Certificate": certificate.read_bytes(), "PrivateKey": key.read_bytes()}


def test_certificates_change(web, tmp_path):
    acm = web.daemon.client("acm")
    pairs = [self_signed(tmp_path, name) for name in ("one", "two")]
    arns = [acm.import_certificate(**pair)["CertificateArn"] for pair in pairs]
    front = web.listener(
        web.balancer, forward(web.blue), port=443, Protocol="HTTPS", Certificates=[{"CertificateArn": arns[0]}]
    )
    url = web.urls("web", "https")[0]

    def change(round):
        acm.import_certificate(CertificateArn=arns[round % 2], **pairs[(round // 2) % 2])
        web.lb.modify_listener(ListenerArn=front, Certificates=[{"CertificateArn": arns[(round + 1) % 2]}])

    with load(url, REQUESTS, CONNECTIONS) as running:
        rounds = change_until_done(running, change)
        none_failed(running, rounds)
    web.lb.delete_listener(ListenerArn=front)


def test_a_target_is_killed(web):
    """Only what is in flight at the target may fail, and what may be repeated is."""
    victim = web.instances[0]
    read = 'cat "$ELASTANE_ROOT/pid"'
    pid = int(web.daemon.shell([victim], read)[victim])
    with load(web.url, REQUESTS, CONNECTIONS) as running:
        time.sleep(0.5)
        os.kill(pid, 9)
        report = running.report()
    print(report)
    assert report["requests"] == REQUESTS
    assert report["failed"] <= CONNECTIONS, report
    assert set(report["kinds"]) <= {"status 502", "status 502, kept connection"}, report


def logged(folder):
    """The lines of all access logs below `folder`, once their time is over and they are packed."""
    until(lambda: not list(folder.rglob("*.log")), 30, "the logs to be packed")
    return [line for path in folder.rglob("*.log.gz") for line in gzip.decompress(path.read_bytes()).splitlines(True)]


def await_logging(web):
    """Returns once every data thread has learned that the log is on: all requests of one round are in it."""
    rounds = []

    def all_logged():
        rounds.append(f"/first-{len(rounds)} HTTP/1.1".encode())
        with load(f"{web.url}/first-{len(rounds) - 1}", CONNECTIONS, CONNECTIONS) as running:
            assert running.report()["failed"] == 0
        written = b"".join(path.read_bytes() for path in (web.daemon.data / "logs").rglob("*.log"))
        return any(written.count(request) == CONNECTIONS for request in rounds)

    until(all_logged, 30, "every data thread to log")


def test_upgrades_lose_no_line_of_the_access_log(web):
    """Every process writes files of its own: lines are whole, and one for each request."""
    settings = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "churn"}
    set_attributes = lambda pairs: web.lb.modify_load_balancer_attributes(
        LoadBalancerArn=web.balancer, Attributes=[{"Key": key, "Value": value} for key, value in pairs.items()]
    )
    set_attributes(settings)
    await_logging(web)
    with load(web.url + "/logged", REQUESTS, CONNECTIONS) as running:
        upgrades = 0
        while not running.done():
            web.daemon.run("lb", "upgrade-proxy")
            upgrades += 1
            time.sleep(0.5)
        none_failed(running, upgrades)
    set_attributes({"access_logs.s3.enabled": "false"})
    lines = logged(web.daemon.data / "logs")
    assert [line for line in lines if not (line.startswith(b"http ") and line.endswith(b"\n"))] == []
    assert {len(re.findall(rb'"[^"]*"|\S+', line)) for line in lines} == {FIELDS}
    assert sum(b"/logged HTTP/1.1" in line for line in lines) == REQUESTS
