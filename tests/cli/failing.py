"""What the tests of failures share: what a failed command must look like, and that it changed nothing."""

import base64
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.certs import Authority
from support.fakes import Reply, ScriptedServer
from support.images import Manifest, get_manifest, list_tags
from support.lading import Lading
from support.parts import missing
from support.process import Ran

NOT_FOUND, DENIED, RATE_LIMITED, UNREACHABLE, CONTENT, CONFLICT, UNSUPPORTED, USAGE = 3, 4, 5, 6, 7, 8, 9, 2


def fails(lading: Lading, *args: str, code: int, says: Sequence[str], stdin: bytes = b"") -> Ran:
    """Run a command that must fail: with this exit code and these words, in three lines, and nothing on stdout."""
    ran = lading.run(*args, check=False, stdin=stdin)
    assert_failed(ran, code, says)
    return ran


def assert_failed(ran: Ran, code: int, says: Sequence[str]) -> None:
    lines = ran.stderr.splitlines()
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    assert 1 <= len(lines) <= 3, ran.stderr
    assert lines[0].startswith("error: "), ran.stderr
    assert all(line.startswith("  ") for line in lines[1:]), ran.stderr
    assert "Traceback" not in ran.stderr
    told = [re.sub(r"^(error:|\s)\s*", "", line) for line in lines]
    assert not any(one in other for one in told for other in told if one is not other), ran.stderr
    for words in says:
        assert words in ran.stderr
    assert says[0] in lines[0], ran.stderr


def local(lading: Lading) -> dict[str, bytes]:
    """Everything in Docker's folder, but the locks, which say nothing."""
    folder = lading.docker_config
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "locks" not in path.parts
    }


def remote(host: str, repository: str) -> dict[str, str]:
    """Every tag of a repository, with what it names."""
    return {tag: get_manifest(host, repository, tag)[2] for tag in list_tags(host, repository)}


@contextmanager
def unchanged(lading: Lading, host: str | None = None, repository: str = "") -> Iterator[None]:
    """Nothing changes meanwhile: not what is in Docker's folder, and not what the tags of a repository name."""
    before = local(lading), remote(host, repository) if host else {}
    yield
    assert (local(lading), remote(host, repository) if host else {}) == before


def served(manifest: Manifest, *, digest: str | None = None) -> Reply:
    """A manifest as a registry serves it, if need be with somebody else's digest."""
    headers = (("Content-Type", manifest.media_type), ("Docker-Content-Digest", digest or manifest.digest))
    return Reply(headers=headers, body=manifest.content)


def know(lading: Lading, host: str, user: str, password: str) -> None:
    """Put credentials where Docker keeps them, without asking anybody whether they are right."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    (lading.docker_config / "config.json").write_text(json.dumps({"auths": {host: {"auth": encoded}}}))


class OutwardServer(ScriptedServer):
    """A scripted server on all of this machine's addresses, called by one that is not its loopback."""

    def __init__(self, *, tls: Authority | None = None) -> None:
        super().__init__(tls=tls, hostname=own_address())

    def start(self) -> None:
        create = socket.create_server

        def create_outward(address: Any, **options: Any) -> socket.socket:
            return create(("", address[1]), **options)

        socket.create_server = create_outward
        try:
            super().start()
        finally:
            socket.create_server = create


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback; where there is none, the test ends here."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout
    addresses = [word for word in said.split() if "." in word and not word.startswith("127.")]
    return addresses[0] if addresses else missing("this machine has no address but its loopback")


def folder_of(lading: Lading, reference: str) -> Path:
    """Where a local list of that name is."""
    return lading.docker_config / "manifests" / reference.replace(":", "-").replace("/", "_")
