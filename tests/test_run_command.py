"""Run Command as operators use it, against real instances: output, limits of concurrency and errors, timeouts,
cancelling, what happens when daemon or instance die in the middle, and documents of one's own."""

import json
import os
import signal

import pytest
from botocore.exceptions import ClientError

import elastane
from elastane import until
from iam import allow, client_of, document, text_of

SETUPS = elastane.SETUPS
# Thirty seconds, the shortest time for delivery, pass in one and a half.
TIME_SCALE = 20
COUNT = 3
OVER = ("Success", "Failed", "TimedOut", "Cancelled")


@pytest.fixture(scope="module")
def instances(daemon):
    """Instances that take commands, in the order in which they are sent to."""
    ec2 = daemon.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "worker"}]}]
    made = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=COUNT, MaxCount=COUNT, TagSpecifications=tags
    )["Instances"]
    ids = sorted(instance["InstanceId"] for instance in made)
    until(lambda: online(daemon, ids) == set(ids), 60, "all instances to be online")
    return ids


@pytest.fixture
def ssm(daemon):
    return daemon.client("ssm")


def online(daemon, ids):
    filters = [{"Key": "InstanceIds", "Values": ids}, {"Key": "PingStatus", "Values": ["Online"]}]
    found = daemon.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
    return {one["InstanceId"] for one in found}


def send(ssm, ids, script, timeout=None, **more):
    """Sends a script; the command's id."""
    parameters = {"commands": script.splitlines()}
    if timeout is not None:
        parameters["executionTimeout"] = [str(timeout)]
    to = {"Targets": more.pop("Targets")} if "Targets" in more else {"InstanceIds": ids}
    sent = ssm.send_command(DocumentName="AWS-RunShellScript", Parameters=parameters, **to, **more)["Command"]
    assert sent["Status"] == "Pending"
    return sent["CommandId"]


def invocation(ssm, command, instance, **more):
    return ssm.get_command_invocation(CommandId=command, InstanceId=instance, **more)


def ended(ssm, command, instance, limit=30):
    def look():
        got = invocation(ssm, command, instance)
        return got if got["Status"] in OVER else None

    return until(look, limit, f"the command on {instance} to end")


def listed(ssm, command):
    return ssm.list_commands(CommandId=command)["Commands"][0]


def command_over(ssm, command, limit=30):
    return until(lambda: (one := listed(ssm, command))["Status"] in OVER and one, limit, "the command to end")


def details(ssm, command, ids):
    return [invocation(ssm, command, instance)["StatusDetails"] for instance in ids]


def refusal(call, **arguments):
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return raised.value.response["Error"]["Code"]


def sleepers(daemon, instance, mark):
    """How many processes with this mark run in the instance."""
    return int(daemon.shell([instance], f"pgrep -cf '[s]leep {mark}' || true")[instance])


def mark_of(daemon, number):
    """Seconds to sleep that tell this run's processes from others'."""
    return f"{100_000 + daemon.process.pid % 800_000}{number}"


# -- one command


def test_output_and_exit_status_by_the_cli(daemon, instances):
    sent = daemon.aws(
        "ssm", "send-command", "--instance-ids", instances[0], "--document-name", "AWS-RunShellScript",
        "--parameters", json.dumps({"commands": ["echo out", "echo err >&2", "exit 3"], "workingDirectory": ["/usr"]}),
    )["Command"]
    waited = daemon.aws(
        "ssm", "wait", "command-executed", "--command-id", sent["CommandId"], "--instance-id", instances[0], check=False
    )
    # The waiter says so when a command has failed.
    assert waited.returncode != 0 and "Failed" in waited.stderr, waited.stderr
    got = daemon.aws(
        "ssm", "get-command-invocation", "--command-id", sent["CommandId"], "--instance-id", instances[0],
        "--plugin-name", "aws:runShellScript",
    )
    assert (got["Status"], got["ResponseCode"], got["StandardOutputContent"]) == ("Failed", 3, "out\n")
    assert got["StandardErrorContent"] == "err\nfailed to run commands: exit status 3"
    found = daemon.aws("ssm", "list-command-invocations", "--command-id", sent["CommandId"], "--details")
    plugin = found["CommandInvocations"][0]["CommandPlugins"][0]
    assert (plugin["Name"], plugin["ResponseCode"]) == ("aws:runShellScript", 3)


def test_long_output_is_cut_with_a_mark(ssm, instances):
    command = send(ssm, instances[:1], "head -c 30000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2")
    got = ended(ssm, command, instances[0])
    assert len(got["StandardOutputContent"]) == 24_000
    assert got["StandardOutputContent"].endswith("x--output truncated--")
    assert len(got["StandardErrorContent"]) == 8_000
    assert got["StandardErrorContent"].endswith("y--output truncated--")


