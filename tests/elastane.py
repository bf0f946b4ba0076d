"""Daemons under test: how they are started, spoken to and ended, and what is left on the machine afterwards."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("ELASTANE_BIN", ROOT / "target/debug/elastane"))
NOBODY = 65534
READY_LIMIT_S = 90
STOP_LIMIT_S = 90
# Limits of waits are written for a machine with nothing else to do; a busy one may take so many times longer.
BUSY = 3
# Variables that tests, benches and their callers have; instances have others.
VARIABLES_OF_OTHERS = re.compile(rb"ELASTANE_(BIN|CHURN_REQUESTS|CRASH_SEED|TRACES|DATA_DIR)=")
# All that the daemons of this run make has a name with this in it, or one made of a data directory's. Other runs may
# share the machine.
RUN = f"elastane-test-{os.getpid()}-"
# Begins the IPv6 addresses that daemons give to load balancers, in /proc.
IPV6_RANGE = "fd656c61"
# A client's call against loopback that takes longer has failed.
CALL_LIMIT_S = 120
# boto3's session, which makes them, is not for two threads at a time.
MAKING_CLIENTS = threading.Lock()


@dataclass(frozen=True)
class Setup:
    """Who runs the daemon, and with which driver."""

    name: str
    driver: str
    as_nobody: bool

    @property
    def sandbox(self):
        return self.driver == "sandbox"


SANDBOX_ROOT = Setup("sandbox-root", "sandbox", as_nobody=False)
SANDBOX_USER = Setup("sandbox-user", "sandbox", as_nobody=True)
PROCESS_USER = Setup("process-user", "process", as_nobody=True)
SETUPS = [SANDBOX_ROOT, SANDBOX_USER, PROCESS_USER]


def why_not(setup):
    """Why this machine cannot run `setup`; None when it can. Found by trying."""
    root = os.geteuid() == 0
    if setup is SANDBOX_ROOT and not root:
        return "needs root"
    if setup is SANDBOX_USER:
        tried = subprocess.run(
            as_user(["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--net", "true"]),
            capture_output=True, text=True, timeout=30, cwd="/",
        )
        if tried.returncode != 0:
            return f"ordinary users may not make namespaces here: {tried.stderr.strip()}"
    return None


def as_user(command):
    """`command` as an ordinary user: as ourselves, or as nobody when we are root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"] + command


