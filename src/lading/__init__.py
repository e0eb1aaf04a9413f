"""Container image manifests, registries and OCI artifacts, without a daemon.

The public API. Names are loaded when they are first used, so `import lading` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading._version import __version__

if TYPE_CHECKING:
    from lading.client import AsyncClient
    from lading.client.sync import Client
    from lading.errors import LadingError
    from lading.model.config import ImageConfig
    from lading.model.descriptor import Descriptor
    from lading.model.digest import Digest
    from lading.model.index import Index
    from lading.model.manifest import Manifest
    from lading.model.platform import Platform
    from lading.model.reference import Reference
    from lading.store import Store

_HOME = {
    "AsyncClient": "client",
    "Client": "client.sync",
    "Descriptor": "model.descriptor",
    "Digest": "model.digest",
    "ImageConfig": "model.config",
    "Index": "model.index",
    "LadingError": "errors",
    "Manifest": "model.manifest",
    "Platform": "model.platform",
    "Reference": "model.reference",
    "Store": "store",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Descriptor",
    "Digest",
    "ImageConfig",
    "Index",
    "LadingError",
    "Manifest",
    "Platform",
    "Reference",
    "Store",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'lading' has no attribute {name!r}")
    return getattr(import_module(f"lading.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