def test_execution_timeout_ends_the_process_tree(daemon, ssm, instances):
    mark = mark_of(daemon, 1)
    script = f"echo begun\nsetsid sh -c 'sleep {mark}; true' &\nsleep {mark}"
    command = send(ssm, instances[:1], script, timeout=2)
    got = ended(ssm, command, instances[0])
    assert (got["Status"], got["StatusDetails"], got["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", -1)
    assert got["StandardOutputContent"] == "begun\n"
    assert sleepers(daemon, instances[0], mark) == 0
    assert listed(ssm, command)["StatusDetails"] == "ExecutionTimedOut"


# -- several instances


def test_targets_by_tags(ssm, instances):
    for targets, count in [
        ([{"Key": "tag:role", "Values": ["worker"]}], COUNT),
        ([{"Key": "tag-key", "Values": ["role"]}], COUNT),
        ([{"Key": "tag:role", "Values": ["worker"]}, {"Key": "InstanceIds", "Values": instances[:1]}], 1),
    ]:
        one = command_over(ssm, send(ssm, [], "true", Targets=targets))
        assert (one["Status"], one["TargetCount"], one["CompletedCount"]) == ("Success", count, count)
    nobody = send_any(ssm, Targets=[{"Key": "tag:role", "Values": ["nobody"]}])
    assert (nobody["Status"], nobody["StatusDetails"]) == ("Failed", "NoInstancesInTag")
    groups = [{"Key": "resource-groups:Name", "Values": ["all"]}]
    assert refusal(send_any, ssm=ssm, Targets=groups) == "ValidationException"


def send_any(ssm, **more):
    return ssm.send_command(DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}, **more)["Command"]


def test_the_members_of_an_auto_scaling_group(daemon, ssm):
    ec2, scaling = daemon.client("ec2"), daemon.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName="commands", LaunchTemplateData=data)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="commands", LaunchTemplate={"LaunchTemplateName": "commands"}, MinSize=2, MaxSize=2,
        AvailabilityZones=[ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]],
    )
    targets = [{"Key": "tag:aws:autoscaling:groupName", "Values": ["commands"]}]

    def in_service():
        group = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["commands"])["AutoScalingGroups"][0]
        return [one["InstanceId"] for one in group["Instances"] if one["LifecycleState"] == "InService"]

    until(lambda: len(in_service()) == 2, 60, "two members in service")
    one = command_over(ssm, send(ssm, [], "true", Targets=targets))
    assert (one["Status"], one["TargetCount"]) == ("Success", 2)
    scaling.delete_auto_scaling_group(AutoScalingGroupName="commands", ForceDelete=True)


def test_no_more_at_a_time_than_max_concurrency(ssm, instances):
    command = send(ssm, instances, "date +%s%N\nsleep 0.4\ndate +%s%N", MaxConcurrency="34%")
    one = command_over(ssm, command)
    assert (one["Status"], one["MaxConcurrency"]) == ("Success", "34%")
    outputs = [invocation(ssm, command, instance)["StandardOutputContent"] for instance in instances]
    times = sorted(tuple(int(line) for line in output.split()) for output in outputs)
    assert all(earlier[1] <= later[0] for earlier, later in zip(times, times[1:])), times


def test_max_errors_ends_the_sending(ssm, instances):
    command = send(ssm, instances, "exit 1", MaxConcurrency="1", MaxErrors="0")
    one = command_over(ssm, command)
    assert details(ssm, command, instances) == ["Failed", "Terminated", "Terminated"]
    assert (one["StatusDetails"], one["CompletedCount"], one["ErrorCount"]) == ("Failed", COUNT, 1)
    tolerant = send(ssm, instances, "exit 1", MaxConcurrency="1", MaxErrors="1")
    one = command_over(ssm, tolerant)
    assert details(ssm, tolerant, instances) == ["Failed", "Failed", "Terminated"]
    assert (one["StatusDetails"], one["ErrorCount"]) == ("Failed", 2)


