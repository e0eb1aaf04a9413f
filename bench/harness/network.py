"""The two networks that scenarios run in, both on loopback, and what each tool has to be told to use them.

`plain` is HTTP without credentials. `realistic` is TLS 1.3 with HTTP/2, Bearer tokens from a second host, and a round
trip of 40 ms: a relay delays both directions, without limiting the bandwidth, and charges a round trip for a new
connection. The registries are Debian's docker-registry.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.certs import Authority
from support.process import bare_environment
from support.registry import RealRegistry
from support.tokens import ISSUER, TokenService

NETWORKS = {
    "plain": "loopback, HTTP, no credentials",
    "realistic": "TLS 1.3, HTTP/2, Bearer tokens from a second host, a round trip of 40 ms",
}
LATENCY = 0.04
USER, PASSWORD = "alice", "secret"

_PLAIN_WORDS = {
    "crane": "crane --insecure",
    "oras_plain": "--plain-http",
    "oras_from_to": "--from-plain-http --to-plain-http",
    "oras_from": "--from-plain-http",
    "oras_to": "--to-plain-http",
    "skopeo_from_to": "--src-tls-verify=false --dest-tls-verify=false",
    "skopeo_from": "--src-tls-verify=false",
    "skopeo_to": "--dest-tls-verify=false",
    "tls_no": "--tls-verify=false",
    "docker_insecure": "--insecure",
    "regsync": "disabled '' ''",
}


class Traffic(NamedTuple):
    """What went over a network so far: requests, connections, bytes (headers of TCP among them)."""

    requests: int
    connections: int
    bytes: int


class Network:
    """Two registries, perhaps far away, and the environment in which tools reach them.

    `hosts` are where tools find the registries, `direct` where content is made beforehand, past the relay. `words` are
    what the commands of scenarios have to say in this network.
    """

    def __init__(self, name: str, folder: Path, registries: list[RealRegistry], hosts: list[str]) -> None:
        self.name = name
        self.folder = folder
        self.hosts = hosts
        self.direct = hosts
        self.registries = registries
        self.words: dict[str, str] = dict.fromkeys(_PLAIN_WORDS, "") | {
            "crane": "crane",
            "regsync": f"enabled {USER} {PASSWORD}",
        }
        self.authority: Authority | None = None
        self.tokens: TokenService | None = None
        self._read = [0, 0]
        self._requests = self._connections = 0
        self._seen: set[str] = set()

    def environment(self, home: Path) -> dict[str, str]:
        """The environment of a tool whose home is a folder, with configurations for this network in it."""
        environment = bare_environment(home)
        environment["DOCKER_CONFIG"] = str(home / ".docker")
        environment["NO_COLOR"] = "1"
        lading = [f'[hosts."{host}"]\n' for host in self.hosts]
        auths = {}
        if self.authority is None:
            lading = [f"{table}plain_http = true\n" for table in lading]
        else:
            environment["SSL_CERT_FILE"] = str(self.authority.ca)
            assert self.tokens is not None
            places = [*self.hosts, re.sub(r"^https://|/.*", "", self.tokens.realm)]
            lading = [f'[hosts."{host}"]\nca_file = "{self.authority.ca}"\n' for host in places]
            secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            auths = {host: {"auth": secret} for host in self.hosts}
        tls = "disabled" if self.authority is None else "enabled"
        _write(home / ".config/lading/config.toml", "".join(lading))
        _write(home / ".docker/config.json", json.dumps({"auths": auths}))
        _write(home / ".regctl/config.json", json.dumps({"hosts": {host: {"tls": tls} for host in self.hosts}}))
        return environment

    def traffic(self) -> Traffic:
        """All that went over it since it is there."""
        for at, registry in enumerate(self.registries):
            with (registry.folder / "log").open("rb") as log:
                log.seek(self._read[at])
                text = log.read()
            text = text[: text.rfind(b"\n") + 1]
            self._read[at] += len(text)
            self._requests += len(re.findall(rb"^127\.0\.0\.1 - ", text, re.MULTILINE))
            self._seen.update(f"{at}/{found.decode()}" for found in re.findall(rb'remoteaddr="?([0-9.]+:[0-9]+)', text))
        tokens = self.tokens
        requests = self._requests + (len(tokens.requests) if tokens else 0)
        connections = len(self._seen) + (tokens.connections if tokens else 0)
        hops = 2 if tokens else 1  # what goes through the relay goes over loopback twice
        return Traffic(requests, connections, _loopback_bytes() // hops)


class _RelayedTokens(TokenService):
    """A token service that tools find at a relay."""

    relay = ""

    @property
    def realm(self) -> str:
        return f"https://{self.relay}/token"


@contextmanager
def network(name: str, *, on_disk: bool) -> Iterator[Network]:
    """A network, from its start to its end; its registries keep content on disk, or in memory if there is room."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lading-bench-")))
        if name == "plain":
            registries = [stack.enter_context(RealRegistry(on_disk=on_disk)) for _ in range(2)]
            found = Network(name, folder, registries, [registry.host for registry in registries])
            found.words = dict(_PLAIN_WORDS)
        else:
            found = _realistic(stack, folder, on_disk=on_disk)
        yield found


def _realistic(stack: ExitStack, folder: Path, *, on_disk: bool) -> Network:
    authority = Authority(folder / "certificates")
    tokens = _RelayedTokens({USER: PASSWORD}, tls=authority, expires_in=3600)
    tokens.start()
    stack.callback(tokens.stop)
    [tokens.relay] = stack.enter_context(relay(LATENCY, [tokens.host]))
    bundle = folder / "tokens.pem"
    bundle.write_bytes(tokens.root_certificate)
    said = {"realm": tokens.realm, "service": tokens.service, "issuer": ISSUER, "rootcertbundle": str(bundle)}
    config = {"auth": {"token": said}}
    registries = [stack.enter_context(RealRegistry(tls=authority, config=config, on_disk=on_disk)) for _ in range(2)]
    hosts = stack.enter_context(relay(LATENCY, [registry.host for registry in registries]))
    found = Network("realistic", folder, registries, hosts)
    found.authority, found.tokens = authority, tokens
    # Content is made through two more registries over the same storage, near and open to all.
    found.direct = [
        stack.enter_context(RealRegistry(config=_storage(registry), on_disk=on_disk)).host for registry in registries
    ]
    return found


def _storage(registry: RealRegistry) -> dict[str, object]:
    return {"storage": {"filesystem": {"rootdirectory": str(registry.folder / "data")}}}


@contextmanager
def relay(latency: float, hosts: list[str]) -> Iterator[list[str]]:
    """The far ends of slow lines to hosts.

    Args:
        latency: seconds of a round trip.
        hosts: `HOST:PORT` each.
    """
    script = Path(__file__).parents[1] / "line.py"
    with subprocess.Popen([sys.executable, script, f"{latency}", *hosts], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield [f"127.0.0.1:{port}" for port in process.stdout.readline().split()]
        finally:
            process.terminate()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def _loopback_bytes() -> int:
    fields = Path("/proc/net/dev").read_text().partition("lo:")[2].split()
    return int(fields[0])
