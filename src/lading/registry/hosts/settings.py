"""The settings of a host, as values: what can be said of one in a file, in code or for one run. Knows no files.

The type of each value is the setting's; `configuration` finds out which of several counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from lading.arguments import several
from lading.errors import UsageError

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""The names of Docker Hub: the one in references, the one of credentials, the one of requests."""


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somewhere that has what a host has, too."""

    location: str
    """`HOST[:PORT][/PATH]`: repositories are below the path."""
    pull: Literal["all", "digest", "tag"] = "all"
    """What is taken from it: everything, or only what is asked for by digest, or by tag."""


class HostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How lading talks to one host. Its `repr` shows no header: they may hold secrets."""

    insecure: bool = False
    """Accept plain HTTP, and TLS that cannot be verified."""
    plain_http: bool = False
    """Speak plain HTTP, without trying TLS first."""
    ca_file: str | tuple[str, ...] = ()
    """PEM files of authorities to trust beside the system's own."""
    cert_file: str | None = None
    """The PEM file of a certificate to show to a host that asks for one."""
    key_file: str | None = None
    """The PEM file of its key; None where it is in `cert_file`."""
    mirrors: tuple[str | Mirror, ...] = ()
    """Where to look before the host itself is asked, in this order."""
    fallback: bool = True
    """Whether the host itself is asked for what no mirror has."""
    path_prefix: str = ""
    """The path that every repository's name begins with there, such as that of a proxy's cache."""
    headers: Mapping[str, str] = {}
    """Header fields to send to it."""
    credentials: str | None = None
    """Where its credentials are: `none` for anonymous access, or a file of the form of Docker's `config.json`."""
    blocked: bool = False
    """Send it nothing."""
    jobs: int = 8
    """How many requests may be under way at once."""
    requests_per_second: float | None = None
    """How many requests may begin in a second; None for any number."""
    chunk_size: int | None = None
    """The largest part of a blob that is sent with one request, in bytes; None for lading's own choice."""

    def __repr__(self) -> str:
        """What is not as by default; of headers the names."""
        said = [
            f"{name}={tuple(value) if name == 'headers' else value!r}"
            for name in self.__struct_fields__
            if (value := getattr(self, name)) != getattr(DEFAULTS, name)
        ]
        return f"HostConfig({', '.join(said)})"

    @property
    def ca_files(self) -> tuple[str, ...]:
        """`ca_file`, as many as there are."""
        return (self.ca_file,) if isinstance(self.ca_file, str) else self.ca_file


DEFAULTS = HostConfig()


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What is given for this run, and counts before all that is configured. Its `repr` shows no header."""

    insecure: bool = False
    """Accept plain HTTP, and TLS that cannot be verified, from every host."""
    ca_file: str | None = None
    """Authorities to trust beside the system's, whichever host is spoken to."""
    cert_file: str | None = None
    """A certificate to show to the registries that are asked for, and to no other host."""
    key_file: str | None = None
    headers: tuple[tuple[str, str, str], ...] = ()
    """Header fields as registry, name and value; the registry is empty where it is the only one that is named."""
    addresses: Mapping[str, str] = {}
    """`HOST:PORT`, each with the IP address that it is reached at."""

    def __repr__(self) -> str:
        """That it is one."""
        return "<Override>"


class Setting(NamedTuple):
    """The value of a setting, and the place that says so."""

    value: Any
    source: str


def parse_headers(lines: Iterable[str] | str) -> tuple[tuple[str, str, str], ...]:
    """Header fields as they are given for a run: `NAME: VALUE`, or `REGISTRY=NAME: VALUE`.

    Raises:
        UsageError: one is no header field; its value is not repeated.
    """
    import re

    fields = []
    for line in several(lines):
        match = re.fullmatch(r"(?:([^=:\s]+(?::\d+)?)=)?([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*", line)
        if match is None:
            raise UsageError("a header cannot be read", cause="expected NAME: VALUE, or REGISTRY=NAME: VALUE")
        fields.append((canonical(match[1] or ""), match[2], match[3]))
    return tuple(fields)


def parse_addresses(lines: Iterable[str] | str) -> dict[str, str]:
    """The addresses of hosts as they are given for a run: `HOST:PORT:ADDRESS`.

    Raises:
        UsageError: one cannot be read.
    """
    import ipaddress
    import re

    addresses = {}
    for line in several(lines):
        match = re.fullmatch(r"([^:\s\[\]/]+):(\d{1,5}):\[?([0-9a-fA-F.:]+)\]?", line)
        try:
            if match is None or not 0 < int(match[2]) < 65536 or re.fullmatch(r"[\d.]+", match[1]):
                raise ValueError
            address = str(ipaddress.ip_address(match[3]))
        except ValueError:
            raise UsageError(
                f"{line!r} gives no host an address", cause="expected HOST:PORT:ADDRESS, with a name and an IP address"
            ) from None
        addresses[f"{match[1].lower()}:{int(match[2])}"] = address
    return addresses


def canonical(host: str) -> str:
    """A host's name as settings are kept under it: in lower case, and `docker.io` for every name of Docker Hub."""
    host = host.lower()
    return DOCKER_HUB[0] if host in DOCKER_HUB else host
