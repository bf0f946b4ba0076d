"""The API as clients see it: pages, filters, waiters, errors of every protocol, regions, CloudWatch three ways."""

import base64
import datetime

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from elastane import Daemon, until
from raw import FORM, PROTOCOLS, error_code, send, send_as

CODES = {
    # protocol: signature wrong, key unknown, operation unknown. The words are the services' own.
    "ec2": ("SignatureDoesNotMatch|AuthFailure", "AuthFailure|InvalidClientTokenId", "InvalidAction"),
    "query": ("SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidAction"),
    "json-1.1": (
        "InvalidSignatureException", "UnrecognizedClientException", "UnknownOperationException|InvalidAction",
    ),
    "json-1.0": (
        "InvalidSignatureException|SignatureDoesNotMatch", "UnrecognizedClientException|InvalidClientTokenId",
        "UnknownOperationException|InvalidAction",
    ),
    "cbor": (
        "InvalidSignatureException|SignatureDoesNotMatch", "UnrecognizedClientException|InvalidClientTokenId",
        "UnknownOperationException|InvalidAction",
    ),
}


def code_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    assert 400 <= error["ResponseMetadata"]["HTTPStatusCode"] < 500, error
    assert error["Error"]["Message"], error
    return error["Error"]["Code"]


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def image(ec2):
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


@pytest.fixture(scope="module")
def instances(ec2, image):
    """Five instances, two of them tagged as web servers."""
    run = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=5, MaxCount=5)
    ids = [instance["InstanceId"] for instance in run["Instances"]]
    ec2.create_tags(Resources=ids[:2], Tags=[{"Key": "tier", "Value": "web"}])
    ec2.create_tags(Resources=ids[2:], Tags=[{"Key": "tier", "Value": "batch"}])

    def all_run():
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return all(i["State"]["Name"] == "running" for r in found for i in r["Instances"])

    until(all_run, 60, "five instances to run")
    return ids


def listed(ec2, *filters, **arguments):
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": name, "Values": values} for name, *values in filters], **arguments
    )
    return {i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]}


def test_filters_choose(ec2, instances):
    one = instances[0]
    address = ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]["PrivateIpAddress"]
    for filters, want in [
        ([("tag:tier", "web")], instances[:2]),
        ([("tag:tier", "w*")], instances[:2]),
        ([("tag:tier", "w?b", "batch")], instances),
        ([("tag-key", "tier"), ("instance-id", one)], [one]),
        ([("private-ip-address", address)], [one]),
        ([("instance-state-name", "running")], instances),
        ([("instance-state-name", "stopped")], []),
        ([("tag:tier", "web"), ("instance-state-name", "stopped")], []),
    ]:
        assert listed(ec2, *filters) == set(want), filters


def test_an_unknown_filter_is_refused(ec2):
    assert code_of(ec2.describe_instances, Filters=[{"Name": "no-such-filter", "Values": ["x"]}]) == "InvalidParameterValue"


