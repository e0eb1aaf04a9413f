"""The names of registries, as people write them."""

from __future__ import annotations

from lading.errors import InvalidReference
from lading.model.reference import Reference
from lading.registry.config import DOCKER_HUB


def parse_registry(text: str) -> str:
    """The host of a registry from its name, or from the URL form that Docker keeps.

    Raises:
        InvalidReference: the text has more than a host.
    """
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host = host.removesuffix("/v1").removesuffix("/v2")
    if host in DOCKER_HUB:
        return DOCKER_HUB[0]
    # A name without a dot or a port would be a part of Docker Hub's in a reference, and is a host here.
    named = host if "." in host or ":" in host else f"{host}:443"
    try:
        parsed = Reference.parse(f"{named}/x/x")
    except InvalidReference:
        parsed = None
    if parsed is None or parsed.repository != "x/x":
        raise InvalidReference(f"{text!r} is not a registry", cause="expected HOST[:PORT]")
    return host if named != host else parsed.registry
