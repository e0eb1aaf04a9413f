"""Two merged file systems beside each other: which paths differ, and in what, as far as entries tell it.

Whether contents of one size differ is left open here. This module knows file systems, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lading.images.diff.results import FileAspect
from lading.images.files.filesystem import Filesystem, Inode, Node
from lading.io.threads import heed

_FILE, _SYMLINK = "0", "2"
_DEVICES = ("3", "4")


class Tree:
    """The file system of one side.

    Args:
        files: the file system.
        diff_ids: of its layers, from the lowest up.
    """

    def __init__(self, files: Filesystem, diff_ids: Sequence[str]) -> None:
        self.files = files
        self.diff_ids = diff_ids

    def key(self, inode: Inode) -> tuple[str, int]:
        """What names the content of a file: the diff ID of its layer, and where it is in that."""
        return self.diff_ids[inode.layer], inode.member.offset


class Difference:
    """A path at which the two differ, or may differ.

    Attributes:
        path: where it is, in B where both have it.
        a: what is there in A.
        b: what is there in B.
        aspects: in what they differ.
        is_open: whether that is also in their contents is to be found out.
        path_in_a: where it is in A, if it was moved.
    """

    __slots__ = ("a", "aspects", "b", "is_open", "path", "path_in_a")

    def __init__(
        self, path: str, a: Node | None, b: Node | None, aspects: Sequence[FileAspect] = (), *, is_open: bool = False
    ) -> None:
        self.path: str = path
        self.a: Node | None = a
        self.b: Node | None = b
        self.aspects: list[FileAspect] = list(aspects)
        self.is_open: bool = is_open
        self.path_in_a: str | None = None

    @property
    def file_in_a(self) -> Inode | None:
        """The regular file in A; None where there is none."""
        return _regular(self.a)

    @property
    def file_in_b(self) -> Inode | None:
        """The regular file in B; None where there is none."""
        return _regular(self.b)


def differences(
    a: Tree, b: Tree, *, times: bool = False, wants: Callable[[str], bool] | None = None
) -> list[Difference]:
    """The paths at which two file systems differ, directory by directory, sorted.

    Args:
        a: one file system.
        b: the other.
        times: whether times of modification count.
        wants: says which paths are looked at.
    """
    found = []
    for number, one in enumerate(_walk(a, b, times)):
        if not number % 1000:
            heed()
        if wants is None or wants(one.path):
            found.append(one)
    return found


def attributes(a: Node, b: Node, *, times: bool) -> list[FileAspect]:
    """In what two files differ that is the same for all types.

    Args:
        a: one file.
        b: the other.
        times: whether times of modification count.
    """
    left, right = a.inode.member, b.inode.member
    aspects: list[FileAspect] = []
    if _SYMLINK not in (left.type, right.type) and left.mode & 0o7777 != right.mode & 0o7777:
        aspects.append("mode")
    if (left.uid, left.gid) != (right.uid, right.gid):
        aspects.append("owner")
    if left.xattrs != right.xattrs:
        aspects.append("xattrs")
    if times and not (a.is_implied or b.is_implied) and left.mtime != right.mtime:
        aspects.append("mtime")
    return aspects


def _walk(a: Tree, b: Tree, times: bool) -> Iterator[Difference]:
    roots = a.files.root, b.files.root
    aspects, is_open = _compared(a, b, *roots, times)
    if aspects:
        yield Difference(".", *roots, aspects, is_open=is_open)
    stack = [_children("", *roots)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        path, one, other = found
        if one is None or other is None:
            yield Difference(path, one, other)
        elif one is not other:
            aspects, is_open = _compared(a, b, one, other, times)
            if aspects or is_open:
                yield Difference(path, one, other, aspects, is_open=is_open)
        if (one is not None and one.children) or (other is not None and other.children):
            stack.append(_children(path, one, other))


def _children(path: str, a: Node | None, b: Node | None) -> Iterator[tuple[str, Node | None, Node | None]]:
    left = (a.children if a is not None else None) or {}
    right = (b.children if b is not None else None) or {}
    prefix = f"{path}/" if path else ""
    return iter([(f"{prefix}{name}", left.get(name), right.get(name)) for name in sorted({*left, *right})])


def _compared(a: Tree, b: Tree, one: Node, other: Node, times: bool) -> tuple[list[FileAspect], bool]:
    left, right = one.inode.member, other.inode.member
    aspects: list[FileAspect] = []
    is_open = False
    if left.type != right.type:
        aspects.append("type")
    elif left.type == _FILE:
        if left.size != right.size:
            aspects.extend(("content", "size"))
        else:
            is_open = bool(left.size) and a.key(one.inode) != b.key(other.inode)
    elif left.type == _SYMLINK:
        if left.link != right.link:
            aspects.append("link")
    elif left.type in _DEVICES and left.device != right.device:
        aspects.append("device")
    aspects.extend(attributes(one, other, times=times))
    return aspects, is_open


def _regular(node: Node | None) -> Inode | None:
    return node.inode if node is not None and node.inode.member.type == _FILE else None
