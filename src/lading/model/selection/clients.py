"""The clients that pull, as values: which program, which version, and by which of its ways.

This module knows which behaviour a version has, and nothing of what the behaviour does to a list.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from lading.arguments import several
from lading.errors import UsageError
from lading.model.selection.platforms import Library


class PullClient(msgspec.Struct, frozen=True):
    """A client that pulls: `docker@28.5.2+containerd` is the text of one.

    A version of which only the beginning is said (`docker@29`) is the newest of those.
    """

    name: str
    """`docker`, `containerd` (its Go client), `ctr`, `podman`, `buildah` or `skopeo`."""
    version: str
    variant: str | None = None
    """How it works or what is done with it, such as Docker's `graphdriver` and `containerd` stores."""

    @classmethod
    def parse(cls, text: str) -> PullClient:
        """Read `CLIENT[@VERSION][+VARIANT]`; without a version it is the newest that lading knows.

        Raises:
            UsageError: there is no such client, or not in this version, or without such a variant.
        """
        found = _CLIENT.fullmatch(text)
        family = _FAMILIES.get(found["name"]) if found else None
        if found is None or family is None:
            raise UsageError(
                f"{text!r} is not a client that lading knows",
                cause=f"it knows {', '.join(_FAMILIES)}",
                remedy="write CLIENT[@VERSION][+VARIANT], such as docker@28.5.2+containerd",
            )
        version = found["version"] or family.newest
        if _key(version) < _key(family.oldest, 0):
            raise UsageError(
                f"{text!r} is older than what lading knows",
                cause=f"it knows {found['name']} from {family.oldest} to {family.newest}, and takes what comes after "
                "for the latter",
            )
        variants = family.variants(_key(version))
        variant = found["variant"]
        if variant is not None and variant not in variants:
            known = " and ".join(name for name in variants if name)
            raise UsageError(
                f"{text!r} is not a client that lading knows",
                cause=f"{found['name']} {version} has the variants {known}"
                if known
                else f"{found['name']} {version} has no variants",
            )
        return cls(found["name"], version, variant or variants[0])

    def __str__(self) -> str:
        """`CLIENT@VERSION[+VARIANT]`."""
        return f"{self.name}@{self.version}" + (f"+{self.variant}" if self.variant else "")

    @property
    def title(self) -> str:
        """The client for people: `docker 28.5.2 (containerd)`."""
        return f"{self.name} {self.version}" + (f" ({self.variant})" if self.variant else "")

    def since(self, version: str) -> bool:
        """Whether this version is that one or a later one."""
        return _key(self.version) >= _key(version, 0)

    @property
    def library(self) -> Library:
        """The version of containerd's platform library it is built with."""
        if self.variant == "upstream":
            return Library.DOCKER_20_10
        steps = _LIBRARIES["containerd" if self.name == "ctr" else self.name]
        return max((library for version, library in steps if self.since(version)), default=Library.CONTAINERD_1_6)

    @property
    def image_library(self) -> tuple[int, int]:
        """The version of `containers/image` it is built with, as far as it matters here; (0, 0) for any before."""
        steps = _IMAGE_LIBRARIES.get(self.name, ())
        return max((number for version, number in steps if self.since(version)), default=(0, 0))


def parse_clients(texts: Iterable[PullClient | str] | PullClient | str) -> tuple[PullClient, ...]:
    """Clients from their texts, each once, in order."""
    clients = (PullClient.parse(text) if isinstance(text, str) else text for text in several(texts))
    return tuple(dict.fromkeys(clients))


def newest() -> tuple[PullClient, ...]:
    """The clients that people run, each in the newest version that lading knows."""
    return parse_clients(("docker", "containerd", "podman", "skopeo"))


def every() -> tuple[PullClient, ...]:
    """One client for each behaviour that lading knows, newest first."""
    return parse_clients(
        (
            "docker@29.7.2+containerd",
            "docker@29.7.2+graphdriver",
            "docker@28.5.2+containerd",
            "docker@28.5.2+graphdriver",
            "docker@20.10.24",
            "docker@20.10.24+upstream",
            "containerd@2.3.4",
            "containerd@1.6.39",
            "ctr@2.3.4+transfer",
            "ctr@2.3.4+local",
            "ctr@1.6.39",
            "podman@5.8.2",
            "podman@4.3.1",
            "buildah@1.44.0",
            "buildah@1.28.2",
            "skopeo@1.22.2+copy",
            "skopeo@1.22.2+inspect",
            "skopeo@1.9.3+copy",
        )
    )


_Key = tuple[float, ...]
_CLIENT = re.compile(r"(?P<name>[a-z]+)(?:@v?(?P<version>[0-9]+(?:\.[0-9]+){0,2}))?(?:\+(?P<variant>[a-z]+))?")


class _Family(msgspec.Struct, frozen=True):
    oldest: str
    newest: str
    variants: Any
    """From the key of a version to the names of its variants, the default first."""


def _docker_variants(version: _Key) -> tuple[str | None, ...]:
    if version < (23,):
        return ("graphdriver", "upstream")
    if version < (24,):
        return ("graphdriver",)
    return ("graphdriver", "containerd") if version < (29,) else ("containerd", "graphdriver")


_FAMILIES = {
    "docker": _Family("20.10", "29.7.2", _docker_variants),
    "containerd": _Family("1.6", "2.3.4", lambda _: (None, "unpack")),
    "ctr": _Family("1.6", "2.3.4", lambda version: ("transfer", "local") if version >= (2,) else ("local",)),
    "podman": _Family("4.0", "5.8.2", lambda _: (None,)),
    "buildah": _Family("1.24", "1.44.0", lambda _: (None,)),
    "skopeo": _Family("1.3", "1.22.2", lambda _: ("copy", "inspect")),
}
_LIBRARIES: dict[str, tuple[tuple[str, Library], ...]] = {
    "docker": (("27.1.0", Library.V0_2), ("28.0.0", Library.RC_1), ("29.0.0", Library.RC_2), ("29.6.0", Library.RC_4)),
    "containerd": (
        ("1.7.19", Library.V0_2),
        ("2.0.0", Library.RC_0),
        ("2.0.2", Library.RC_1),
        ("2.2.0", Library.RC_2),
        ("2.3.0", Library.RC_4),
    ),
    "podman": (("5.3.0", Library.V0_2), ("5.4.0", Library.RC_1)),
    "buildah": (("1.38.0", Library.V0_2), ("1.39.0", Library.RC_1), ("1.44.0", Library.RC_4)),
    "skopeo": (),
}
# What is new in containers/image: 5.25 prefers zstd, 5.28 names an artifact by its artifactType, 5.31 quotes.
_IMAGE_LIBRARIES: dict[str, tuple[tuple[str, tuple[int, int]], ...]] = {
    "podman": (("4.5.0", (5, 25)), ("4.7.0", (5, 28)), ("5.1.0", (5, 31))),
    "buildah": (("1.30.0", (5, 25)), ("1.32.0", (5, 28)), ("1.36.0", (5, 31))),
    "skopeo": (("1.12.0", (5, 25)), ("1.14.0", (5, 28)), ("1.16.0", (5, 31))),
}


@lru_cache(maxsize=256)
def _key(version: str, unsaid: float = math.inf) -> _Key:
    """Versions in order; what is not said of one is higher than anything."""
    numbers = [int(part) for part in version.split(".")]
    return (*numbers, *[unsaid] * (3 - len(numbers)))
