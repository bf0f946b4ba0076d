"""Images and snapshots as boto3 sees them, and `elastane image`: import, launch, build, list, remove."""

import datetime
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading

import pytest
from botocore.exceptions import ClientError

from elastane import SANDBOX_ROOT, SANDBOX_USER, until

SETUPS = [SANDBOX_ROOT, SANDBOX_USER]
AMD64 = "arm64" if os.uname().machine == "aarch64" else "amd64"


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
def host_image(ec2):
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def launch(ec2, image, user_data="", **more):
    run = ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=user_data, **more
    )
    return run["Instances"][0]["InstanceId"]


def running(ec2, instance):
    def look():
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        assert found["State"]["Name"] in ("pending", "running"), found
        return found if found["State"]["Name"] == "running" else None

    return until(look, 60, f"{instance} to run")


def available(ec2, image):
    def look():
        found = ec2.describe_images(ImageIds=[image])["Images"][0]
        assert found["State"] in ("pending", "available"), found
        return found if found["State"] == "available" else None

    return until(look, 60, f"{image} to be available")


@pytest.fixture(scope="module")
def instance(ec2, host_image):
    instance = launch(ec2, host_image, "#!/bin/sh\necho golden > /opt/golden\n")
    running(ec2, instance)
    yield instance
    ec2.terminate_instances(InstanceIds=[instance])


