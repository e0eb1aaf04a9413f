"""Amazon ECR from the command line: moto plays AWS, and a real registry that takes AWS's logins only plays Amazon's.

`HTTPS_PROXY` leads the names of Amazon's registries to it. As with Amazon, nothing can be pushed into a repository that
was not made.
"""

import base64
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.certs import Authority
from support.fakes import Reply, Request, error_reply
from support.images import Manifest, get_manifest, make_image, make_index, push
from support.lading import Lading
from support.proxy import Action, CountingProxy, Tunnel, first_of
from support.registry import RealRegistry

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
LOGIN = ("AWS", "login-1")
IMAGE = make_image(seed="ecr")


def give_login(request: Request) -> Action | None:
    """AWS's answer to who asks for a login. Those of moto have ended: each request asks for another one."""
    if "GetAuthorizationToken" not in (request.headers.get("X-Amz-Target") or ""):
        return None
    token = base64.b64encode(":".join(LOGIN).encode()).decode()
    data = {"authorizationToken": token, "expiresAt": time.time() + 12 * 3600}
    return Reply(body=json.dumps({"authorizationData": [data]}).encode())


class Amazon:
    """Where the names of ECR lead, and lading as somebody whom AWS knows."""

    def __init__(self, folder: Path, lading: Lading, stack: ExitStack) -> None:
        from moto.server import ThreadedMotoServer

        aws = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        aws.start()
        stack.callback(aws.stop)
        host, port = aws.get_host_and_port()
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", b"").close()  # it is one cloud in a process
        self.api = stack.enter_context(CountingProxy(f"http://{host}:{port}"))
        self.api.intercept = give_login
        authority = Authority(folder / "amazon", names=(HOST,))
        self.storage = stack.enter_context(RealRegistry(auth="basic", users=dict([LOGIN])))
        self.registry = stack.enter_context(CountingProxy(self.storage.url, tls=authority))
        self.registry.intercept = self.missing
        tunnel = stack.enter_context(Tunnel(self.registry.host))
        self.lading = lading
        lading.env |= {
            "AWS_ENDPOINT_URL": self.api.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HTTPS_PROXY": tunnel.url,
            "SSL_CERT_FILE": str(authority.ca),
        }

    def repositories(self) -> list[str]:
        found = self.ask("DescribeRepositories", {})["repositories"]
        return [one["repositoryName"] for one in found]

    def ask(self, what: str, document: dict[str, Any]) -> Any:
        headers = {
            "X-Amz-Target": f"AmazonEC2ContainerRegistry_V20150921.{what}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/eu-west-1/ecr/aws4_request, "
            "SignedHeaders=host, Signature=0",
        }
        asked = urllib.request.Request(self.api.url, json.dumps(document).encode(), headers)
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def missing(self, request: Request) -> Action | None:
        """Amazon's answer to who writes into a repository that is not there."""
        match = re.match(r"/v2/(.+?)/(?:blobs|manifests)/", request.path)
        if match is None or request.headers.get("Authorization") is None or request.method in ("GET", "HEAD"):
            return None
        if match[1] in self.repositories():
            return None
        words = f"The repository with name '{match[1]}' does not exist in the registry with id '{ACCOUNT}'"
        return error_reply(404, "NAME_UNKNOWN", words)

    def push(self, repository: str, tag: str, manifest: Manifest) -> None:
        """Put something there without lading."""
        if repository not in self.repositories():
            self.ask("CreateRepository", {"repositoryName": repository})
        push(self.storage.host, repository, tag, manifest, auth=LOGIN)

    def has(self, repository: str, tag: str) -> str:
        """The digest of what was pushed."""
        return get_manifest(self.storage.host, repository, tag, auth=LOGIN)[2]


@pytest.fixture
def amazon(tmp_path: Path, lading: Lading) -> Iterator[Amazon]:
    with ExitStack() as stack:
        yield Amazon(tmp_path, lading, stack)


@pytest.fixture
def layout(tmp_path: Path, lading: Lading, amazon: Amazon) -> str:
    amazon.push("source", "1", IMAGE)
    lading.run("pull", f"{HOST}/source:1", f"oci:{tmp_path}/layout:1")
    amazon.api.reset()
    return f"oci:{tmp_path}/layout:1"


