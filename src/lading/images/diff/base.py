"""Whether layers that are the lowest of both images have to be read to compare their file systems.

What only they have is the same in both, and where both images say the same paths above them, no file of theirs shows in
one image alone. Where anything may depend on what they have, the answer is that they are needed. This module knows the
entries of layers, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lading.images.files.filesystem import OPAQUE, WHITEOUT
from lading.io.tar_stream import Member

_DIRECTORY, _HARD_LINK = "5", "1"


def is_base_needed(a: Sequence[Iterable[Member]], b: Sequence[Iterable[Member]]) -> bool:
    """Whether the layers below these have to be known.

    Args:
        a: the entries of each layer of A that is above them, from the lowest up.
        b: those of B.
    """
    sides = []
    for layers in (a, b):
        upper = _Upper()
        for members in layers:
            if not all(upper.add(member) for member in members):
                return True
        sides.append(upper)
    one, other = sides
    return one.entries != other.entries or one.hidden != other.hidden


class _Upper:
    """What layers say, as far as that is the same whatever is below them."""

    def __init__(self) -> None:
        self.entries: dict[str, bool] = {}
        """What there is in the end: for each path whether it is a directory."""
        self.hidden: set[str] = set()
        """Paths of which nothing that is below can be seen: whiteouts, and what is no directory."""

    def add(self, member: Member) -> bool:
        """Add an entry; False where it depends on what is below."""
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            return False
        path = "/".join(parts)
        if not parts:
            self.entries[path] = True
            return member.type == _DIRECTORY
        parent, _, name = path.rpartition("/")
        # Anything but a directory that these layers have themselves may be a symbolic link below.
        if (parent and not self.entries.get(parent)) or name == OPAQUE:
            return False
        if name.startswith(WHITEOUT):
            hidden = f"{parent}/{name.removeprefix(WHITEOUT)}" if parent else name.removeprefix(WHITEOUT)
            self.hidden.add(hidden)
            return not self.entries.pop(hidden, False)
        if member.type == _DIRECTORY:
            self.entries[path] = True
            return True
        if self.entries.get(path) or (member.type == _HARD_LINK and not self._has(member.link)):
            return False
        self.entries[path] = False
        self.hidden.add(path)
        return True

    def _has(self, target: str) -> bool:
        """Whether a hard link leads to what these layers have."""
        parts = [part for part in target.split("/") if part not in ("", ".")]
        return ".." not in parts and self.entries.get("/".join(parts)) is False