@pytest.fixture(scope="module")
def image(ec2, daemon, instance):
    """An image of the instance, captured while it runs."""
    until(lambda: "golden" in daemon.shell([instance], "cat /opt/golden || true")[instance], 60, "the user data")
    made = ec2.create_image(
        InstanceId=instance, Name="golden", NoReboot=True,
        TagSpecifications=[{"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]} for kind in ("image", "snapshot")],
    )["ImageId"]
    available(ec2, made)
    return made


def test_create_and_describe(ec2, image, instance):
    found = ec2.describe_images(ImageIds=[image])["Images"][0]
    assert (found["Name"], found["Architecture"], found["VirtualizationType"]) == ("golden", "x86_64", "hvm")
    assert found["SourceInstanceId"] == instance and found["Public"] is False and found["ImageType"] == "machine"
    assert found["RootDeviceType"] == "ebs" and found["BlockDeviceMappings"][0]["DeviceName"] == found["RootDeviceName"]
    datetime.datetime.fromisoformat(found["CreationDate"].replace("Z", "+00:00"))
    assert {"Key": "of", "Value": "image"} in found["Tags"]
    for filters, there in [
        ([{"Name": "name", "Values": ["gold*"]}, {"Name": "state", "Values": ["available"]}], True),
        ([{"Name": "tag:of", "Values": ["image"]}], True),
        ([{"Name": "architecture", "Values": ["arm64"]}], False),
    ]:
        ids = [one["ImageId"] for one in ec2.describe_images(Owners=["self"], Filters=filters)["Images"]]
        assert (image in ids) == there, filters
    assert code_of(ec2.create_image, InstanceId=instance, Name="golden") == "InvalidAMIName.Duplicate"
    assert code_of(ec2.create_image, InstanceId=instance, Name="a$b") == "InvalidAMIName.Malformed"
    assert code_of(ec2.create_image, InstanceId="i-0123456789abcdef0", Name="x-1") == "InvalidInstanceID.NotFound"
    assert code_of(ec2.describe_images, ImageIds=["ami-0123456789abcdef0"]) == "InvalidAMIID.NotFound"
    assert code_of(ec2.describe_images, ImageIds=["ami"]) == "InvalidAMIID.Malformed"


def test_an_image_launches_with_what_was_captured(ec2, daemon, image):
    instance = launch(ec2, image)
    running(ec2, instance)
    assert daemon.shell([instance], "cat /opt/golden")[instance].strip() == "golden"
    ec2.terminate_instances(InstanceIds=[instance])


def test_register_copy_pages_and_deregister(ec2, daemon, image):
    snapshot = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    registered = [
        ec2.register_image(
            Name=f"registered-{number}", Architecture="x86_64", VirtualizationType="hvm", RootDeviceName="/dev/sda1",
            ImdsSupport="v2.0", EnaSupport=True, Description="from a snapshot",
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 10}}],
        )["ImageId"]
        for number in range(3)
    ]
    ec2.get_waiter("image_available").wait(ImageIds=registered, WaiterConfig={"Delay": 1})
    pages = ec2.get_paginator("describe_images").paginate(Owners=["self"], PaginationConfig={"PageSize": 2})
    seen = [one["ImageId"] for page in pages for one in page["Images"]]
    assert set(registered) <= set(seen) and len(seen) == len(set(seen))
    instance = launch(ec2, registered[0])
    found = running(ec2, instance)
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert found["RootDeviceName"] == found["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"
    assert daemon.shell([instance], "cat /opt/golden")[instance].strip() == "golden"
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}]
    bad = {"Name": "bad", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": mapping}
    assert code_of(ec2.register_image, **bad) == "InvalidSnapshot.NotFound"
    assert code_of(ec2.delete_snapshot, SnapshotId=snapshot) == "InvalidSnapshot.InUse"

    here = ec2.copy_image(Name="copy", SourceImageId=image, SourceRegion="us-east-1", CopyImageTags=True)["ImageId"]
    assert {"Key": "of", "Value": "image"} in available(ec2, here)["Tags"]
    far = daemon.client("ec2", region="eu-west-1")
    there = far.copy_image(
        Name="copy", SourceImageId=image, SourceRegion="us-east-1", ClientToken="one", Description="far"
    )["ImageId"]
    shown = available(far, there)
    assert (shown["SourceImageId"], shown["SourceImageRegion"]) == (image, "us-east-1")
    again = far.copy_image(Name="copy", SourceImageId=image, SourceRegion="us-east-1", ClientToken="one")["ImageId"]
    assert again == there
    absent = {"Name": "x-2", "SourceImageId": "ami-0123456789abcdef0", "SourceRegion": "us-east-1"}
    assert code_of(far.copy_image, **absent) == "InvalidAMIID.NotFound"

    # The layer outlives every image but one, in another region.
    for one in [*registered, here]:
        ec2.deregister_image(ImageId=one)
    assert code_of(ec2.describe_images, ImageIds=[here]) == "InvalidAMIID.NotFound"
    assert code_of(ec2.deregister_image, ImageId=here) == "InvalidAMIID.NotFound"
    ec2.terminate_instances(InstanceIds=[instance])
    copied = launch(far, there)
    running(far, copied)
    far.terminate_instances(InstanceIds=[copied])
    answer = far.deregister_image(ImageId=there, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"][0]["ReturnCode"] == "success"


def test_attributes_and_deprecation(ec2, image):
    ec2.modify_image_attribute(ImageId=image, Description={"Value": "described"})
    assert ec2.describe_image_attribute(ImageId=image, Attribute="description")["Description"]["Value"] == "described"
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": "111122223333"}, {"Group": "all"}]})
    told = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]
    assert {"UserId": "111122223333"} in told and {"Group": "all"} in told
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["Public"] is True
    ec2.reset_image_attribute(ImageId=image, Attribute="launchPermission")
    assert ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"] == []
    at = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) + datetime.timedelta(days=365)
    ec2.enable_image_deprecation(ImageId=image, DeprecateAt=at)
    shown = ec2.describe_images(ImageIds=[image])["Images"][0]["DeprecationTime"]
    assert shown == at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    ec2.disable_image_deprecation(ImageId=image)
    assert "DeprecationTime" not in ec2.describe_images(ImageIds=[image])["Images"][0]
    unknown = {"ImageId": "ami-0123456789abcdef0"}
    for call, more in [
        (ec2.modify_image_attribute, {"Description": {"Value": "x"}}),
        (ec2.describe_image_attribute, {"Attribute": "description"}),
        (ec2.reset_image_attribute, {"Attribute": "launchPermission"}),
        (ec2.enable_image_deprecation, {"DeprecateAt": at}),
        (ec2.disable_image_deprecation, {}),
    ]:
        assert code_of(call, **unknown, **more) == "InvalidAMIID.NotFound"


def test_snapshots(ec2, instance, image):
    volume = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    volume = volume["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    made = [
        ec2.create_snapshot(
            VolumeId=volume, Description=f"before {number}",
            TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "n", "Value": str(number)}]}],
        )["SnapshotId"]
        for number in range(6)
    ]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=made, WaiterConfig={"Delay": 1})
    filters = [{"Name": "volume-id", "Values": [volume]}, {"Name": "tag:n", "Values": ["2"]}]
    assert [one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]] == [made[2]]
    pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5})
    seen = [one["SnapshotId"] for page in pages for one in page["Snapshots"]]
    assert set(made) <= set(seen) and len(seen) == len(set(seen))
    for one in made:
        ec2.delete_snapshot(SnapshotId=one)
    assert code_of(ec2.delete_snapshot, SnapshotId=made[0]) == "InvalidSnapshot.NotFound"
    assert code_of(ec2.describe_snapshots, SnapshotIds=[made[0]]) == "InvalidSnapshot.NotFound"
    assert code_of(ec2.create_snapshot, VolumeId="vol-0123456789abcdef0") == "InvalidVolume.NotFound"
    assert code_of(ec2.describe_snapshots, MaxResults=1) == "InvalidParameterValue"