def test_cancelling(daemon, ssm, instances):
    mark = mark_of(daemon, 2)
    script = f"echo begun\nsetsid sh -c 'sleep {mark}; true' &\nsleep {mark}"
    command = send(ssm, instances, script, MaxConcurrency="1")
    until(lambda: invocation(ssm, command, instances[0])["Status"] == "InProgress", 30, "the first to run")
    until(lambda: sleepers(daemon, instances[0], mark) >= 2, 30, "what it starts")
    ssm.cancel_command(CommandId=command)
    one = command_over(ssm, command)
    assert one["Status"] == "Cancelled"
    assert details(ssm, command, instances) == ["Cancelled"] * COUNT
    assert invocation(ssm, command, instances[0])["StandardOutputContent"] == "begun\n"
    assert invocation(ssm, command, instances[1])["ExecutionStartDateTime"] == ""
    assert sleepers(daemon, instances[0], mark) == 0
    # What is over stays as it is.
    ssm.cancel_command(CommandId=command)
    assert listed(ssm, command)["Status"] == "Cancelled"
    nobody = "00000000-0000-0000-0000-000000000000"
    assert refusal(ssm.cancel_command, CommandId=nobody) == "InvalidCommandId"


# -- what goes wrong


def test_an_instance_that_hangs(setup, daemon, ssm, instances):
    """What an instance does not take in time is not delivered, and not run later; it is seen that it is not there."""
    # Instances are asked by the wall clock, which takes two minutes.
    if setup is not next(it for it in SETUPS if not elastane.why_not(it)):
        pytest.skip("one set-up is enough")
    instance = instances[0]
    first = daemon.instances()[instance]["pid"]
    os.kill(first, signal.SIGSTOP)
    try:
        command = send(ssm, [instance], "touch $ELASTANE_ROOT/tmp/late", TimeoutSeconds=30)
        got = ended(ssm, command, instance)
        assert (got["Status"], got["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
        one = listed(ssm, command)
        assert (one["StatusDetails"], one["DeliveryTimedOutCount"]) == ("DeliveryTimedOut", 1)
        until(lambda: online(daemon, instances) == set(instances[1:]), 60, "the instance to be lost")
        filters = [{"Key": "PingStatus", "Values": ["ConnectionLost"]}]
        lost = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
        assert [one["InstanceId"] for one in lost] == [instance]
    finally:
        os.kill(first, signal.SIGCONT)
    until(lambda: online(daemon, instances) == set(instances), 60, "the instance to be back")
    assert daemon.shell([instance], "ls $ELASTANE_ROOT/tmp/late 2>/dev/null || echo never")[instance] == "never\n"
    assert invocation(ssm, command, instance)["StatusDetails"] == "DeliveryTimedOut"


def test_an_instance_that_stops(daemon, ssm, instances):
    ec2 = daemon.client("ec2")
    instance = instances[-1]
    command = send(ssm, [instance], "sleep 600")
    until(lambda: invocation(ssm, command, instance)["Status"] == "InProgress", 30, "the command to run")
    ec2.stop_instances(InstanceIds=[instance])
    got = ended(ssm, command, instance, 60)
    assert got["Status"] == "Failed", got
    assert refusal(send_any, ssm=ssm, InstanceIds=[instance]) == "InvalidInstanceId"
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 100})
    ec2.start_instances(InstanceIds=[instance])
    until(lambda: online(daemon, instances) == set(instances), 60, "the instance to be back")


@pytest.mark.parametrize("away_s", [0, 3])
def test_a_daemon_that_dies_neither_loses_nor_repeats(daemon, ssm, instances, away_s):
    """The script ends while a daemon is there again, or while none is."""
    mark = f"$ELASTANE_ROOT/tmp/ran-{away_s}-{daemon.process.pid}"
    command = send(ssm, instances, f"echo run >> {mark}\nsleep 1.5\nwc -l < {mark}", MaxConcurrency="2")
    until(lambda: details(ssm, command, instances)[:2] == ["InProgress"] * 2, 30, "two to run")
    daemon.kill()
    if away_s:
        # Their scripts end meanwhile.
        import time

        time.sleep(away_s)
    daemon.start()
    again = daemon.client("ssm")
    one = command_over(again, command)
    outputs = [invocation(again, command, instance)["StandardOutputContent"].strip() for instance in instances]
    assert (one["Status"], outputs) == ("Success", ["1"] * COUNT)


def test_bad_requests(ssm, instances):
    good = {"DocumentName": "AWS-RunShellScript", "InstanceIds": instances, "Parameters": {"commands": ["true"]}}
    for code, change in [
        ("InvalidDocument", {"DocumentName": "AWS-RunPatchBaseline"}),
        ("InvalidDocumentVersion", {"DocumentVersion": "7"}),
        ("InvalidInstanceId", {"InstanceIds": ["i-00000000000000000"]}),
        ("DuplicateInstanceId", {"InstanceIds": [instances[0]] * 2}),
        ("InvalidParameters", {"Parameters": {"command": ["true"]}}),
        ("InvalidParameters", {"Parameters": {}}),
        ("ValidationException", {"MaxConcurrency": "0"}),
        ("ValidationException", {"OutputS3BucketName": "logs"}),
    ]:
        assert refusal(ssm.send_command, **{**good, **change}) == code, change


