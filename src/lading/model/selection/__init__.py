"""What a client pulls: `select` answers for a list, a platform and a client, as the client itself would.

Pure, like all of the model: what has to be read on the way is given to it, and what is missing it asks for.
"""

from __future__ import annotations

import re

import msgspec

from lading.errors import InvalidPlatform
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.selection.c_image import pull_with_image_library
from lading.model.selection.clients import PullClient, every, newest, parse_clients
from lading.model.selection.containerd import pull_with_client, pull_with_ctr
from lading.model.selection.docker import pull_with_graphdriver
from lading.model.selection.platforms import KNOWN_ARCHITECTURES, KNOWN_OS, named
from lading.model.selection.pull import Candidate, Content, Contents, Gap, Outcome, Pull, Selection

__all__ = [
    "Candidate",
    "Content",
    "Contents",
    "Gap",
    "Outcome",
    "PullClient",
    "Selection",
    "every",
    "newest",
    "parse_clients",
    "select",
    "spelled",
]

HOST = Platform(os="linux", architecture="amd64")
"""The machine a client runs on where no other is given: an amd64 of the first level."""

_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+(\([A-Za-z0-9_.%+-]*\))?(/[A-Za-z0-9_.-]+){0,2}")


def select(
    manifest: Manifest | Index,
    platform: Platform | str | None = None,
    *,
    as_: PullClient | str,
    host: Platform = HOST,
    contents: Contents | None = None,
    name: str = "REFERENCE",
) -> Selection:
    """What a client takes when it pulls this.

    What the client reads beyond the list, the manifest of the entry it takes, an index in the index, in places a
    config, is looked up in `contents`. Of what is not there the selection takes the list's word, and names it in
    `needs`: read that, and ask again, until nothing is needed.

    Args:
        manifest: what the name that is pulled stands for: a list, or anything else.
        platform: what is given to the client's `--platform`, in its own notation, such as `linux/arm/v7`,
            `arm64` or `windows(10.0.20348)/amd64`; by default what the client asks for on its host.
        as_: the client, such as `docker@28.5.2+containerd`.
        host: the machine the client runs on; its variant is the level of an amd64 (v1 to v4), or of an arm.
        contents: what is known of the content that the list leads to, by digest.
        name: what is pulled, for the messages of the client.

    Raises:
        InvalidPlatform: no client understands such a platform.
        UsageError: there is no such client.
        InvalidContent: lists within lists go on for longer than a walk follows them.
    """
    client = PullClient.parse(as_) if isinstance(as_, str) else as_
    if host.os == "darwin" and client.name not in ("skopeo", "containerd", "ctr"):
        # There the engine lives in a virtual machine.
        host = msgspec.structs.replace(host, os="linux")
    pull = Pull(client, spelled(platform), host, name, contents or {})
    if client.name in ("podman", "buildah", "skopeo"):
        return pull_with_image_library(pull, manifest)
    if client.name == "ctr":
        return pull_with_ctr(pull, manifest)
    if client.name == "containerd" or client.variant == "containerd":
        return pull_with_client(pull, manifest)
    return pull_with_graphdriver(pull, manifest)


def spelled(platform: Platform | str | None) -> str | None:
    """A platform as clients are asked for it; None where they are not.

    Args:
        platform: a value, or a text in the clients' notation or in lading's own (`windows/amd64:10.0.20348`).

    Raises:
        InvalidPlatform: it is no platform in any of these.
    """
    if isinstance(platform, str) and ":" in platform:
        platform = Platform.parse(platform)
    if platform is None:
        return None
    text = platform if isinstance(platform, str) else named(platform)
    alone = "/" not in text
    if not _PLATFORM.fullmatch(text) or (alone and not _is_known(text)):
        raise InvalidPlatform(
            f"{text!r} is not a platform",
            cause="expected OS/ARCH[/VARIANT], or an operating system or architecture that clients know",
        )
    return text


def _is_known(word: str) -> bool:
    word = word.partition("(")[0].lower()
    return any(known.fullmatch(word) for known in (KNOWN_OS, KNOWN_ARCHITECTURES, _ALIASES))


_ALIASES = re.compile("macos|i386|x86_64|x86-64|aarch64|armhf|armel")
