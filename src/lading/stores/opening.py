"""From locations to stores: opens what a location is in, and finds what it names there.

This module knows the kinds of places by `location.KINDS`, and nothing of how any of them works.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from lading.errors import Unsupported, UsageError
from lading.model.descriptor import Descriptor
from lading.store import Readable, Store, fetch_manifest
from lading.stores.location import KINDS, Location

if TYPE_CHECKING:
    from lading.io.locks import OnWait
    from lading.store import AnyManifest


class Opener(Protocol):
    """What the module of a kind of place has."""

    def open_to_read(self, location: Location) -> AbstractAsyncContextManager[Readable]:
        """The store of a location, to be read."""

    def open_to_write(self, location: Location, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Store]:
        """The store of a location, to be written to; it is made where there is none."""


def open_to_read(location: Location) -> AbstractAsyncContextManager[Readable]:
    """The store of a location on this machine, to be read.

    Args:
        location: any but one in a registry.

    Raises:
        UsageError: it is in a registry.
        NotFound: on entering: the directory or file does not exist.
        InvalidContent: on entering: it is something else.
    """
    return _opener(location).open_to_read(location)


def open_to_write(location: Location, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Store]:
    """The store of a location on this machine, to be written to; it is made where there is none.

    Args:
        location: any but one in a registry. In a Docker archive or engine, bare tags are in the repository it names.
        on_wait: is told when another process holds a lock that it needs for some seconds.

    Raises:
        UsageError: it is in a registry.
        InvalidContent: on entering: there is something else.
    """
    return _opener(location).open_to_write(location, on_wait)


def open_to_change(location: Location, on_wait: OnWait | None = None) -> AbstractAsyncContextManager[Store]:
    """The store of a location on this machine, to change what is in it; see `open_to_write`.

    Raises:
        Unsupported: what is there can only be read, or replaced as a whole.
    """
    check_changeable(location)
    return open_to_write(location, on_wait)


def check_changeable(location: Location) -> None:
    """Refuse a location of which the store can only be read, or replaced as a whole.

    Raises:
        Unsupported: it is one.
    """
    if location.is_replaced or location.is_stream:
        raise Unsupported(
            f"{location.place} cannot be changed",
            remedy="copy what is wanted to another",
            code="read-only-location",
            fields={"location": str(location), "kind": location.kind},
        )


async def resolve_location(store: Readable, location: Location) -> Descriptor:
    """Find the manifest that a location names in its store: where it has no name, the only one there is.

    Raises:
        NotFound: there is none.
        Conflict: there are several, and the location does not say which.
        UsageError: there are several in a Docker archive.
    """
    return await store.resolve(location.name or "")


async def fetch_location(store: Readable, location: Location) -> AnyManifest:
    """The manifest that a location names, in one round trip where its store can; see `resolve_location`."""
    return await fetch_manifest(store, location.name or "")


def _opener(location: Location) -> Opener:
    module = KINDS[location.kind].module
    if not module:
        raise UsageError(f"{location} is in a registry, not on this machine")
    return cast("Opener", import_module(module))