class Daemon:
    """One data directory, and the daemon on it while it runs."""

    def __init__(self, setup, *options, time_scale=60):
        self.setup = setup
        self.options = ["--time-scale", str(time_scale), *options]
        # Not pytest's own folder: only root may enter that one.
        self.base = Path(tempfile.mkdtemp(prefix=RUN))
        self.base.chmod(0o755)
        self.data = self.base / "data"
        self.home = self.base / "home"
        # The target directory may be closed to the user that the daemon runs as.
        self.binary = self.base / "elastane"
        shutil.copy2(BINARY, self.binary)
        self.binary.chmod(0o755)
        for folder in (self.data, self.home):
            folder.mkdir()
            if self.drops_privileges:
                os.chown(folder, NOBODY, NOBODY)
        self.process = None
        self.url = None
        self.exports = {}
        self.log = self.base / "log.txt"

    @property
    def drops_privileges(self):
        return self.setup.as_nobody and os.geteuid() == 0

    def command(self, *arguments):
        """A command line of the binary, as the user that the daemon runs as."""
        command = [str(self.binary), *arguments]
        return as_user(command) if self.setup.as_nobody else command

    def run(self, *arguments, limit=180, check=True):
        """Runs a subcommand on this data directory to its end."""
        done = subprocess.run(
            self.command(*arguments, "--data-dir", str(self.data)),
            capture_output=True, text=True, timeout=limit, cwd=self.home, env=self.environment(),
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept, "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home), "TMPDIR": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", **self.exports,
        }

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(
                    "up", "--data-dir", str(self.data), "--listen", "127.0.0.1:0", "--driver", self.setup.driver,
                    *self.options,
                ),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.home,
                env=self.environment(), start_new_session=True,
            )
        watchdog = threading.Timer(READY_LIMIT_S, self.process.kill)
        watchdog.start()
        said = []
        self.url = None
        for line in self.process.stdout:
            said.append(line)
            if found := re.match(r"Ready: (http://127\.0\.0\.1:\d+)\s*$", line):
                self.url = found[1]
                break
        watchdog.cancel()
        if self.url is None:
            self.process.wait(STOP_LIMIT_S)
            raise AssertionError(f"no ready line:\n{''.join(said)}\n{self.log_text()}")
        # What it says later must not fill the pipe.
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()
        exports = self.run("env").stdout
        self.exports = dict(re.findall(r"""^export (\w+)=["']?(.*?)["']?$""", exports, re.MULTILINE))
        return self

    def _drain(self, stream):
        with open(self.log, "a") as log:
            for line in stream:
                log.write(line)

    def log_text(self):
        return self.log.read_text(errors="replace")[-20_000:]

    def kill(self):
        """`kill -9` of the daemon alone."""
        self.process.kill()
        self.process.wait(STOP_LIMIT_S)

    def stop(self):
        """SIGTERM, as an init system would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the daemon did not end after SIGTERM\n{self.log_text()}") from None

    def destroy(self):
        """Resets, stops and forgets everything."""
        try:
            if self.process is not None:
                if self.process.poll() is not None:
                    self.start()
                self.reset()
                self.stop()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.base, ignore_errors=True)

    def reset(self):
        self.run("reset")

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def instances(self):
        """What `elastane status` says of instances, by id."""
        return {instance["id"]: instance for instance in self.status()["instances"]}

    # -- clients

    def aws(self, *arguments, region=None, check=True, limit=CALL_LIMIT_S):
        """The AWS CLI as a person types it; the parsed answer, or the text when it is not JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "awscli", *arguments, *(["--region", region] if region else [])],
            capture_output=True, text=True, timeout=limit, env=self.client_environment(), cwd=self.base,
        )
        if not check:
            return done
        assert done.returncode == 0, f"aws {' '.join(arguments)}\n{done.stdout}\n{done.stderr}\n{self.log_text()}"
        return json.loads(done.stdout) if done.stdout.lstrip()[:1] in ("{", "[") else done.stdout.strip()

    def client_environment(self):
        environment = self.environment()
        # The clients are ours, not the daemon's user's.
        environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        return environment

    def client(self, service, region=None, credentials=None, **config):
        """A boto3 client, of an instance's role when its `credentials` are given. No retries: a failure is to be seen,
        not smoothed over."""
        import boto3
        from botocore.config import Config

        key = credentials["AccessKeyId"] if credentials else self.exports["AWS_ACCESS_KEY_ID"]
        secret = credentials["SecretAccessKey"] if credentials else self.exports["AWS_SECRET_ACCESS_KEY"]
        with MAKING_CLIENTS:
            return boto3.client(
                service,
                region_name=region or self.exports["AWS_DEFAULT_REGION"],
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=credentials["Token"] if credentials else None,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=CALL_LIMIT_S, **config),
            )

    def raw(self, body=b"", headers=None, path="/", method="POST"):
        """An unsigned request as bytes; status and body."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()

    def shell(self, instance_ids, script, limit=60):
        """Runs `script` in each instance by Run Command; standard output by instance. Fails when it fails."""
        ssm = self.client("ssm")
        command = ssm.send_command(
            InstanceIds=list(instance_ids), DocumentName="AWS-RunShellScript",
            Parameters={"commands": script.splitlines()},
        )["Command"]["CommandId"]

        def outcome(instance):
            got = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
            return None if got["Status"] in ("Pending", "InProgress", "Delayed") else got

        output = {}
        for instance in instance_ids:
            got = until(lambda: outcome(instance), limit, f"the command on {instance} to end")
            assert got["Status"] == "Success", got
            output[instance] = got["StandardOutputContent"]
        return output


class Listener:
    """A port of this machine that writes down who connects."""

    def __init__(self, address):
        self.socket = socket.create_server((address, 0))
        self.address, self.port = self.socket.getsockname()
        self.seen = set()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, (peer, _) = self.socket.accept()
            except OSError:
                return
            self.seen.add(peer)
            connection.close()

    def peers(self):
        """Addresses that have connected."""
        return set(self.seen)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


def until(look, limit_s, what, poll_s=0.1):
    """Calls `look` until it returns something true, and returns that. Fails after BUSY times `limit_s`, naming `what`: a
    text, or a function that tells more at that moment."""
    limit_s *= BUSY
    deadline = time.monotonic() + limit_s
    while True:
        if got := look():
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s} s for {what() if callable(what) else what}; last: {got!r}")
        time.sleep(poll_s)


def traces():
    """What instances leave on a machine when nobody cleans up: (kind, what) pairs. Without what other runs of the tests
    have there at the moment."""
    others = Others()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                variables = (entry / "environ").read_bytes() if os.access(entry / "environ", os.R_OK) else b""
            except OSError:
                continue
            if "elastane-test-" in command or b"ELASTANE_" in VARIABLES_OF_OTHERS.sub(b"", variables):
                if int(entry.name) != os.getpid() and not others.have_process(entry, command, variables):
                    found.add(("process", f"{entry.name} {command[:100]}"))
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "elastane" in line]
    found |= {("mount", mount) for mount in mounts}
    if Path("/run/netns").is_dir():
        found |= {("netns", name) for name in os.listdir("/run/netns")}
    found |= {("link", link.name) for link in Path("/sys/class/net").iterdir()}
    if Path("/proc/net/ipv6_route").is_file():
        ranges = {line.split()[0] for line in Path("/proc/net/ipv6_route").read_text().splitlines()}
        found |= {("route", one) for one in ranges if one.startswith(IPV6_RANGE)}
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.startswith(("elastane", "i-")):
                found.add(("cgroup", os.path.join(folder, name)))
    return {(kind, what) for kind, what in found if kind == "process" or not others.have(what)}


class Others:
    """What other runs of the tests have on this machine. Their data directories tell: names of links and control groups
    are made of the directory's, and instances have theirs in it."""

    def __init__(self):
        temporary = Path(tempfile.gettempdir())
        foreign = [base for base in temporary.glob("elastane-test-*") if not base.name.startswith(RUN)]
        sums = [f"{checksum(str(base / 'data')):08x}" for base in foreign]
        self.names = [base.name for base in foreign] + [f"ela{it}" for it in sums] + [f"elastane-{it}" for it in sums]
        self.names += [f"{IPV6_RANGE}{it}" for it in sums]
        self.names += [found.name for base in foreign for found in (base / "data/instances").glob("i-*")]

    def have(self, what):
        return any(name in what for name in self.names)

    def have_process(self, entry, command, variables):
        if self.have(command) or self.have(variables.decode(errors="replace")):
            return True
        # An instance with a root of its own names nothing; its root is a layer in the data directory.
        try:
            mounts = (entry / "mountinfo").read_text(errors="replace").splitlines()
        except OSError:
            return False
        return any(self.have(line) for line in mounts if line.split()[4] == "/")


def ipv6_prefix(data):
    """The prefix of an installation's IPv6 addresses, as 16 hexadecimal digits."""
    return f"{IPV6_RANGE}{checksum(str(data)):08x}"


def checksum(text):
    """As the daemon makes names of data directories."""
    total = 0x811C9DC5
    for byte in text.encode():
        total = (total ^ byte) * 0x01000193 % 2**32
    return total
