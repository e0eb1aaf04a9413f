"""From a configuration to where a request goes, by which way and with what. Pure; it sends nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

import msgspec
from msgspec import structs

from lading.errors import UsageError
from lading.registry import urls
from lading.registry.auth.scopes import Scope
from lading.registry.hosts.configuration import Alternative, Config
from lading.registry.hosts.settings import HostConfig, Override
from lading.registry.http.transport import Route

Pairs = tuple[tuple[str, str], ...]


class Destination(msgspec.Struct, frozen=True):
    """Where a request goes: a registry, a path on it, and what that needs."""

    registry: str
    path: str
    scopes: tuple[Scope, ...] = ()
    query: Pairs = ()
    insecure: bool = False
    """Whether what leads there accepts plain HTTP and unverifiable TLS."""


def destinations_of(config: Config, target: Destination, *, mirrors: bool = False) -> tuple[Destination, ...]:
    """Where a request goes by what is configured, in the order in which they are asked; the last one decides.

    Args:
        config: says of mirrors, prefixes, and what is blocked.
        target: where it would go otherwise.
        mirrors: whether mirrors may be asked.

    Raises:
        Denied: the registry is blocked.
    """
    repository = next((scope.repository for scope in target.scopes if scope.kind == "repository"), "")
    inner = f"/v2/{repository}"
    match = re.fullmatch(_PATH, target.path[len(inner) :]) if target.path.startswith(f"{inner}/") else None
    by: Literal["digest", "tag"] | None = None
    if mirrors and match is not None and match["kind"] in ("manifests", "blobs"):
        by = "digest" if ":" in match["name"] else "tag"
    found = config.alternatives(target.registry, repository, by)
    return tuple(_moved(target, alternative, repository, match) for alternative in found)


def _moved(target: Destination, alternative: Alternative, repository: str, match: re.Match[str] | None) -> Destination:
    """A destination at another place of its repository.

    Args:
        target: the destination as it was asked for.
        alternative: the place.
        repository: the repository's name, as it was asked for.
        match: what follows the repository in the path; None where the path is kept: a registry itself named it, such as
            the address at which an upload goes on.
    """
    moved = structs.replace(target, registry=alternative.registry, insecure=alternative.insecure)
    there = alternative.repository
    if there == repository or not repository:
        return moved

    def renamed(name: str) -> str:
        if name == repository:
            return there
        # Its neighbours are below the same path.
        return there.removesuffix(repository) + name if there.endswith(f"/{repository}") else name

    return structs.replace(
        moved,
        path=f"/v2/{there}{match[0]}" if match is not None else target.path,
        scopes=tuple(
            scope._replace(repository=renamed(scope.repository)) if scope.kind == "repository" else scope
            for scope in target.scopes
        ),
        query=tuple((key, renamed(value) if key == "from" else value) for key, value in target.query),
    )


_PATH = r"/(?P<kind>manifests|blobs|tags|referrers)/(?P<name>[^?]*)(\?.*)?"


def route_to(address: str, config: HostConfig, insecure: bool, addresses: Mapping[str, str]) -> Route:
    """How a host is reached.

    Args:
        address: its name, with its port where it has one.
        config: how it is spoken to.
        insecure: whether any certificate is accepted.
        addresses: IP addresses by `HOST:PORT`, which are used instead of what a look-up gives.

    Raises:
        UsageError: the environment names a proxy that is none.
    """
    hostname, port = urls.split_port(address)
    there = addresses.get(f"{hostname.lower()}:{port or (80 if config.plain_http else 443)}")
    # This machine is trusted to be itself, unless its authority is named; and no proxy leads to it.
    is_here = urls.is_loopback(hostname)
    http = https = None
    if not (there or is_here):
        from lading.registry.hosts.proxies import find_proxy

        http, https = find_proxy("http", address), find_proxy("https", address)
    return Route(
        insecure=insecure or (is_here and not config.ca_files),
        ca_files=config.ca_files,
        cert_file=config.cert_file,
        key_file=config.key_file,
        address=(hostname, there) if there else None,
        http_proxy=http.url if http else None,
        https_proxy=https.url if https else None,
    )


def headers_for(override: Override, registry: str, named: Collection[str]) -> Pairs:
    """The header fields that are given for a registry.

    Args:
        override: what is given.
        registry: a registry that is named.
        named: all that are named so far.

    Raises:
        UsageError: there are several, and it is not said which of them a header is for.
    """
    loose = [name for where, name, _ in override.headers if not where]
    if loose and len(named) > 1:
        raise UsageError(
            f"it is not said which registry the header {loose[0]} is for",
            cause=f"there is more than one: {', '.join(sorted(named))}",
            remedy="name it, or put the header in lading's config.toml",
            code="ambiguous-header",
            fields={"header": loose[0], "registry": registry, "registries": sorted(named)},
        )
    return tuple((name, value) for where, name, value in override.headers if where in ("", registry.lower()))