def test_references_to_parameter_store(daemon, ssm, instances):
    """The caller needs to be allowed to read what is referred to; the instance does not, and its role is none here."""
    only, script = instances[0], "echo {{ssm:/run/greeting:1}} {{ ssm:/run/greeting }}\n{{ssm:/run/lines}}"
    for name, kind, value in [
        ("/run/greeting", "String", "hello"), ("/run/greeting", "String", "good bye"),
        ("/run/lines", "StringList", "echo a,echo b"), ("/run/secret", "SecureString", "hidden"),
    ]:
        ssm.put_parameter(Name=name, Type=kind, Value=value, Overwrite=True)
    command = send(ssm, [only], script)
    assert ended(ssm, command, only)["StandardOutputContent"] == "hello good bye\na\nb\n"
    assert listed(ssm, command)["Parameters"]["commands"] == script.splitlines()
    for text, said in [
        ("{{ssm:/run/none}}", "Input contains invalid parameters [/run/none]"),
        ("{{ssm:/run/secret}}", "Parameters [/run/secret] of type SecureString are not supported"),
    ]:
        with pytest.raises(ssm.exceptions.InvalidParameters) as raised:
            send(ssm, [only], text)
        assert said in str(raised.value)
    admin = daemon.client("iam")
    admin.create_user(UserName="sender")
    key = admin.create_access_key(UserName="sender")["AccessKey"]
    caller = client_of(daemon, "ssm", key)
    for allowed, fine in [("ssm:SendCommand", False), ("ssm:GetParameters", True)]:
        admin.put_user_policy(UserName="sender", PolicyName=allowed[4:], PolicyDocument=document(allow(allowed)))
        if fine:
            assert ended(ssm, send(caller, [only], script), only)["Status"] == "Success"
            continue
        assert "ssm:GetParameters" in text_of(
            caller.send_command, DocumentName="AWS-RunShellScript", InstanceIds=[only], Parameters={"commands": [script]},
        )
        send(caller, [only], "true")


def test_lists_have_filters_and_pages(ssm, instances):
    command = send(ssm, instances, "true", Comment="listed")
    command_over(ssm, command)
    pages = list(ssm.get_paginator("list_command_invocations").paginate(
        CommandId=command, PaginationConfig={"PageSize": 2}
    ))
    assert [len(page["CommandInvocations"]) for page in pages] == [2, 1]
    assert {one["InstanceId"] for page in pages for one in page["CommandInvocations"]} == set(instances)
    for filters, found in [
        ([{"key": "Status", "value": "Success"}], True),
        ([{"key": "Status", "value": "Failed"}], False),
        ([{"key": "ExecutionStage", "value": "Complete"}], True),
        ([{"key": "DocumentName", "value": "AWS-RunShellScript"}], True),
        ([{"key": "InvokedBefore", "value": "2020-01-01T00:00:00Z"}], False),
    ]:
        got = {one["CommandId"] for one in ssm.list_commands(Filters=filters)["Commands"]}
        assert (command in got) is found, filters


# -- documents

GREETING = """
schemaVersion: '2.2'
description: Says hello, and good-bye in any case.
parameters:
  who:
    type: String
    allowedPattern: '[a-z]+'
    default: world
  more:
    type: StringList
    default: []
mainSteps:
  - action: aws:runShellScript
    name: greet
    precondition:
      StringEquals: [platformType, Linux]
    inputs:
      timeoutSeconds: '60'
      onFailure: exit
      runCommand:
        - echo hello {{ who }}
        - '{{ more }}'
  - action: aws:runShellScript
    name: middle
    inputs:
      runCommand: [echo middle]
  - action: aws:runShellScript
    name: good-bye
    inputs:
      finallyStep: true
      runCommand: [echo good-bye]
"""


