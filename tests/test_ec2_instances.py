"""Instances as clients see them: each operation's success, its not-found code, its pages and filters."""

import json

import pytest
from botocore.exceptions import ClientError

from elastane import until

ABSENT = "i-0123456789abcdef0"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
})


def code_of(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


@pytest.fixture(scope="module")
def ec2(daemon):
    return daemon.client("ec2")


@pytest.fixture(scope="module")
def image(ec2):
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


@pytest.fixture(scope="module")
def profile(daemon):
    """An instance profile with a role that trusts EC2."""
    iam = daemon.client("iam")
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="site")
    iam.add_role_to_instance_profile(InstanceProfileName="site", RoleName="web")
    return "site"


def shown(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def reaches(ec2, instance, state):
    until(lambda: shown(ec2, instance)["State"]["Name"] == state, 60, f"{instance} to be {state}")


def launch(ec2, image, **more):
    run = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, **more)
    instance = run["Instances"][0]["InstanceId"]
    reaches(ec2, instance, "running")
    return instance


@pytest.fixture(scope="module")
def instance(ec2, image):
    return launch(ec2, image)


@pytest.fixture(scope="module")
def stopped(ec2, image):
    instance = launch(ec2, image)
    ec2.stop_instances(InstanceIds=[instance])
    reaches(ec2, instance, "stopped")
    return instance


def test_what_terraform_reads(ec2, instance):
    found = shown(ec2, instance)
    assert found["Placement"]["Tenancy"] == "default"
    assert found["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 2}
    assert found["HibernationOptions"] == {"Configured": False}
    assert found["EnclaveOptions"] == {"Enabled": False}
    assert found["MaintenanceOptions"]["AutoRecovery"] == "default"
    assert found["MetadataOptions"]["State"] == "applied"
    assert found["CapacityReservationSpecification"]["CapacityReservationPreference"] == "open"
    assert found["NetworkInterfaces"][0]["Attachment"]["DeviceIndex"] == 0
    assert found["BlockDeviceMappings"][0]["Ebs"]["Status"] == "attached"


def test_launch_rules(ec2, image):
    run = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    assert code_of(ec2.run_instances, **run, DryRun=True) == "DryRunOperation"
    for more, code in [
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
        ({"EnclaveOptions": {"Enabled": True}}, "UnsupportedOperation"),
        ({"Placement": {"GroupName": "nobody"}}, "InvalidPlacementGroup.Unknown"),
        ({"Placement": {"Tenancy": "dedicated"}}, "UnsupportedOperation"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, "InvalidParameterValue"),
    ]:
        assert code_of(ec2.run_instances, **run, **more) == code, more


def test_metadata_options(ec2, instance):
    change = ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required", HttpPutResponseHopLimit=2)
    assert change["InstanceMetadataOptions"]["HttpTokens"] == "required"
    options = shown(ec2, instance)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    assert code_of(ec2.modify_instance_metadata_options, InstanceId=ABSENT) == "InvalidInstanceID.NotFound"
    ec2.modify_instance_metadata_defaults(HttpTokens="required")
    assert ec2.get_instance_metadata_defaults()["AccountLevel"]["HttpTokens"] == "required"
    ec2.modify_instance_metadata_defaults(HttpTokens="no-preference")
    assert "HttpTokens" not in ec2.get_instance_metadata_defaults()["AccountLevel"]


def test_monitoring_and_credits(ec2, instance):
    state = ec2.monitor_instances(InstanceIds=[instance])["InstanceMonitorings"][0]["Monitoring"]["State"]
    assert state == "pending"
    assert shown(ec2, instance)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[instance])
    assert code_of(ec2.monitor_instances, InstanceIds=[ABSENT]) == "InvalidInstanceID.NotFound"
    assert code_of(ec2.unmonitor_instances, InstanceIds=[ABSENT]) == "InvalidInstanceID.NotFound"
    done = ec2.modify_instance_credit_specification(InstanceCreditSpecifications=[
        {"InstanceId": instance, "CpuCredits": "standard"}, {"InstanceId": ABSENT, "CpuCredits": "standard"},
    ])
    assert [one["InstanceId"] for one in done["SuccessfulInstanceCreditSpecifications"]] == [instance]
    assert done["UnsuccessfulInstanceCreditSpecifications"][0]["Error"]["Code"] == "InvalidInstanceID.NotFound"
    credits = ec2.describe_instance_credit_specifications(InstanceIds=[instance])["InstanceCreditSpecifications"]
    assert credits[0]["CpuCredits"] == "standard"


