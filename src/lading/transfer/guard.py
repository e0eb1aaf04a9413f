"""What a name must stand for before it is set or removed: one guard for everything that changes a store's names.

The names are looked at first, so that nothing is done in vain, and again last, just before they are changed: a store
that `SwapsTags` looks in the step that changes them. Knows stores, and not which ones; and nothing of what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from lading.errors import Conflict, NotFound
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.store import Check, Glances, Readable

Expected = Digest | Literal["absent"]
"""The digest that a name must stand for; `absent` where it must not exist."""


class Guard(msgspec.Struct, frozen=True):
    """The condition on which a name is changed.

    Args:
        expected: what the name must stand for; None for anything.
        clobber: False leaves a name alone that stands for other content than it is to get.
        steady: a name must stand for what it did when it was looked at, by whoever asks for the change.
    """

    expected: Expected | None = None
    clobber: bool = True
    steady: bool = False

    @classmethod
    def of(cls, if_digest: str | None, *, clobber: bool = True) -> Guard:
        """A guard from what a user says: a digest, `absent`, or nothing.

        Raises:
            InvalidDigest: it is neither.
        """
        if if_digest == "absent":
            return cls("absent", clobber)
        return cls(Digest(if_digest) if if_digest is not None else None, clobber)

    def __bool__(self) -> bool:
        """Whether there is a condition at all."""
        return self.expected is not None or not self.clobber or self.steady

    def check(self, title: str, found: Digest | None, wanted: Digest | None = None) -> None:
        """Raise Conflict where a name does not stand for what it must.

        Args:
            title: what the name is called in the message.
            found: what it stands for; None where it does not exist.
            wanted: what it is to stand for; None where it is to be removed.
        """
        if self.expected == "absent" and found is not None:
            raise Conflict(
                f"{title} was not changed, because it exists", cause=f"it names {found}", fields={"reference": title}
            )
        if self.expected not in (None, "absent", found):
            raise Conflict(
                f"{title} was not changed, because it does not name {self.expected}",
                cause=f"it names {found}" if found is not None else "there is no such tag",
                fields={"reference": title},
            )
        if not self.clobber and found not in (None, wanted):
            raise Conflict(
                f"{title} exists, and was not changed",
                cause=f"it names {found}, not {wanted}",
                fields={"reference": title},
            )

    def of_names(self, names: Mapping[str, tuple[str, Digest | None]], wanted: Digest | None = None) -> Check | None:
        """The check for a store that compares and changes in one step; None where there is no condition.

        Args:
            names: for each name what it is called in the message, first.
            wanted: what they are to stand for; None where they are to be removed.
        """
        if not self:
            return None

        def check(name: str, found: Digest | None) -> None:
            self.check(names[name][0], found, wanted)
            if self.steady:
                _check_same(*names[name], found)

        return check

    async def check_again(self, store: Readable, names: Mapping[str, tuple[str, Digest | None]]) -> None:
        """Raise Conflict where a name no longer stands for what it did when it was checked; free without a condition.

        Args:
            store: what the names are in.
            names: for each name what it is called in the message, and what it stood for.
        """
        if not self:
            return
        # Where a list has just said that there is no such name, one more answer does that says so.
        looks = await gather(
            find_named(store, name, surely=not self.steady or before is not None) for name, (_, before) in names.items()
        )
        for (title, before), now in zip(names.values(), looks, strict=True):
            _check_same(title, before, now.digest if now is not None else None)


def _check_same(title: str, before: Digest | None, found: Digest | None) -> None:
    """Raise Conflict where a name no longer stands for what it did."""
    if found != before:
        raise Conflict(
            f"{title} was not changed, because it has changed meanwhile",
            cause=f"it names {found}" if found is not None else "it was removed",
            fields={"reference": title},
        )


async def find_named(store: Readable, name: str, *, surely: bool = True) -> Descriptor | None:
    """The manifest that a name stands for; None where the name does not exist.

    Args:
        store: what the name is in.
        name: the name.
        surely: whether something depends on it.
    """
    if not surely and isinstance(store, Glances):
        return await store.glance(name)
    try:
        return await store.resolve(name)
    except NotFound:
        return None