def test_a_document_of_ones_own(daemon, ssm, instances):
    content = daemon.base / "greeting.yaml"
    content.write_text(GREETING)
    made = daemon.aws(
        "ssm", "create-document", "--name", "greeting", "--document-type", "Command", "--document-format", "YAML",
        "--content", f"file://{content}",
    )["DocumentDescription"]
    assert (made["Status"], made["SchemaVersion"], made["PlatformTypes"]) == ("Active", "2.2", ["Linux", "MacOS"])
    instance = instances[0]

    def steps(**parameters):
        sent = ssm.send_command(DocumentName="greeting", InstanceIds=[instance], Parameters=parameters)["Command"]
        got = ended(ssm, sent["CommandId"], instance)
        names = ["greet", "middle", "good-bye"]
        shown = [invocation(ssm, sent["CommandId"], instance, PluginName=name) for name in names]
        return got["Status"], [(one["ResponseCode"], one["StandardOutputContent"].strip()) for one in shown]

    assert steps(who=["you"], more=["echo one", "echo two"]) == (
        "Success", [(0, "hello you\none\ntwo"), (0, "middle"), (0, "good-bye")]
    )
    # The first step's failure ends the document, but for the last step.
    assert steps(more=["exit 4"]) == ("Failed", [(4, "hello world"), (0, ""), (0, "good-bye")])
    bad = {"DocumentName": "greeting", "InstanceIds": [instance]}
    assert refusal(ssm.send_command, **bad, Parameters={"who": ["$(reboot)"]}) == "InvalidParameters"
    foreign = GREETING.replace("aws:runShellScript", "aws:runPowerShellScript")
    more = {"Content": foreign, "DocumentFormat": "YAML", "DocumentType": "Command"}
    assert refusal(ssm.create_document, Name="foreign", **more) == "InvalidDocumentContent"
    ssm.delete_document(Name="greeting")


def test_documents_as_terraform_keeps_them(ssm):
    """The calls of the provider's aws_ssm_document, in their order."""

    def content(word):
        step = {"action": "aws:runShellScript", "name": "say", "inputs": {"runCommand": [f"echo {word}"]}}
        return json.dumps({"schemaVersion": "2.2", "mainSteps": [step]})

    tags = [{"Key": "team", "Value": "web"}]
    ssm.create_document(Name="kept", Content=content("a"), DocumentType="Command", DocumentFormat="JSON", Tags=tags)
    share = {"Name": "kept", "PermissionType": "Share"}
    ssm.modify_document_permission(**share, AccountIdsToAdd=["111111111111"])

    def read():
        described = ssm.describe_document(Name="kept")["Document"]
        assert described["Status"] == "Active"
        got = ssm.get_document(Name="kept", DocumentFormat="JSON", DocumentVersion="$LATEST")
        shared = ssm.describe_document_permission(**share)["AccountIds"]
        return described["DefaultVersion"], described["LatestVersion"], described["Tags"], got["Content"], shared

    assert read() == ("1", "1", tags, content("a"), ["111111111111"])
    made = ssm.update_document(Name="kept", Content=content("b"), DocumentFormat="JSON", DocumentVersion="1")
    version = made["DocumentDescription"]["DocumentVersion"]
    ssm.update_document_default_version(Name="kept", DocumentVersion=version)
    assert read() == ("2", "2", tags, content("b"), ["111111111111"])
    again = {"Name": "kept", "Content": content("b"), "DocumentFormat": "JSON", "DocumentVersion": "2"}
    assert refusal(ssm.update_document, **again) == "DuplicateDocumentContent"
    ssm.add_tags_to_resource(ResourceType="Document", ResourceId="kept", Tags=[{"Key": "stage", "Value": "test"}])
    ssm.remove_tags_from_resource(ResourceType="Document", ResourceId="kept", TagKeys=["team"])
    listed_tags = ssm.list_tags_for_resource(ResourceType="Document", ResourceId="kept")["TagList"]
    assert listed_tags == [{"Key": "stage", "Value": "test"}]
    ssm.modify_document_permission(**share, AccountIdsToRemove=["111111111111"])
    ssm.delete_document(Name="kept")
    with pytest.raises(ClientError, match="InvalidDocument.*does not exist"):
        ssm.describe_document(Name="kept")


def test_documents_of_aws(ssm):
    pages = ssm.get_paginator("list_documents").paginate(Filters=[{"Key": "Owner", "Values": ["Amazon"]}])
    names = {one["Name"] for page in pages for one in page["DocumentIdentifiers"]}
    assert {"AWS-RunShellScript", "AWS-StartSSHSession", "AWS-StartPortForwardingSession"} <= names
    described = ssm.describe_document(Name="AWS-RunShellScript")["Document"]
    assert {one["Name"] for one in described["Parameters"]} == {"commands", "workingDirectory", "executionTimeout"}
    assert described["Owner"] == "Amazon"
    assert json.loads(ssm.get_document(Name="AWS-StartSSHSession")["Content"])["sessionType"] == "Port"