def test_attributes(ec2, instance):
    for change, attribute, key, value in [
        ({"DisableApiStop": {"Value": True}}, "disableApiStop", "DisableApiStop", True),
        ({"DisableApiTermination": {"Value": True}}, "disableApiTermination", "DisableApiTermination", True),
        ({"SourceDestCheck": {"Value": False}}, "sourceDestCheck", "SourceDestCheck", False),
        (
            {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}},
            "instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior", "terminate",
        ),
    ]:
        ec2.modify_instance_attribute(InstanceId=instance, **change)
        read = ec2.describe_instance_attribute(InstanceId=instance, Attribute=attribute)
        assert read[key] == {"Value": value}
    assert code_of(ec2.stop_instances, InstanceIds=[instance]) == "OperationNotPermitted"
    assert code_of(ec2.terminate_instances, InstanceIds=[instance]) == "OperationNotPermitted"
    for attribute in ["DisableApiStop", "DisableApiTermination"]:
        ec2.modify_instance_attribute(InstanceId=instance, **{attribute: {"Value": False}})
    small = {"InstanceType": {"Value": "t3.small"}}
    assert code_of(ec2.modify_instance_attribute, InstanceId=instance, **small) == "IncorrectInstanceState"
    assert code_of(ec2.modify_instance_attribute, InstanceId=ABSENT, **small) == "InvalidInstanceID.NotFound"


def test_options_of_a_stopped_instance(ec2, stopped):
    ec2.modify_instance_attribute(InstanceId=stopped, InstanceType={"Value": "t3.small"})
    ec2.modify_instance_attribute(InstanceId=stopped, UserData={"Value": b"#!/bin/sh\n"})
    ec2.modify_instance_maintenance_options(InstanceId=stopped, AutoRecovery="disabled")
    ec2.modify_private_dns_name_options(InstanceId=stopped, PrivateDnsHostnameType="resource-name")
    ec2.modify_instance_capacity_reservation_attributes(
        InstanceId=stopped, CapacityReservationSpecification={"CapacityReservationPreference": "none"},
    )
    ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=2)
    ec2.modify_instance_placement(InstanceId=stopped, GroupName="parts", PartitionNumber=2)
    found = shown(ec2, stopped)
    assert found["InstanceType"] == "t3.small"
    assert found["MaintenanceOptions"]["AutoRecovery"] == "disabled"
    assert found["PrivateDnsName"].startswith(f"{stopped}.")
    assert found["CapacityReservationSpecification"]["CapacityReservationPreference"] == "none"
    assert (found["Placement"]["GroupName"], found["Placement"]["PartitionNumber"]) == ("parts", 2)
    not_found = "InvalidInstanceID.NotFound"
    assert code_of(ec2.modify_instance_maintenance_options, InstanceId=ABSENT, AutoRecovery="default") == not_found
    assert code_of(ec2.modify_private_dns_name_options, InstanceId=ABSENT) == not_found
    assert code_of(ec2.modify_instance_placement, InstanceId=ABSENT, GroupName="parts") == not_found
    assert code_of(ec2.modify_instance_placement, InstanceId=stopped, GroupName="x") == "InvalidPlacementGroup.Unknown"
    ec2.modify_instance_placement(InstanceId=stopped, GroupName="")
    assert shown(ec2, stopped)["Placement"]["GroupName"] == ""


def test_power(ec2, image):
    instance = launch(ec2, image)
    hibernate = code_of(ec2.stop_instances, InstanceIds=[instance], Hibernate=True)
    assert hibernate == "UnsupportedHibernationConfiguration"
    for call in (ec2.start_instances, ec2.stop_instances, ec2.reboot_instances, ec2.terminate_instances):
        assert code_of(call, InstanceIds=[ABSENT]) == "InvalidInstanceID.NotFound"
    address = shown(ec2, instance)["PrivateIpAddress"]
    ec2.stop_instances(InstanceIds=[instance])
    reaches(ec2, instance, "stopped")
    again = ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"][0]
    assert again["PreviousState"] == again["CurrentState"]
    ec2.start_instances(InstanceIds=[instance])
    reaches(ec2, instance, "running")
    assert shown(ec2, instance)["PrivateIpAddress"] == address
    ec2.terminate_instances(InstanceIds=[instance])
    reaches(ec2, instance, "terminated")
    again = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert again["PreviousState"]["Name"] == "terminated"


