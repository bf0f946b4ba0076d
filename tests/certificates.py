"""Certificates for tests, made with openssl, and what the tests of ACM, IAM and trust stores share."""

import socket
import ssl
import subprocess
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from elastane import until


def openssl(folder, *arguments, given=None):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, input=given, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Pair:
    """A certificate, its key and its issuer's certificate as PEM."""

    body: str
    key: str
    chain: str


class Authority:
    """An authority that issues in a folder of its own."""

    def __init__(self, folder, name="Test Authority"):
        self.folder = folder
        self.made = 0
        openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "30", "-subj", f"/O=Tests/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )
        self.pem = (folder / "ca.pem").read_text()

    def issue(self, *names, kind=("rsa:2048",), days=10):
        self.made += 1
        stem = f"leaf{self.made}"
        openssl(
            self.folder, "req", "-newkey", *kind, "-nodes", "-keyout", f"{stem}.key", "-out", f"{stem}.csr",
            "-subj", f"/CN={names[0]}",
        )
        extensions = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\nextendedKeyUsage=serverAuth\n"
        (self.folder / f"{stem}.ext").write_text(extensions)
        openssl(
            self.folder, "x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", f"{stem}.ext", "-out", f"{stem}.pem",
        )
        self.last = self.folder / f"{stem}.pem"
        return Pair(self.last.read_text(), (self.folder / f"{stem}.key").read_text(), self.pem)

    def revocations(self, *certificates):
        """A revocation list over these files."""
        (self.folder / "index.txt").touch()
        (self.folder / "index.txt.attr").write_text("unique_subject = no\n")
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=crlnumber\ncertificate=ca.pem\n"
            "private_key=ca.key\ndefault_md=sha256\ndefault_crl_days=30\n"
        )
        for certificate in certificates:
            openssl(self.folder, "ca", "-config", "ca.cnf", "-revoke", str(certificate))
        openssl(self.folder, "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
        return (self.folder / "crl.pem").read_text()


def refused(code, call, **arguments):
    """The call is refused with this code."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


class Front:
    """A load balancer with one HTTPS listener that answers itself."""

    def __init__(self, daemon, name, certificate, port=443, **listener):
        self.daemon, self.name = daemon, name
        self.elb, ec2 = daemon.client("elbv2"), daemon.client("ec2")
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
        self.arn = self.elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": name}}
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTPS", Port=port, Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[answer], **listener,
        )["Listeners"][0]["ListenerArn"]

    def address(self):
        def found():
            balancers = self.daemon.status()["load_balancers"]
            balancer = next((one for one in balancers if one["name"] == self.name), None)
            return balancer["urls"] if balancer else None

        url = until(found, 20, "the listener's address")[0]
        host, _, port = url.split("://")[1].rstrip("/").partition(":")
        return host, int(port or 443)

    def shown(self, name, trusted):
        """The certificate that a client which asks for `name` gets, as PEM, after it was verified by `trusted`."""
        context = ssl.create_default_context(cadata=trusted)
        with socket.create_connection(self.address(), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as stream:
                stream.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while piece := stream.recv(4096):
                    answer += piece
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                return ssl.DER_cert_to_PEM_cert(stream.getpeercert(binary_form=True))

    def delete(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)


def same(one, other):
    """Whether two PEM certificates are the same."""
    return ssl.PEM_cert_to_DER_cert(one.strip()) == ssl.PEM_cert_to_DER_cert(other.strip())