# -- elastane image


def busybox():
    """Debian's static busybox, or None."""
    for place in ("/usr/bin/busybox", "/bin/busybox"):
        if os.path.exists(place) and b"ld-linux" not in open(place, "rb").read(4096):
            return place
    return None


def root_archive(compress=""):
    """A root file system of busybox or of this machine's shell, as a tar archive."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=f"w:{compress}") as archive:
        def add(path, content, mode=0o755):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))

        programs = ["sh", "cat", "ls", "mkdir", "sleep"]
        if static := busybox():
            add("bin/busybox", open(static, "rb").read())
            for name in programs:
                entry = tarfile.TarInfo(f"bin/{name}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
        else:
            libraries = set()
            for name in programs:
                add(f"bin/{name}", open(f"/bin/{name}", "rb").read())
                listed = subprocess.run(["ldd", f"/bin/{name}"], capture_output=True, text=True, check=True).stdout
                libraries |= {word for word in listed.split() if word.startswith("/")}
            for library in libraries:
                add(library.lstrip("/"), open(library, "rb").read())
        add("etc/own-release", b"imported\n", 0o644)
    return memory.getvalue()


def give(daemon, path, content):
    """A file that the daemon's user can read."""
    path.write_bytes(content)
    path.chmod(0o644)
    return str(path)


def lives(ec2, daemon, image):
    """The image boots by itself: its user data runs, its network is up, nothing of the host is in it."""
    instance = launch(ec2, image, "#!/bin/sh\necho ran in $(cat /etc/own-release) > /root/note\n")
    running(ec2, instance)
    note = until(lambda: daemon.shell([instance], "cat /root/note 2>/dev/null || true")[instance], 60, "the user data")
    assert note.strip() == "ran in imported"
    assert "No such" in daemon.shell([instance], "ls /usr/lib/os-release 2>&1 || true")[instance]
    assert len(daemon.shell([instance], "cat /proc/net/route")[instance].splitlines()) > 1
    return instance


@pytest.mark.parametrize("compress", ["", "gz", "xz"])
def test_import_of_an_archive(ec2, daemon, compress):
    name = f"busy-{compress or 'plain'}"
    path = give(daemon, daemon.base / f"{name}.tar", root_archive(compress))
    done = daemon.run("image", "import", path, "--name", name, "--alias", "al2023", "--description", "small")
    image = done.stdout.strip()
    shown = ec2.describe_images(ImageIds=[image], Owners=["self"])["Images"][0]
    assert (shown["Name"], shown["State"], shown["Description"]) == (name, "available", "small")
    if not compress:
        instance = lives(ec2, daemon, image)
        ec2.terminate_instances(InstanceIds=[instance])
    ssm = daemon.client("ssm")
    parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    if AMD64 == "amd64":
        assert ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == image
    taken = daemon.run("image", "import", path, "--name", name, check=False)
    assert taken.returncode != 0 and "InvalidAMIName.Duplicate" in taken.stderr
    listed = daemon.run("image", "list").stdout
    assert name in listed and "al2023" in listed
    daemon.run("image", "rm", name)
    assert code_of(ec2.describe_images, ImageIds=[image]) == "InvalidAMIID.NotFound"


def test_imports_that_cannot_be(daemon):
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        entry = tarfile.TarInfo("../escape")
        archive.addfile(entry)
    escape = give(daemon, daemon.base / "escape.tar", memory.getvalue())
    text = give(daemon, daemon.base / "text.tar", b"no archive at all, but long enough to be read\n" * 50)
    for source, why in [
        (escape, "leads out of the image"),
        (text, "cannot be imported"),
        (str(daemon.base / "missing.tar"), "HOST[:PORT]/NAME[:TAG]"),
        ("127.0.0.1:1/nobody/listens:here", "cannot fetch"),
    ]:
        done = daemon.run("image", "import", source, "--name", "never", check=False)
        assert done.returncode != 0 and why in done.stderr, (done.stdout, done.stderr)
    assert "never" not in daemon.run("image", "list").stdout


def oci_blobs(layers):
    """An OCI image as blobs by digest, and the digest of its manifest."""
    blobs = {}

    def add(content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    config = add(json.dumps({"os": "linux", "architecture": AMD64}).encode())
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **add(layer)} for layer in layers],
    }
    return blobs, add(json.dumps(manifest).encode())["digest"]


def second_layer():
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for path in ("etc/.wh.gone", "etc/added"):
            archive.addfile(tarfile.TarInfo(path))
    return memory.getvalue()


