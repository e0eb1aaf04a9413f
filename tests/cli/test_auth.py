"""Credentials on the command line: which ones are used, where they are kept, and what is said of them."""

import json
from pathlib import Path

import pytest

from support.images import make_image, push
from support.lading import Lading
from support.registry import RealRegistry
from support.tokens import TokenService


def login(lading: Lading, host: str, user: str, password: str, *options: str) -> None:
    lading.run("login", host, "--username", user, "--password-stdin", *options, stdin=password.encode())


class TestTwoSides:
    """One copy, two identities in one registry: each sees its own side only."""

    @pytest.fixture
    def tokens(self) -> TokenService:
        grants = {"reader": {"from/*": {"pull"}}, "writer": {"to/*": {"pull", "push"}}, "alice": {"*": {"*"}}}
        return TokenService({"reader": "secret 1", "writer": "secret 2", "alice": "secret"}, grants=grants)

    def test_each_side_has_a_file_of_its_own(self, tokens: TokenService, lading: Lading, tmp_path: Path) -> None:
        reader, writer = str(tmp_path / "reader.json"), str(tmp_path / "writer.json")
        with RealRegistry(tokens=tokens) as registry:
            push(registry.host, "from/app", "1", make_image(), auth=("alice", "secret"))
            login(lading, registry.host, "reader", "secret 1", "--authfile", reader)
            login(lading, registry.host, "writer", "secret 2", "--authfile", writer)
            assert not (lading.docker_config / "config.json").exists()
            words = ["copy", f"{registry.host}/from/app:1", f"{registry.host}/to/app:1"]
            assert lading.run(*words, check=False).returncode == 4
            assert lading.run(*words, "--src-authfile", reader, check=False).returncode == 4
            assert lading.run(*words, "--src-authfile", writer, "--dst-authfile", reader, check=False).returncode == 4
            tokens.reset()
            lading.run(*words, "--src-authfile", reader, "--dst-authfile", writer, env={"LADING_CACHE": "0"})
            asked = {(request.account, scope) for request in tokens.requests for scope in request.scopes}
            assert ("reader", "repository:from/app:pull") in asked
            assert ("writer", "repository:to/app:pull,push") in asked
            assert not any(account == "reader" and "to/app" in scope for account, scope in asked)
            lading.run("digest", f"{registry.host}/to/app:1", "--authfile", writer)

    def test_so_have_namespaces(self, tokens: TokenService, lading: Lading) -> None:
        with RealRegistry(tokens=tokens) as registry:
            push(registry.host, "from/app", "1", make_image(), auth=("alice", "secret"))
            login(lading, f"{registry.host}/from", "reader", "secret 1")
            login(lading, f"{registry.host}/to", "writer", "secret 2")
            lading.run("copy", f"{registry.host}/from/app:1", f"{registry.host}/to/app:1")
            document = json.loads((lading.docker_config / "config.json").read_text())
            assert list(document["auths"]) == [f"{registry.host}/from", f"{registry.host}/to"]
            assert "Removing" in lading.run("logout", f"{registry.host}/to").stdout
            assert lading.run("digest", f"{registry.host}/to/app:1", check=False).returncode == 4
            lading.run("digest", f"{registry.host}/from/app:1")