def test_status_pages(ec2, instance, stopped):
    ids = [one["InstanceId"] for one in ec2.describe_instance_status()["InstanceStatuses"]]
    assert instance in ids and stopped not in ids
    pages = ec2.get_paginator("describe_instance_status").paginate(
        IncludeAllInstances=True, PaginationConfig={"PageSize": 5},
    )
    assert stopped in [one["InstanceId"] for page in pages for one in page["InstanceStatuses"]]
    assert code_of(ec2.describe_instance_status, InstanceIds=[ABSENT]) == "InvalidInstanceID.NotFound"


def test_password_is_empty(ec2, instance):
    assert ec2.get_password_data(InstanceId=instance)["PasswordData"] == ""
    assert code_of(ec2.get_password_data, InstanceId=ABSENT) == "InvalidInstanceID.NotFound"


def test_root_volume_grows(ec2, image):
    instance = launch(ec2, image)
    volume = shown(ec2, instance)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert code_of(ec2.modify_volume, VolumeId=volume, Size=1) == "InvalidParameterValue"
    assert code_of(ec2.modify_volume, VolumeId="vol-0123456789abcdef0", Size=9) == "InvalidVolume.NotFound"
    change = ec2.modify_volume(VolumeId=volume, Size=30)["VolumeModification"]
    assert (change["ModificationState"], change["TargetSize"]) == ("modifying", 30)
    filters = [{"Name": "volume-id", "Values": [volume]}, {"Name": "modification-state", "Values": ["completed"]}]
    until(lambda: ec2.describe_volumes_modifications(Filters=filters)["VolumesModifications"], 60, "it to be done")
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 30
    absent = code_of(ec2.describe_volumes_modifications, VolumeIds=["vol-0123456789abcdef0"])
    assert absent == "InvalidVolume.NotFound"


def test_profile_associations(ec2, image, profile):
    instance = launch(ec2, image)
    named = {"IamInstanceProfile": {"Name": profile}}
    made = ec2.associate_iam_instance_profile(InstanceId=instance, **named)["IamInstanceProfileAssociation"]
    assert made["State"] == "associating"
    assert shown(ec2, instance)["IamInstanceProfile"]["Arn"].endswith(":instance-profile/site")
    assert code_of(ec2.associate_iam_instance_profile, InstanceId=instance, **named) == "IncorrectState"
    assert code_of(ec2.associate_iam_instance_profile, InstanceId=ABSENT, **named) == "InvalidInstanceID.NotFound"
    other = ec2.replace_iam_instance_profile_association(AssociationId=made["AssociationId"], **named)
    association = other["IamInstanceProfileAssociation"]["AssociationId"]
    filters = [{"Name": "instance-id", "Values": [instance]}, {"Name": "state", "Values": ["associated"]}]
    listed = ec2.describe_iam_instance_profile_associations(Filters=filters)["IamInstanceProfileAssociations"]
    assert [one["AssociationId"] for one in listed] == [association]
    ec2.disassociate_iam_instance_profile(AssociationId=association)
    assert code_of(ec2.disassociate_iam_instance_profile, AssociationId=association) == "NoSuchAssociation"
    assert code_of(ec2.replace_iam_instance_profile_association, AssociationId=association, **named) \
        == "NoSuchAssociation"


def test_spot(ec2, image):
    specification = {"ImageId": image, "InstanceType": "t3.micro"}
    made = ec2.request_spot_instances(LaunchSpecification=specification)["SpotInstanceRequests"][0]
    request = made["SpotInstanceRequestId"]
    ec2.get_waiter("spot_instance_request_fulfilled").wait(SpotInstanceRequestIds=[request], WaiterConfig={"Delay": 1})
    filters = [{"Name": "state", "Values": ["active"]}]
    active = ec2.describe_spot_instance_requests(Filters=filters)["SpotInstanceRequests"]
    instance = next(one["InstanceId"] for one in active if one["SpotInstanceRequestId"] == request)
    assert shown(ec2, instance)["InstanceLifecycle"] == "spot"
    cancelled = ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    assert cancelled["CancelledSpotInstanceRequests"][0]["State"] == "cancelled"
    absent = "sir-0123456789abcdef0"
    for call in (ec2.describe_spot_instance_requests, ec2.cancel_spot_instance_requests):
        assert code_of(call, SpotInstanceRequestIds=[absent]) == "InvalidSpotInstanceRequestID.NotFound"


