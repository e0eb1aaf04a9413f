"""The hook of a copy: a transform takes a manifest and its store, and gives what is copied instead.

A transform is any asynchronous function from a `Graph` to a `Graph`. Those of a copy are applied in their order, after
the manifest was read and before anything is written; in a dry run, too, so that it shows the digest that comes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol, runtime_checkable

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable


class Attached(msgspec.Struct, frozen=True):
    """A manifest that is copied beside a graph, such as one that refers to it."""

    content: Descriptor
    tag: str | None = None
    """The tag that it gets; None for none."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest with all that it leads to, and the store to read it from."""

    store: Readable
    """Has the manifest's blobs and children."""
    manifest: AnyManifest
    title: str
    """What the manifest is called in messages, such as `localhost:5000/app:1.0`, whatever it was transformed to."""
    subjects: tuple[Descriptor, ...] = ()
    """The manifests of the source that are copied, the root first: what refers to them is what refers to the copy."""
    only: frozenset[Digest] | None = None
    """The entries of an index that are copied, while the others are only listed; None for all."""
    platform: Platform | None = None
    """The platform whose image was taken of an index because the target holds one image, and none was asked for."""
    notes: tuple[str, ...] = ()
    """What a user should know of what was done: a sentence each."""
    attached: tuple[Attached, ...] = ()
    """What is copied beside it from the same store, before the names are set."""
    transforms: tuple[Transform, ...] = ()
    """What is still to be done to it, before what the copy itself asks for."""
    resources: AsyncExitStack = msgspec.field(default_factory=AsyncExitStack)
    """Is closed when the copy is done: what a transform has made for it goes then."""

    @classmethod
    def of(cls, store: Readable, manifest: AnyManifest, title: str, resources: AsyncExitStack) -> Graph:
        """The graph of a manifest as it is in a store."""
        entries = manifest.manifests if isinstance(manifest, Index) else ()
        subjects = (manifest.descriptor, *entries)
        return cls(store=store, manifest=manifest, title=title, subjects=subjects, resources=resources)

    def graph(self) -> Graph:
        """The graph itself."""
        return self

    def changed(self, *notes: str, **fields: Any) -> Graph:
        """The same graph with other fields, and more notes."""
        return msgspec.structs.replace(self, notes=(*self.notes, *notes), **fields)


@runtime_checkable
class HasGraph(Protocol):
    """What can be copied, such as a view of an image."""

    def graph(self) -> Graph:
        """The manifest with its store, and what is to be done to it."""


Transform = Callable[[Graph], Awaitable[Graph]]
"""Makes of a graph the one that is copied instead."""
