"""The formats as immutable values over the exact bytes. Pure: no I/O, no async, no clock.

The public names of this room; each is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lading.model.config import ImageConfig
    from lading.model.descriptor import EMPTY, Descriptor
    from lading.model.digest import Digest, Verifier
    from lading.model.index import Index, is_attestation
    from lading.model.manifest import Manifest, parse
    from lading.model.media_types import (
        DOCKER_CONFIG,
        DOCKER_LIST,
        DOCKER_MANIFEST,
        IMAGES,
        INDEXES,
        MANIFESTS,
        OCI_CONFIG,
        OCI_EMPTY,
        OCI_INDEX,
        OCI_MANIFEST,
        OCTET_STREAM,
        LayerType,
    )
    from lading.model.patterns import TagOrder, choose
    from lading.model.platform import Platform
    from lading.model.reference import Reference, is_tag
    from lading.model.selection import PullClient, Selection, every, newest, select
    from lading.model.tags import fallback_tag, subject_of
    from lading.model.version import Version, ascending, highest

_HOME = {
    "config": ("ImageConfig",),
    "descriptor": (
        "EMPTY",
        "Descriptor",
    ),
    "digest": (
        "Digest",
        "Verifier",
    ),
    "index": (
        "Index",
        "is_attestation",
    ),
    "manifest": (
        "Manifest",
        "parse",
    ),
    "media_types": (
        "DOCKER_CONFIG",
        "DOCKER_LIST",
        "DOCKER_MANIFEST",
        "IMAGES",
        "INDEXES",
        "MANIFESTS",
        "OCI_CONFIG",
        "OCI_EMPTY",
        "OCI_INDEX",
        "OCI_MANIFEST",
        "OCTET_STREAM",
        "LayerType",
    ),
    "patterns": (
        "TagOrder",
        "choose",
    ),
    "platform": ("Platform",),
    "reference": (
        "Reference",
        "is_tag",
    ),
    "selection": (
        "PullClient",
        "Selection",
        "every",
        "newest",
        "select",
    ),
    "tags": (
        "fallback_tag",
        "subject_of",
    ),
    "version": (
        "Version",
        "ascending",
        "highest",
    ),
}
"""For each module the public names that it has."""

__all__ = [
    "DOCKER_CONFIG",
    "DOCKER_LIST",
    "DOCKER_MANIFEST",
    "EMPTY",
    "IMAGES",
    "INDEXES",
    "MANIFESTS",
    "OCI_CONFIG",
    "OCI_EMPTY",
    "OCI_INDEX",
    "OCI_MANIFEST",
    "OCTET_STREAM",
    "Descriptor",
    "Digest",
    "ImageConfig",
    "Index",
    "LayerType",
    "Manifest",
    "Platform",
    "PullClient",
    "Reference",
    "Selection",
    "TagOrder",
    "Verifier",
    "Version",
    "ascending",
    "choose",
    "every",
    "fallback_tag",
    "highest",
    "is_attestation",
    "is_tag",
    "newest",
    "parse",
    "select",
    "subject_of",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"lading.model.{module}"), name)
    raise AttributeError(f"module 'lading.model' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return __all__
