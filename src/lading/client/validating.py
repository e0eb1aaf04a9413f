"""Validation of what a user names: opens the places, and finds what each reference names in them.

Knows stores and locations, and nothing of what is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Self

from lading.client import tagging
from lading.client.context import Context
from lading.errors import InvalidContent, LadingError, NotFound, UsageError
from lading.images.validation import Root
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.patterns import listed
from lading.model.tags import tag_in
from lading.store import Readable, fetch_manifest
from lading.stores.location import Location


class Roots:
    """Finds what references name, each place opened once; use it as an asynchronous context manager.

    Args:
        context: the client's.
        mirrored: whether manifests and blobs may come from mirrors.
    """

    def __init__(self, context: Context, *, mirrored: bool) -> None:
        self._context = context
        self._mirrored = mirrored
        self._stack = AsyncExitStack()
        self._stores: dict[str, Readable] = {}

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is asked for."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the places."""
        await self._stack.aclose()

    async def named(self, location: Location) -> Root:
        """What one reference names.

        Raises:
            NotFound: it names nothing.
        """
        location = location.full()
        return await _root(await self._store(location), location.name or "", str(location), is_listed=False)

    async def tags(self, location: Location, include: Sequence[str], exclude: Sequence[str]) -> list[Root]:
        """What the tags of a repository name; of a layout, an archive or an engine likewise.

        Args:
            location: the repository, without a tag.
            include: only the tags that match one of these patterns.
            exclude: none of the tags that match one of these.

        Raises:
            UsageError: the location has a tag or a digest.
            NotFound: there is none.
        """
        if location.is_named:
            raise UsageError(f"{location} names one of its tags, and all of them were asked for")
        store = await self._store(location)
        tags = listed([tag async for tag in tagging.tags_in(store, location)], include=include, exclude=exclude)
        if not tags:
            raise NotFound(f"{location} has no tags" + (" like that" if include or exclude else ""))
        found = [location.with_tag(tag) for tag in tags]
        return await gather(_root(store, tag.name or "", str(tag), is_listed=True) for tag in found)

    async def _store(self, location: Location) -> Readable:
        if location.place not in self._stores:
            opened = self._context.open(location, mirrored=self._mirrored)
            self._stores[location.place] = await self._stack.enter_async_context(opened)
        return self._stores[location.place]


async def _root(store: Readable, name: str, label: str, *, is_listed: bool) -> Root:
    """What a name stands for; a name that is there for what is not is damage, and any other name that is not found no.

    Args:
        store: what it is in.
        name: the name within the store.
        label: the whole name.
        is_listed: whether the name is known to be there.
    """
    try:
        return Root(store=store, name=label, manifest=await fetch_manifest(store, name))
    except NotFound:
        if not is_listed and not await _is_listed(store, name):
            raise
        return Root(store=store, name=label)
    except InvalidContent as error:
        content: Descriptor | None = None
        with suppress(LadingError):
            content = await store.resolve(name)
        return Root(
            store=store,
            name=label,
            content=content,
            problem=error.cause or error.message,
            is_too_large=error.code == "too-large",
        )


async def _is_listed(store: Readable, name: str) -> bool:
    """Whether a store on this machine has a name, where what it stands for was not found."""
    if store.traits.is_remote:
        return False
    tags = [tag async for tag in store.tags()]
    return any(name in ("", tag, tag_in(tag)) for tag in tags)