def test_offerings_and_account(ec2):
    paginator = ec2.get_paginator("describe_instance_type_offerings")
    filters = [{"Name": "instance-type", "Values": ["t3.*"]}]
    pages = list(paginator.paginate(
        LocationType="availability-zone", Filters=filters, PaginationConfig={"PageSize": 5},
    ))
    found = [one for page in pages for one in page["InstanceTypeOfferings"]]
    assert len(pages) > 1 and {one["Location"][-1] for one in found} == {"a", "b", "c"}
    attributes = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert attributes[0]["AttributeValues"][0]["AttributeValue"].startswith("vpc-")
    assert code_of(ec2.describe_account_attributes, AttributeNames=["x"]) == "InvalidParameterValue"


def test_template_data_is_kept_as_sent(ec2, image):
    data = {
        "ImageId": image,
        "InstanceType": "t3.micro",
        "IamInstanceProfile": {"Name": "later"},
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": False, "DeleteOnTermination": True}],
        "MetadataOptions": {"HttpTokens": "required"},
        "Monitoring": {"Enabled": True},
        "HibernationOptions": {"Configured": False},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}}],
    }
    made = ec2.create_launch_template(LaunchTemplateName="kept", LaunchTemplateData=data)
    # Launching from it would fail today, and the answer says so.
    assert made["Warning"]["Errors"][0]["Code"] == "InvalidParameterValue"
    ec2.create_launch_template_version(
        LaunchTemplateName="kept", SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"},
    )
    versions = ec2.describe_launch_template_versions(LaunchTemplateName="kept")["LaunchTemplateVersions"]
    assert [one["LaunchTemplateData"] for one in versions] == [data, data | {"InstanceType": "t3.small"}]


def test_roles_and_profiles(daemon):
    iam = daemon.client("iam")
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument=TRUST, Path="/jobs/")["Role"]
    assert role["Arn"].endswith(":role/jobs/batch") and role["RoleId"].startswith("AROA")
    assert iam.get_role(RoleName="batch")["Role"]["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert [one["RoleName"] for one in iam.list_roles(PathPrefix="/jobs/")["Roles"]] == ["batch"]
    iam.update_assume_role_policy(RoleName="batch", PolicyDocument=TRUST)
    iam.tag_role(RoleName="batch", Tags=[{"Key": "team", "Value": "data"}])
    iam.untag_role(RoleName="batch", TagKeys=["team"])
    iam.create_instance_profile(InstanceProfileName="jobs")
    iam.tag_instance_profile(InstanceProfileName="jobs", Tags=[{"Key": "team", "Value": "data"}])
    iam.untag_instance_profile(InstanceProfileName="jobs", TagKeys=["team"])
    iam.add_role_to_instance_profile(InstanceProfileName="jobs", RoleName="batch")
    assert iam.get_instance_profile(InstanceProfileName="jobs")["InstanceProfile"]["Roles"][0]["RoleName"] == "batch"
    names = [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]]
    assert "jobs" in names
    assert len(iam.list_instance_profiles_for_role(RoleName="batch")["InstanceProfiles"]) == 1
    assert code_of(iam.delete_role, RoleName="batch") == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName="jobs", RoleName="batch")
    iam.delete_instance_profile(InstanceProfileName="jobs")
    iam.delete_role(RoleName="batch")
    for call, arguments in [
        (iam.get_role, {"RoleName": "batch"}),
        (iam.delete_role, {"RoleName": "batch"}),
        (iam.tag_role, {"RoleName": "batch", "Tags": [{"Key": "team", "Value": "data"}]}),
        (iam.get_instance_profile, {"InstanceProfileName": "jobs"}),
        (iam.delete_instance_profile, {"InstanceProfileName": "jobs"}),
        (iam.add_role_to_instance_profile, {"InstanceProfileName": "jobs", "RoleName": "batch"}),
    ]:
        assert code_of(call, **arguments) == "NoSuchEntity", call
    malformed = code_of(iam.create_role, RoleName="bad", AssumeRolePolicyDocument="{")
    assert malformed == "MalformedPolicyDocument"
