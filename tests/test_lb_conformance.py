"""What tools that nobody here wrote say of the load balancer: REDbot of its HTTP/1.1, h2spec of its HTTP/2, SSLyze of its
TLS. `cargo xtask test` installs them; where that is not possible the tests say so and are skipped."""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as tree
from pathlib import Path

import pytest

import elastane
from elastane import until
from fleet import PORT, Fleet, forward
from test_lb_churn import self_signed

SETUPS = [elastane.PROCESS_USER]
TOOL_LIMIT_S = 300
# Python's own web server, which knows conditional requests.
SERVER_PORT = 8081
# Cases of h2spec that the load balancer is known not to pass, with the reason.
H2SPEC_EXCEPTIONS = {}


def tool(name):
    folder = os.environ.get("CONFORMANCE_TOOLS")
    found = folder and (Path(folder) / name)
    if not found or not found.is_file():
        pytest.skip(f"{name} is not installed")
    return str(found)


@pytest.fixture(scope="module")
def web(daemon, tmp_path_factory):
    """A target with a file behind HTTP and HTTPS listeners."""
    fleet = Fleet(daemon)
    page = daemon.base / "site"
    page.mkdir()
    (page / "page.txt").write_text("Hello, World!\n" * 100)
    (page / "index.html").write_text("<!doctype html><title>Hello</title><p>Hello, World!\n")
    page.chmod(0o755)
    user_data = f"""#!/bin/sh
exec /usr/bin/python3 -m http.server --protocol HTTP/1.1 --bind "$ELASTANE_LOCAL_IPV4" --directory {page} {SERVER_PORT}
"""
    image = fleet.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = fleet.ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=user_data)
    fleet.instance = made["Instances"][0]["InstanceId"]
    running = lambda: fleet.ec2.describe_instances(InstanceIds=[fleet.instance])["Reservations"][0]["Instances"][0]
    until(lambda: running()["State"]["Name"] == "running", 30, "the instance to run")
    fleet.group = fleet.target_group("site", [])
    fleet.lb.register_targets(TargetGroupArn=fleet.group, Targets=[{"Id": fleet.instance, "Port": SERVER_PORT}])
    balancer = fleet.load_balancer("site")
    fleet.listener(balancer, forward(fleet.group))
    pair = self_signed(tmp_path_factory.mktemp("tls"), "site")
    certificate = daemon.client("acm").import_certificate(**pair)["CertificateArn"]
    fleet.listener(
        balancer, forward(fleet.group), port=443, Protocol="HTTPS", Certificates=[{"CertificateArn": certificate}],
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    )
    fleet.healthy(fleet.group, 1)
    fleet.plain = fleet.urls("site")[0]
    fleet.secure = fleet.urls("site", "https")[0].split("://")[1]
    read = "echo $ELASTANE_LOCAL_IPV4"
    fleet.direct = f"http://{daemon.shell([fleet.instance], read)[fleet.instance].strip()}:{SERVER_PORT}"
    return fleet


def notes(url):
    """REDbot's notes on a resource; numbers of things that move are taken out."""
    done = subprocess.run([tool("redbot"), "-o", "text", url], capture_output=True, text=True, timeout=TOOL_LIMIT_S)
    found = [line.strip() for line in done.stdout.splitlines() if line.startswith("  * ")]
    assert found, f"{done.stdout}\n{done.stderr}"
    return {re.sub(r"\d+ \w+ ago", "ago", note) for note in found}


def test_http_1_1_gains_no_fault_on_the_way(web):
    # Some notes depend on the second in which the tool asks: a fault is what it says each time.
    gained = lambda: notes(f"{web.plain}/page.txt") - notes(f"{web.direct}/page.txt")
    until(lambda: not gained(), 5, lambda: f"nothing to be said of the load balancer's answer only: {gained()}")


def test_http_2(web, tmp_path):
    host, port = web.secure.split(":")
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [tool("h2spec"), "-t", "-k", "-h", host, "-p", port, "-o", "5", "--junit-report", str(report)],
        capture_output=True, text=True, timeout=TOOL_LIMIT_S,
    )
    cases = list(tree.parse(report).iter("testcase"))
    assert len(cases) > 100, done.stdout[-2000:]
    failed = {
        f'{case.get("package")} {case.get("classname")}'
        for case in cases if case.find("failure") is not None or case.find("error") is not None
    }
    print(f"{len(cases)} cases, {len(failed)} failed")
    assert failed == set(H2SPEC_EXCEPTIONS), done.stdout[-4000:]


def test_tls(web):
    done = subprocess.run(
        [tool("sslyze"), "--mozilla_config", "disable", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--sslv3",
         "--heartbleed", "--robot", "--openssl_ccs", "--compression", "--reneg", "--resum", "--json_out", "-",
         web.secure],
        capture_output=True, text=True, timeout=TOOL_LIMIT_S,
    )
    scan = json.loads(done.stdout)["server_scan_results"][0]["scan_result"]
    accepted = {
        version: bool(scan[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"])
        for version in ("ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    assert accepted == {"ssl_3_0": False, "tls_1_0": False, "tls_1_1": False, "tls_1_2": True, "tls_1_3": True}
    assert not scan["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
    assert not scan["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"]
    assert not scan["tls_compression"]["result"]["supports_compression"]
    assert scan["robot"]["result"]["robot_result"].startswith("NOT_VULNERABLE")
    assert not scan["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]
