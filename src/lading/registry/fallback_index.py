"""The list of what refers to one manifest, under its fallback tag (distribution-spec §Referrers Tag Schema).

A registry keeps it as any other index, and has no way to change it only if it is what was read: of two clients that
add to it at once, the one that is faster is overwritten. So what was written is read again, until it has stayed: the
longer the longer it takes from reading to writing here, and the more others are seen to write. This module is given
functions that read and write, and sends nothing itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from lading.errors import Conflict, NotFound, Unsupported
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.media_types import OCI_INDEX
from lading.model.tags import fallback_tag
from lading.store import AnyManifest

PATIENCE = 90.0
"""How long it is tried against other writers, in seconds."""
_LEAST, _MOST = 0.04, 2.0
"""How long it is waited at least and at most before what was written is read again, in seconds."""
_IGNORED = 3
"""How often what was written is written again where nothing of it was seen."""
_SLOWER = 4.0
"""How much longer others may take from reading to writing than this client did."""

Wanted = Mapping[Digest, Descriptor | None]
"""For each referrer its entry, or None where it is to be in the list no more."""


class FallbackIndex:
    """The list of the referrers of one manifest, as the tasks of one client change it: many at once in one writing.

    Args:
        name: `registry/repository`, for messages.
        subject: the manifest.
        fetch: gets a manifest of the repository by tag or digest.
        contains: says whether a manifest is in the repository.
        put: puts a manifest into the repository under a tag.
        delete: deletes a manifest of the repository.
    """

    def __init__(
        self,
        name: str,
        subject: Digest,
        *,
        fetch: Callable[[str], Awaitable[AnyManifest]],
        contains: Callable[[Descriptor], Coroutine[Any, Any, bool]],
        put: Callable[[AnyManifest, str], Awaitable[None]],
        delete: Callable[[Descriptor], Awaitable[None]],
    ) -> None:
        self._name = name
        self._subject = subject
        self._tag = fallback_tag(subject)
        self._fetch = fetch
        self._contains = contains
        self._put = put
        self._delete = delete
        self._wanted: dict[Digest, Descriptor | None] = {}
        self._turn = asyncio.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether no task wants it changed."""
        return not self._wanted

    async def read(self) -> Index | None:
        """The list; None where there is none."""
        found = await self._found()
        return found if isinstance(found, Index) and found.digest != self._subject else None

    async def change(self, referrer: Digest, entry: Descriptor | None) -> None:
        """Have a referrer in the list, or no more; what others have in it stays.

        Args:
            referrer: its digest.
            entry: as which it is listed; None to take it out.

        Raises:
            Conflict: other writers kept overwriting the list, or the tag names something else; nothing was changed.
            Unsupported: the registry answers for the tag with the manifest itself, and so has no such list.
        """
        self._wanted[referrer] = entry
        try:
            async with self._turn:
                # Another task may have done it with its own.
                if referrer in self._wanted and self._wanted[referrer] is entry:
                    wanted = dict(self._wanted)
                    await self._write(wanted)
                    self._wanted = {
                        digest: one
                        for digest, one in self._wanted.items()
                        if digest not in wanted or wanted[digest] is not one
                    }
        finally:
            if self._wanted.get(referrer) is entry:
                self._wanted.pop(referrer, None)

    async def _write(self, wanted: Wanted) -> None:
        """Change the list, and look until that has stayed."""
        deadline = time.monotonic() + PATIENCE
        window = 0.0
        written: Index | None = None
        before: Index | None = None
        is_written, lost, ignored = False, 0, 0
        while True:
            started = time.monotonic()
            now = await self._list(wanted)
            changed = _changed(now, wanted)
            if changed is now:
                if not is_written or _is_same(now, written):
                    return  # it has stayed as it was when it was looked at before, or needed no change
                written = now
            else:
                # Where it is as it was, nobody else has written: the registry does not keep it.
                is_ignored = is_written and _is_same(now, before)
                ignored = ignored + 1 if is_ignored else 0
                lost += is_written and not is_ignored
                if started > deadline or ignored > _IGNORED:
                    raise self._overwritten(wanted, is_ignored=ignored > _IGNORED)
                before = now
                await self._replace(now, changed)
                window = max(window, time.monotonic() - started)
                is_written, written = True, changed
            await asyncio.sleep(_pause(window, lost))

    async def _replace(self, before: Index | None, changed: Index | None) -> None:
        if changed is not None:
            try:
                await self._put(changed, self._tag)
            except NotFound as error:
                await self._put(await self._without_gone(changed, error), self._tag)
        elif before is not None:
            # By its digest: a list that another client has put in its place meanwhile stays.
            try:
                await self._delete(before.descriptor)
            except NotFound:
                return

    async def _without_gone(self, index: Index, error: NotFound) -> Index:
        """A list without what others have deleted and left in it: some registries take no index of what they lack.

        Raises:
            NotFound: it is something else that the registry lacks.
        """
        are_there = await gather(map(self._contains, index.manifests))
        left = [entry for entry, is_there in zip(index.manifests, are_there, strict=True) if is_there]
        if len(left) == len(index.manifests):
            raise error
        return Index.build(left, OCI_INDEX, index.annotations, base=index.document)

    async def _list(self, wanted: Wanted) -> Index | None:
        """The list that is to be changed.

        Raises:
            Conflict: the tag names something else.
            Unsupported: the registry answers for the tag with the subject.
        """
        found = await self._found()
        if isinstance(found, Index) and found.digest != self._subject and found.media_type == OCI_INDEX:
            return found
        if found is None or not any(wanted.values()):
            return None
        is_subject = found.digest == self._subject
        raise (Unsupported if is_subject else Conflict)(
            f"{self._name} cannot list what refers to {self._subject}",
            cause=f"the tag {self._tag}, under which it would be listed, names "
            + ("the manifest itself" if is_subject else f"something else, {found.digest}, which was left alone"),
            remedy="what was written is there by its digest; give it a tag to find it"
            if is_subject
            else "remove that tag, and do it again",
            code="fallback-tag-taken",
            fields={"reference": f"{self._name}:{self._tag}"},
        )

    async def _found(self) -> AnyManifest | None:
        try:
            return await self._fetch(self._tag)
        except NotFound:
            return None

    def _overwritten(self, wanted: Wanted, *, is_ignored: bool) -> Conflict:
        digest = next(iter(wanted))
        return Conflict(
            f"{self._name}@{digest} could not be listed as a referrer",
            cause=f"the registry took the list under the tag {self._tag}, and does not give it out"
            if is_ignored
            else f"other writers kept changing the tag {self._tag} for {PATIENCE:g} s",
            remedy="look at what the registry stores, and at its cache"
            if is_ignored
            else "do it again when they are done",
            code="list-overwritten",
            fields={"reference": f"{self._name}:{self._tag}"},
        )


def _changed(now: Index | None, wanted: Wanted) -> Index | None:
    """A list with what is wanted; the very same where it has that, and None where nothing is left of it."""
    listed = {entry.digest: entry for entry in reversed(now.manifests)} if now is not None else {}
    added = [entry for digest, entry in wanted.items() if entry is not None and digest not in listed]
    gone = {digest for digest, entry in wanted.items() if entry is None and digest in listed}
    if not added and not gone:
        return now
    entries = [*(entry for entry in reversed(listed.values()) if entry.digest not in gone), *added]
    if not entries:
        return None
    base, annotations = (now.document, now.annotations) if now is not None else (None, None)
    return Index.build(entries, OCI_INDEX, annotations, base=base)


def _is_same(one: Index | None, other: Index | None) -> bool:
    return (one.digest if one is not None else None) == (other.digest if other is not None else None)


def _pause(window: float, lost: int) -> float:
    """How long to wait before what was written is read again, in seconds.

    Args:
        window: how long it took from reading to writing, at most.
        lost: how often what was written was overwritten: then there is a crowd, and each waits for another time.
    """
    least = min(max(_LEAST, window * _SLOWER), _MOST)
    return least * (1 + random.random() * (1 << min(lost, 4)))