@pytest.fixture
def registry():
    """A registry of one image on loopback, which asks for a name and a password. Yields its address."""
    blobs, manifest = oci_blobs([root_archive("gz"), second_layer()])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers.get("Authorization", "") != "Basic bWU6c2VjcmV0":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            parts = self.path.split("/")
            content = None
            if self.path == "/v2/":
                content, kind, digest = b"{}", "application/json", None
            elif parts[-2] == "manifests" and parts[-1] in ("v1", manifest):
                content, kind, digest = blobs[manifest], "application/vnd.oci.image.manifest.v1+json", manifest
            elif parts[-2] == "blobs" and parts[-1] in blobs:
                content, kind, digest = blobs[parts[-1]], "application/octet-stream", parts[-1]
            self.send_response(200 if content else 404)
            content = content or b'{"errors":[{"code":"NAME_UNKNOWN","message":"unknown"}]}'
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", kind if content else "application/json")
            if digest:
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_import_from_a_registry(ec2, daemon, registry):
    anonymous = daemon.run("image", "import", f"{registry}/team/busy:v1", check=False)
    assert anonymous.returncode != 0 and "may you read it" in anonymous.stderr, anonymous.stderr
    config = daemon.home / ".docker"
    config.mkdir(exist_ok=True)
    (config / "config.json").write_text(json.dumps({"auths": {registry: {"auth": "bWU6c2VjcmV0"}}}))
    for path in (config, config / "config.json"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    image = daemon.run("image", "import", f"{registry}/team/busy:v1", "--name", "of-registry").stdout.strip()
    instance = lives(ec2, daemon, image)
    assert daemon.shell([instance], "ls /etc/added")[instance].strip() == "/etc/added"
    ec2.terminate_instances(InstanceIds=[instance])
    daemon.run("image", "rm", image)
    shutil.rmtree(config)
    left = list((daemon.data / "imports").iterdir()) if os.access(daemon.data, os.X_OK) else []
    assert not left, left


def test_import_of_a_layout_archive_and_build_on_it(ec2, daemon):
    blobs, manifest = oci_blobs([root_archive("gz"), second_layer()])
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        index = {"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest,
            "size": len(blobs[manifest]), "platform": {"os": "linux", "architecture": AMD64},
        }]}
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        files |= {"blobs/" + digest.replace(":", "/"): content for digest, content in blobs.items()}
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    path = give(daemon, daemon.base / "layout.tar", memory.getvalue())
    base = daemon.run("image", "import", path, "--name", "layout", "--alias", "tiny").stdout.strip()

    recipe = "FROM tiny\nALIAS golden-tiny\n#!/bin/sh\nset -e\necho built > /root/built\n"
    built = daemon.run(
        "image", "build", give(daemon, daemon.base / "golden.build", recipe.encode()), "--name", "golden-1", limit=180
    )
    image = built.stdout.strip()
    assert "runs the script" in built.stderr, built.stderr
    instance = lives(ec2, daemon, image)
    assert daemon.shell([instance], "cat /root/built")[instance].strip() == "built"
    ec2.terminate_instances(InstanceIds=[instance])

    broken = give(daemon, daemon.base / "broken.build", b"FROM tiny\n#!/bin/sh\necho what went wrong\nexit 7\n")
    failed = daemon.run("image", "build", broken, "--name", "golden-2", check=False, limit=180)
    assert failed.returncode != 0 and "what went wrong" in failed.stderr, failed.stderr
    assert "golden-2" not in daemon.run("image", "list").stdout
    alive = [one["Tags"] for one in ec2.describe_instances(Filters=[
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
        {"Name": "tag:Name", "Values": ["build of *"]},
    ])["Reservations"]]
    assert alive == []
    # The base can go: what was built on it has its layers.
    daemon.run("image", "rm", base, "golden-1")


def test_public_parameters(daemon, host_image):
    ssm = daemon.client("ssm")
    ubuntu = f"/aws/service/canonical/ubuntu/server/24.04/stable/current/{AMD64}/hvm/ebs-gp3/ami-id"
    found = ssm.get_parameter(Name=ubuntu)["Parameter"]
    assert (found["Value"], found["Type"], found["Version"]) == (host_image, "String", 1)
    both = ssm.get_parameters(Names=[ubuntu, "/my/own"])
    assert [one["Name"] for one in both["Parameters"]] == [ubuntu] and both["InvalidParameters"] == ["/my/own"]
    pages = ssm.get_paginator("get_parameters_by_path").paginate(
        Path="/aws/service/ami-amazon-linux-latest", PaginationConfig={"PageSize": 3}
    )
    names = [one["Name"] for page in pages for one in page["Parameters"]]
    assert len(names) == len(set(names)) > 3
    assert code_of(ssm.get_parameter, Name="/my/own") == "ParameterNotFound"
