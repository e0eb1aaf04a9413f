"""`Client.drafts`: everything that is done with drafts, bound to a client's registries and a user's store.

This module only binds; what the methods do is in the modules of their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from lading.drafts import annotate as _annotate
from lading.drafts import create as _create
from lading.drafts import pull as _pull
from lading.drafts import push as _push
from lading.drafts import remove as _remove
from lading.drafts import status as _status
from lading.drafts.draft import Draft
from lading.drafts.entries import Connect
from lading.drafts.store import DraftStore
from lading.model.reference import Reference
from lading.stores.location import registry_reference

P = ParamSpec("P")
T = TypeVar("T")


class _Bound(Generic[P, T]):
    """A method made of a function whose first arguments are those of `Drafts`."""

    def __init__(self, function: Callable[Concatenate[Connect, DraftStore, P], Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, drafts: Drafts, owner: type[Drafts] | None = None) -> Callable[P, Coroutine[Any, Any, T]]:
        return partial(self._function, drafts.connect, drafts.store)


class Drafts:
    """Manifest lists in the making.

    Args:
        connect: gives the store of a reference, such as `AsyncClient.connect`.
        store: where the drafts are kept.
    """

    def __init__(self, connect: Connect, store: DraftStore) -> None:
        self.connect = connect
        self.store = store

    create = _Bound(_create.create)
    add = _Bound(_create.add)
    pull = _Bound(_pull.pull)
    push = _Bound(_push.push)
    prune = _Bound(_status.prune)

    async def annotate(self, target: Reference | str, image: str | None = None, **changes: Any) -> _annotate.Annotated:
        """Change what a draft says about an entry or itself; see `lading.drafts.annotate.annotate`."""
        return await asyncio.to_thread(_annotate.annotate, self.store, target, image, **changes)

    async def remove(self, target: Reference | str, *images: str) -> _remove.Removed:
        """Remove entries from a draft; see `lading.drafts.remove.remove`."""
        return await asyncio.to_thread(_remove.remove, self.store, target, images)

    async def discard(self, *targets: Reference | str) -> tuple[Reference, ...]:
        """Remove whole drafts, here only; returns those that there were none of."""
        references = [registry_reference(target) for target in targets]
        return await asyncio.to_thread(self.store.remove, references)

    async def load(self, target: Reference | str) -> Draft:
        """A draft.

        Raises:
            NotFound: there is none of this name.
        """
        reference = registry_reference(target)
        return await asyncio.to_thread(self.store.load, reference)

    async def list(self) -> tuple[Draft, ...]:
        """Every draft, by name; one that cannot be read has a `problem` instead of entries."""
        return await asyncio.to_thread(self.store.list)

    async def status(self, drafts: Iterable[Draft]) -> tuple[_status.Status, ...]:
        """How drafts stand against what their registries have; all are asked at once."""
        return await _status.status(self.connect, drafts)


class Run(Protocol):
    """Runs asynchronous work to its end."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """Run it and return what it returns."""


class SyncDrafts:
    """`Drafts` for programs without an event loop: the same methods, each returning its result.

    Args:
        drafts: what does the work.
        run: runs it.
    """

    def __init__(self, drafts: Drafts, run: Run) -> None:
        self.store = drafts.store
        self._run = run
        self.create = self._face(drafts.create)
        self.add = self._face(drafts.add)
        self.pull = self._face(drafts.pull)
        self.push = self._face(drafts.push)
        self.prune = self._face(drafts.prune)
        self.annotate = self._face(drafts.annotate)
        self.remove = self._face(drafts.remove)
        self.discard = self._face(drafts.discard)
        self.load = self._face(drafts.load)
        self.list = self._face(drafts.list)
        self.status = self._face(drafts.status)

    def _face(self, method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._run(method(*args, **kwargs))

        call.__doc__ = method.__doc__
        return call
