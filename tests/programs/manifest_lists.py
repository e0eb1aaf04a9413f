"""docker-py#2357: `docker manifest create`, `annotate`, `inspect` and `push`, which docker-py does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lading import Client, Digest


def create(client: Client, name: str, images: Sequence[str], *, amend: bool = False) -> None:
    """`docker manifest create [--amend] NAME IMAGE…`."""
    client.drafts.create(name, images, amend=amend)


def annotate(client: Client, name: str, image: str, *, arch: str = "", os: str = "", variant: str = "") -> None:
    """`docker manifest annotate NAME IMAGE`."""
    client.drafts.annotate(name, image, architecture=arch, os=os, variant=variant)


def inspect(client: Client, name: str) -> dict[str, Any]:
    """`docker manifest inspect NAME`: the list that is being made, else the one in the registry."""
    for draft in client.drafts.list():
        if str(draft.reference) == name:
            return draft.index.document
    return client.get(name).document


def push(client: Client, name: str, *, purge: bool = False) -> Digest:
    """`docker manifest push [--purge] NAME`."""
    return client.drafts.push(name, purge=purge).digest


def remove(client: Client, *names: str) -> None:
    """`docker manifest rm NAME…`."""
    client.drafts.discard(*names)
