"""One path looked for from the top layer down, so that layers are not read that cannot matter.

What is found is what a merge of all layers would give. Where that cannot be known without the layers below (a parent
that may be a symbolic link there, a hard link into them), the answer is that it is unclear, and all are to be merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from lading.images.files.attributes import kept
from lading.images.files.filesystem import OPAQUE, TYPES, WHITEOUT, Inode, Node
from lading.io.tar_stream import Member

_HOPS = 40
_IDS = 2**32 - 1


class Found(NamedTuple):
    """What a path leads to."""

    path: str
    node: Node


Answer = Found | Literal["absent", "unclear"] | None
"""What is known: where it is; that it is not there; that all layers are needed; None for one more layer."""


class Search:
    """Looks for one path.

    Args:
        path: the path.
        follow: whether a symbolic link at its end is followed.
    """

    def __init__(self, path: str, *, follow: bool) -> None:
        self._path = path
        self._follow = follow
        self._layers: list[tuple[int, _Names]] = []

    def add(self, number: int, members: Iterable[Member]) -> Answer:
        """Look again, with the next layer from the top.

        Args:
            number: which one it is, from 0; with the lowest, all are to be merged.
            members: its entries.
        """
        names = _Names(members)
        if number == 0 or names.is_odd:
            return "unclear"
        self._layers.append((number, names))
        return self._look()

    def _look(self) -> Answer:
        todo = [part for part in reversed(self._path.split("/")) if part not in ("", ".")]
        trail: list[tuple[str, int]] = [("", self._floor(""))]
        visited: set[str] = set()
        hops = 0
        while todo:
            name = todo.pop()
            at, floor = trail[-1]
            if name == "..":
                if not self._is_said(at):
                    return "unclear"
                if len(trail) > 1:
                    trail.pop()
                continue
            path = f"{at}/{name}" if at else name
            visited.add(path)
            entry = self._newest(path, floor)
            if not isinstance(entry, tuple):
                return self._sure(entry, visited)
            number, member = entry
            if member is not None and member.type != "5" and self._may_be_elsewhere(path, number):
                return "unclear"
            if member is None or member.type == "5":
                trail.append((path, max(floor, self._floor(path))))
            elif member.type == "2" and (todo or self._follow):
                hops += 1
                if hops > _HOPS:
                    return "unclear"
                if member.link.startswith("/"):
                    del trail[1:]
                todo += [part for part in reversed(member.link.split("/")) if part not in ("", ".")]
            elif todo:
                return self._sure("absent", visited)
            else:
                return self._sure(self._file(path, number, member), visited)
        return "unclear"  # a directory, which may be in any layer

    def _newest(self, path: str, floor: int) -> tuple[int, Member | None] | Literal["absent"] | None:
        """The layer that has the newest entry of a path, with the entry; that is None for an implied directory."""
        for number, names in self._layers:
            if number < floor:
                return "absent"
            if path in names.entries:
                return number, names.entries[path]
            if path in names.implied:
                return number, None
            if path in names.whiteouts:
                return "absent"
        return "absent" if self._layers[-1][0] <= floor else None

    def _floor(self, path: str) -> int:
        """The number of the lowest layer whose content of a directory is not hidden, as far as is known."""
        floor = 0
        for number, names in self._layers:
            if path in names.opaques or path in names.whiteouts:
                floor = max(floor, number)
            if path in names.entries and names.entries[path].type != "5":
                floor = max(floor, number + 1)
        return floor

    def _is_said(self, path: str) -> bool:
        """Whether the newest entry of a directory is there, so that it is no symbolic link of a layer below."""
        if not path:
            return True
        entry = self._newest(path, 0)
        return isinstance(entry, tuple) and entry[1] is not None

    def _may_be_elsewhere(self, path: str, number: int) -> bool:
        """Whether an entry may be below a symbolic link that a later layer has put a directory in the place of."""
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        unsaid = [parent for parent in parents if parent not in dict(self._layers)[number].entries]
        return any(parent in names.entries for at, names in self._layers if at > number for parent in unsaid)

    def _file(self, path: str, number: int, member: Member) -> Answer:
        if member.type == "1":
            target = self._target(dict(self._layers)[number], path, member)
            if target is None or not self._follow:
                return "unclear"
            member = target
        name = path.rpartition("/")[2]
        if not self._follow and any(name in names.linked for _, names in self._layers):
            return "unclear"
        return Found(path, Node(Inode(member, number), number))

    @staticmethod
    def _target(names: _Names, path: str, member: Member) -> Member | None:
        """What a hard link of a layer leads to in the same layer; None where that cannot be said."""
        for _ in range(_HOPS):
            target = "/".join(part for part in member.link.split("/") if part not in ("", "."))
            found = names.entries.get(target)
            if found is None or names.order[target] >= names.order[path]:
                return None
            if found.type != "1":
                return found if found.type == "0" else None
            path, member = target, found
        return None

    def _sure(self, answer: Answer, visited: set[str]) -> Answer:
        """The answer, if nothing that was read may be at one of these paths under another name."""
        if answer is None:
            return None
        parts = {path.rpartition("/")[2] for path in visited}
        for _, names in self._layers:
            if names.loose_opaques or (answer == "absent" and names.loose):
                return "unclear"
            if any(path not in visited for part in parts & names.loose.keys() for path in names.loose[part]):
                return "unclear"
        return answer


class _Names:
    """The entries of a layer by their paths."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.entries: dict[str, Member] = {}
        self.order: dict[str, int] = {}
        self.whiteouts: set[str] = set()
        self.opaques: set[str] = set()
        self.implied: set[str] = set()
        self.loose: dict[str, list[str]] = {}
        """By their last parts, paths of which a parent has no entry, so that it may be a symbolic link below."""
        self.loose_opaques: set[str] = set()
        self.linked: set[str] = set()
        """The last parts of what hard links lead to."""
        self.is_odd = False
        for member in members:
            self._add(member)
        self._find_loose()

    def _add(self, member: Member) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        path = "/".join(parts)
        if path in self.entries or ".." in parts or not member.name or not _is_plain(member):
            self.is_odd = True
        if not parts:
            return
        parent, _, name = path.rpartition("/")
        if name == OPAQUE:
            self.opaques.add(parent)
        elif name.startswith(WHITEOUT):
            hidden = name.removeprefix(WHITEOUT)
            self.is_odd = self.is_odd or hidden in ("", ".", "..")
            self.whiteouts.add(f"{parent}/{hidden}" if parent else hidden)
        else:
            self.order[path] = len(self.entries)
            self.entries[path] = member
        if member.type == "1":
            self.linked.add(member.link.rpartition("/")[2])

    def _find_loose(self) -> None:
        solid = {"": True}

        def is_solid(directory: str) -> bool:
            missing = []
            while directory not in solid:
                missing.append(directory)
                directory = directory.rpartition("/")[0]
            for path in reversed(missing):
                entry = self.entries.get(path)
                if entry is None:
                    self.implied.add(path)
                solid[path] = entry is not None and entry.type == "5" and solid[path.rpartition("/")[0]]
            return solid[missing[0] if missing else directory]

        for path in (*self.entries, *self.whiteouts):
            parent, _, name = path.rpartition("/")
            if not is_solid(parent):
                self.loose.setdefault(name, []).append(path)
        self.loose_opaques = {path for path in self.opaques if not is_solid(path)}


def _is_plain(member: Member) -> bool:
    known = member.type in TYPES or member.type == "1"
    linked = member.type not in ("1", "2") or bool(member.link)
    return known and linked and 0 <= member.uid < _IDS and 0 <= member.gid < _IDS and kept(member)[0] is member
