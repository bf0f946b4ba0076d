"""Identities for tests: policies by their few words, and clients that sign as somebody else than the root."""

import json

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def deny(*actions, resource="*", **more):
    return {**allow(*actions, resource=resource, **more), "Effect": "Deny"}


def trust(principal, *actions, **more):
    return document({"Effect": "Allow", "Principal": principal, "Action": list(actions or ["sts:AssumeRole"]), **more})


TRUSTS_EC2 = trust({"Service": "ec2.amazonaws.com"})
TRUSTS_ACCOUNT = trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})


def code_of(call, **arguments):
    """The code of the refusal that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    assert 400 <= answer["ResponseMetadata"]["HTTPStatusCode"] < 500, answer
    return answer["Error"]["Code"]


def text_of(call, **arguments):
    """The text of the refusal that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Message"]


def client_of(daemon, service, credentials, **more):
    """A client that signs with an access key of CreateAccessKey or with credentials of STS."""
    return daemon.client(service, credentials={**credentials, "Token": credentials.get("SessionToken")}, **more)


def pages_of(client, operation, member, size, **arguments):
    """The items of each page of a list."""
    pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **arguments)
    return [page[member] for page in pages]
