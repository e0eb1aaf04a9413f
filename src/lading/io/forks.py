"""What a forked child must not go on with: event loops, threads and connections belong to the parent.

Knows nothing of the objects that it tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod

_told: set[WeakMethod[Callable[[], None]]] = set()
_is_registered = False


def call_after_fork(method: Callable[[], None]) -> None:
    """Have a method called in every forked child, before anything else, as long as its object is there.

    What its object shares with the parent, the parent goes on using: it must not be closed in the child, nor let go of
    where that would close it.

    Args:
        method: the bound method of an object.
    """
    global _is_registered  # noqa: PLW0603  # one for the process
    if not _is_registered:
        os.register_at_fork(after_in_child=_tell)
        _is_registered = True
    _told.add(WeakMethod(method, _told.discard))


def _tell() -> None:
    for reference in list(_told):
        if (method := reference()) is not None:
            method()
