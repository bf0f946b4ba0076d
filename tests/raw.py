"""Requests written by hand: SigV4 through botocore's signer, bodies and headers as the test wants them."""

import json
import re
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# Signing name, headers and a form of body for one operation of each protocol that the daemon speaks.
FORM = "application/x-www-form-urlencoded; charset=utf-8"
PROTOCOLS = {
    "ec2": ("ec2", {"Content-Type": FORM}, b"Action=DescribeInstances&Version=2016-11-15"),
    "query": ("autoscaling", {"Content-Type": FORM}, b"Action=DescribeAutoScalingGroups&Version=2011-01-01"),
    "json-1.1": (
        "ssm", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.ListCommands"}, b"{}",
    ),
    "json-1.0": (
        "monitoring",
        {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics"},
        b"{}",
    ),
    "cbor": (
        "monitoring",
        {"Content-Type": "application/cbor", "Accept": "application/cbor", "smithy-protocol": "rpc-v2-cbor"},
        b"\xa0",
    ),
}
PATHS = {"cbor": "/service/GraniteServiceVersion20100801/operation/ListMetrics"}


def send(daemon, service, headers, body, path="/", key=None, secret=None, region=None, sign=True, tamper=None):
    """Signs and sends; (status, headers, body). `tamper` changes the signed headers before they go out."""
    request = AWSRequest("POST", daemon.url + path, data=body, headers=dict(headers))
    if sign:
        credentials = Credentials(
            key or daemon.exports["AWS_ACCESS_KEY_ID"], secret or daemon.exports["AWS_SECRET_ACCESS_KEY"]
        )
        SigV4Auth(credentials, service, region or daemon.exports["AWS_DEFAULT_REGION"]).add_auth(request)
    signed = dict(request.headers)
    if tamper:
        tamper(signed)
    outgoing = urllib.request.Request(daemon.url + path, data=body, headers=signed, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(outgoing, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def send_as(daemon, protocol, body=None, **changes):
    """The sample operation of a protocol, with another body or other ways of sending."""
    service, headers, sample = PROTOCOLS[protocol]
    return send(daemon, service, headers, sample if body is None else body, path=PATHS.get(protocol, "/"), **changes)


def error_code(protocol, body):
    """The error's code in an answer of `protocol`, without the name space that it may have."""
    if protocol.startswith("json"):
        return json.loads(body)["__type"].split("#")[-1]
    if protocol == "cbor":
        # A text string of CBOR: its length in the head's low bits, or in the byte after a head of 0x78.
        rest = body.split(b"f__type", 1)[1]
        start, length = (2, rest[1]) if rest[0] == 0x78 else (1, rest[0] & 0x1F)
        return rest[start : start + length].decode().split("#")[-1]
    outer = r"<Response[^>]*><Errors><Error>" if protocol == "ec2" else r"<Error>"
    found = re.search(outer + r".*?<Code>([\w.]+)</Code>", body.decode(errors="replace"), re.DOTALL)
    assert found, (protocol, body)
    return found[1]