class TestRepositories:
    def test_one_that_is_missing_is_said_with_what_to_do(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        ran = lading.run("copy", layout, f"{HOST}/team/new:1", check=False)
        assert ran.returncode == 3
        assert ran.stderr.splitlines()[-3:] == [
            f"error: {HOST} has no repository team/new",
            f"  name unknown: The repository with name 'team/new' does not exist in the registry with id '{ACCOUNT}'",
            "  --create-repository makes it; "
            "or: aws ecr create-repository --region eu-west-1 --repository-name team/new",
        ]
        assert "team/new" not in amazon.repositories()

    def test_copy_makes_it(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        ran = lading.run("copy", "--create-repository", layout, f"{HOST}/team/new:1")
        assert ran.stdout == f"{HOST}/team/new:1@{IMAGE.digest}\n"
        assert "warning" not in ran.stderr
        assert amazon.has("team/new", "1") == IMAGE.digest
        made = [one for one in amazon.api.exchanges if "CreateRepository" in (one.headers.get("X-Amz-Target") or "")]
        assert len(made) == 1, "once, however many blobs were under way"

    def test_push_makes_it(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        lading.run("push", "--create-repository", layout, f"{HOST}/team/new:1")
        assert amazon.has("team/new", "1") == IMAGE.digest

    def test_tag_makes_it(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        ran = lading.run("tag", f"{HOST}/source:1", f"{HOST}/team/new:2", check=False)
        assert ran.returncode == 3
        assert "--create-repository makes it" in ran.stderr
        lading.run("tag", "--create-repository", f"{HOST}/source:1", f"{HOST}/team/new:2")
        assert amazon.has("team/new", "2") == IMAGE.digest

    def test_manifest_push_makes_it(self, amazon: Amazon, lading: Lading) -> None:
        amazon.push("source", "1", IMAGE)
        lading.run("manifest", "create", f"{HOST}/team/list:1", f"{HOST}/source:1")
        ran = lading.run("manifest", "push", f"{HOST}/team/list:1", check=False)
        assert ran.returncode == 3
        assert "--create-repository makes it" in ran.stderr
        ran = lading.run("manifest", "push", "--create-repository", f"{HOST}/team/list:1")
        assert amazon.has("team/list", "1") == ran.stdout.splitlines()[-1]
        lading.run("manifest", "create", f"{HOST}/team/more:1", f"{HOST}/source:1", "--push", "--create-repository")
        assert "team/more" in amazon.repositories()

    def test_a_dry_run_makes_nothing(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        lading.run("copy", "--dry-run", "--create-repository", layout, f"{HOST}/team/new:1")
        assert "team/new" not in amazon.repositories()

    def test_where_it_is_there_aws_is_not_asked(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        lading.run("copy", "--create-repository", layout, f"{HOST}/source:2")
        assert not any("CreateRepository" in (one.headers.get("X-Amz-Target") or "") for one in amazon.api.exchanges)

    def test_who_may_not_make_one_is_told(self, amazon: Amazon, lading: Lading, layout: str) -> None:
        def refuse(request: Request) -> Action | None:
            if "CreateRepository" not in (request.headers.get("X-Amz-Target") or ""):
                return None
            words = "User: arn:aws:iam::1:user/ci is not authorized to perform: ecr:CreateRepository"
            return Reply(status=400, body=json.dumps({"__type": "AccessDeniedException", "message": words}).encode())

        amazon.api.intercept = first_of(refuse, give_login)
        ran = lading.run("copy", "--create-repository", layout, f"{HOST}/team/new:1", check=False)
        assert ran.returncode == 4
        assert f"error: the repository {HOST}/team/new could not be made" in ran.stderr
        assert "is not authorized to perform: ecr:CreateRepository" in ran.stderr

    def test_others_make_theirs_by_themselves(
        self, lading: Lading, amazon: Amazon, layout: str, registry: RealRegistry, repository: str
    ) -> None:
        lading.run("copy", "--create-repository", layout, f"{registry.host}/{repository}:1")
        assert amazon.repositories() == ["source"]


class TestLogins:
    def test_no_login_at_all(self, amazon: Amazon, lading: Lading) -> None:
        amazon.push("source", "1", make_index([IMAGE, make_image(seed="arm")]))
        assert lading.run("digest", f"{HOST}/source:1").stdout.startswith("sha256:")
        assert lading.run("tags", f"{HOST}/source").stdout == "1\n"
        amazon.registry.reset()
        lading.run("digest", f"{HOST}/source:1")
        assert amazon.registry.lines == ["HEAD /v2/source/manifests/1"], "the challenge is remembered"

    def test_login_as_with_docker(self, amazon: Amazon, lading: Lading) -> None:
        """`aws ecr get-login-password | lading login --username AWS --password-stdin HOST`."""
        amazon.push("source", "1", IMAGE)
        for name in [name for name in lading.env if name.startswith("AWS_")]:
            lading.env.pop(name)
        lading.env["AWS_EC2_METADATA_DISABLED"] = "true"
        ran = lading.run("login", "--username", "AWS", "--password-stdin", HOST, stdin=f"{LOGIN[1]}\n".encode())
        assert ran.stdout == "Login Succeeded\n"
        assert lading.run("digest", f"{HOST}/source:1").stdout.strip() == IMAGE.digest
        ran = lading.run("login", "--username", "AWS", "--password-stdin", HOST, stdin=b"wrong", check=False)
        assert ran.returncode == 4

    def test_explain_says_that_aws_answered(self, amazon: Amazon, lading: Lading) -> None:
        amazon.push("source", "1", IMAGE)
        ran = lading.run("auth", "explain", f"{HOST}/source:1")
        assert "* AWS's own credentials" in " ".join(ran.stdout.split())
        assert LOGIN[1] not in ran.stdout + ran.stderr