def test_pages_hold_everything_once(ec2, instances):
    seen, token, pages = [], {}, 0
    while True:
        page = ec2.describe_instances(MaxResults=5, **token)
        seen += [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
        pages += 1
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(set(seen)) == sorted(seen) and set(instances) <= set(seen)
    assert set(instances) <= listed(ec2, PaginationConfig={"PageSize": 5})
    assert code_of(ec2.describe_instances, NextToken="forged") in ("InvalidParameterValue", "InvalidNextToken")


def test_pages_of_many_small_things(daemon, ec2):
    names = {f"page-{number}" for number in range(12)}
    for name in names:
        ec2.create_key_pair(KeyName=name)
    groups = daemon.client("cloudwatch")
    for name in names:
        groups.put_metric_alarm(
            AlarmName=name, Namespace="Test", MetricName="M", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )
    found = [
        alarm["AlarmName"]
        for page in groups.get_paginator("describe_alarms").paginate(AlarmNamePrefix="page-", PaginationConfig={"PageSize": 5})
        for alarm in page["MetricAlarms"]
    ]
    assert sorted(found) == sorted(names)


def test_the_waiters_of_the_command_line(daemon, ec2, instances):
    daemon.aws("ec2", "wait", "instance-status-ok", "--instance-ids", instances[0])
    ec2.stop_instances(InstanceIds=[instances[4]])
    until(lambda: instances[4] in listed(ec2, ("instance-state-name", "stopped")), 60, "the instance to stop")
    daemon.aws("ec2", "wait", "instance-stopped", "--instance-ids", instances[4])
    ec2.start_instances(InstanceIds=[instances[4]])
    until(lambda: instances[4] in listed(ec2, ("instance-state-name", "running")), 60, "the instance to start")


def test_wrong_ids(daemon, ec2, image):
    for call, arguments, want in [
        (ec2.describe_instances, {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
        (ec2.describe_instances, {"InstanceIds": ["not-an-id"]}, "InvalidInstanceID.Malformed"),
        (ec2.terminate_instances, {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
        (ec2.describe_images, {"ImageIds": ["ami-0123456789abcdef0"]}, "InvalidAMIID.NotFound"),
        (ec2.describe_subnets, {"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidSubnetID.NotFound"),
        (ec2.describe_security_groups, {"GroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        (ec2.describe_launch_templates, {"LaunchTemplateNames": ["none"]}, "InvalidLaunchTemplateName.NotFoundException"),
        (daemon.client("elbv2").describe_load_balancers, {"Names": ["none"]}, "LoadBalancerNotFound"),
        (daemon.client("elbv2").describe_target_groups, {"Names": ["none"]}, "TargetGroupNotFound"),
        (
            daemon.client("autoscaling").set_desired_capacity,
            {"AutoScalingGroupName": "none", "DesiredCapacity": 1}, "ValidationError",
        ),
        (
            daemon.client("ssm").send_command,
            {"InstanceIds": ["i-0123456789abcdef0"], "DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["x"]}},
            "InvalidInstanceId",
        ),
    ]:
        assert code_of(call, **arguments) == want, (call.__name__, arguments)


def test_impossible_sizes(daemon, ec2, image):
    for arguments, want in [
        ({"MinCount": 0, "MaxCount": 0}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterCombination|InvalidParameterValue"),
        ({"MinCount": -1, "MaxCount": 1}, "InvalidParameterValue"),
        ({"MinCount": 1_000_000, "MaxCount": 1_000_000}, "InstanceLimitExceeded|InvalidParameterValue|VcpuLimitExceeded"),
        ({"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.enormous"}, "InvalidInstanceType|InvalidParameterValue"),
        ({"MinCount": 1, "MaxCount": 1, "ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        # Sixteen KiB before encoding is the limit.
        ({"MinCount": 1, "MaxCount": 1, "UserData": "#" * 16_385}, "InvalidParameterValue"),
    ]:
        before = listed(ec2)
        got = code_of(ec2.run_instances, **{"ImageId": image, "InstanceType": "t3.micro", **arguments})
        assert got in want.split("|"), (arguments.keys(), got)
        assert listed(ec2) == before, "a refused call leaves nothing half done"
    scaling = daemon.client("autoscaling")
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    ec2.create_launch_template(LaunchTemplateName="sizes", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"})
    refused = code_of(
        scaling.create_auto_scaling_group, AutoScalingGroupName="sizes", MinSize=3, MaxSize=1, AvailabilityZones=[zone],
        LaunchTemplate={"LaunchTemplateName": "sizes"},
    )
    assert refused == "ValidationError"
    assert scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["sizes"])["AutoScalingGroups"] == []


def test_user_data_that_is_not_base64(daemon, image):
    body = (
        "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&InstanceType=t3.micro"
        f"&ImageId={image}&UserData=%21%21%21"
    ).encode()
    status, _, answer = send_as(daemon, "ec2", body)
    assert status == 400
    assert error_code("ec2", answer) in ("InvalidParameterValue", "InvalidUserData.Malformed")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_signed_request_is_answered(daemon, protocol):
    status, headers, _ = send_as(daemon, protocol)
    assert status == 200, headers


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_signatures_are_verified(daemon, protocol):
    wrong, unknown, _ = CODES[protocol]

    def late(headers):
        headers["X-Amz-Date"] = "20200101T000000Z"

    for changes, want in [
        ({"secret": "wrong"}, wrong),
        ({"key": "AKIAUNKNOWNUNKNOWN00"}, unknown),
        ({"sign": False}, "MissingAuthenticationToken|MissingAuthenticationTokenException|AuthFailure"),
        ({"tamper": late}, wrong + "|RequestExpired|AuthFailure|IncompleteSignature|IncompleteSignatureException"),
    ]:
        status, _, body = send_as(daemon, protocol, **changes)
        assert status in (400, 401, 403), (changes, status, body)
        assert error_code(protocol, body) in want.split("|"), (changes, body)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unknown_operations(daemon, protocol):
    service, headers, body = PROTOCOLS[protocol]
    headers, path = dict(headers), "/"
    if "X-Amz-Target" in headers:
        headers["X-Amz-Target"] = headers["X-Amz-Target"].split(".")[0] + ".BakeBread"
    elif protocol == "cbor":
        path = "/service/GraniteServiceVersion20100801/operation/BakeBread"
    else:
        body = b"Action=BakeBread&Version=" + body.split(b"Version=")[1]
    status, _, answer = send(daemon, service, headers, body, path=path)
    assert 400 <= status < 500
    assert error_code(protocol, answer) in CODES[protocol][2].split("|"), answer


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe\x00", b"{", b"[" * 100_000, b"&&&=&Action=&Version=", b"%%%", b"\xbf" * 10_000, b"<xml/>"],
    ids=["binary", "open", "deep", "ampersands", "percents", "endless", "xml"],
)
def test_malformed_bodies_are_the_clients_fault(daemon, protocol, body):
    status, _, answer = send_as(daemon, protocol, body)
    assert 400 <= status < 500, (status, answer[:200])
    assert answer


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bodies_have_a_limit(daemon, protocol):
    """More than any service takes: an error of the client, or a connection that is closed before all was sent."""
    try:
        status, _, _ = send_as(daemon, protocol, b"x" * (32 * 1024 * 1024))
    except OSError:
        status = 413
    assert 400 <= status < 500
    assert send_as(daemon, protocol)[0] == 200, "the daemon goes on"


def test_regions_are_apart(daemon, ec2, image):
    ec2.create_key_pair(KeyName="here")
    far = daemon.client("ec2", region="eu-north-1")
    assert [pair["KeyName"] for pair in far.describe_key_pairs()["KeyPairs"]] == []
    assert far.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"].startswith("eu-north-1")
    far.create_key_pair(KeyName="here")
    far.delete_key_pair(KeyName="here")
    assert "here" in [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]]
    invented = daemon.client("ec2", region="moon-base-1")
    assert len(invented.describe_subnets()["Subnets"]) >= 2


def test_who_am_i(daemon):
    who = daemon.aws("sts", "get-caller-identity")
    assert who["Account"].isdigit() and len(who["Account"]) == 12 and who["Arn"].startswith("arn:aws:")


@pytest.mark.parametrize("protocol", ["query", "json", "smithy-rpc-v2-cbor"])
def test_cloudwatch_speaks_three_protocols(daemon, protocol):
    """What is put by one protocol is there in all; numbers and times survive."""
    cloudwatch = daemon.client("cloudwatch")
    speaker = speaking(daemon, protocol)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    speaker.put_metric_data(
        Namespace=f"Shop/{protocol}",
        MetricData=[{
            "MetricName": "Orders", "Timestamp": now, "Value": 2.5, "Unit": "Count",
            "Dimensions": [{"Name": "Shop", "Value": "Lübeck"}],
        }],
    )
    metrics = speaker.list_metrics(Namespace=f"Shop/{protocol}")["Metrics"]
    assert [metric["Dimensions"] for metric in metrics] == [[{"Name": "Shop", "Value": "Lübeck"}]]
    points = cloudwatch.get_metric_statistics(
        Namespace=f"Shop/{protocol}", MetricName="Orders", Dimensions=[{"Name": "Shop", "Value": "Lübeck"}],
        StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=10), Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert [(point["Sum"], point["SampleCount"]) for point in points] == [(2.5, 1.0)]


def speaking(daemon, protocol):
    """A CloudWatch client that is made to speak `protocol`."""
    session = botocore.session.get_session()
    # The loader keeps what it has loaded, so the client is made from the changed model.
    model = session.get_component("data_loader").load_service_model("cloudwatch", "service-2")
    model["metadata"].update(protocol=protocol, protocols=[protocol])
    return session.create_client(
        "cloudwatch", region_name=daemon.exports["AWS_DEFAULT_REGION"], endpoint_url=daemon.url,
        aws_access_key_id=daemon.exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=daemon.exports["AWS_SECRET_ACCESS_KEY"], config=Config(retries={"total_max_attempts": 1}),
    )


def test_console_output_is_base64_on_the_wire(daemon, instances):
    body = f"Action=GetConsoleOutput&Version=2016-11-15&InstanceId={instances[0]}".encode()
    status, headers, answer = send(daemon, "ec2", {"Content-Type": FORM}, body)
    assert status == 200 and headers["Content-Type"].startswith("text/xml")
    output = answer.split(b"<output>")[1].split(b"</output>")[0]
    base64.b64decode(output, validate=True)


def test_any_key_will_do_without_authentication(setup, clean_machine):
    daemon = Daemon(setup, "--auth", "off")
    try:
        daemon.start()
        for key in ("test", "AKIAIOSFODNN7EXAMPLE"):
            assert send_as(daemon, "ec2", key=key, secret="any")[0] == 200
        assert send_as(daemon, "ec2", sign=False)[0] == 200
    finally:
        daemon.destroy()
