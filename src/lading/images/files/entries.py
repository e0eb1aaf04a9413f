"""Files of images as results: what `ls` shows of a name in the merged file system, or in one layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from lading.images.files.filesystem import TYPES, Filesystem, Node
from lading.model.digest import Digest
from lading.model.document import Result

FileType = Literal["file", "dir", "symlink", "char", "block", "fifo"]


class FileEntry(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A file of any type in an image."""

    path: str
    """Without a leading slash; `.` for the root. Bytes that are no UTF-8 are surrogate escapes."""
    type: FileType
    size: int
    """Of a file's content, in bytes; 0 for any other type."""
    mode: int
    """The permissions, with setuid, setgid and sticky: 0o7777 at most."""
    uid: int
    gid: int
    mtime: float | None
    """In seconds since the epoch; None for a directory that no layer has an entry for."""
    link: str | None = None
    """The target of a symbolic link."""
    hard_link: str | None = None
    """Another path of the same file, where there is one that comes before."""
    device: str | None = None
    """`MAJOR:MINOR` of a device."""
    xattrs: Mapping[str, str] = {}
    """Extended attributes, in hexadecimal digits."""
    layer: Digest | None = None
    """The digest of the layer that it comes from; None for a root that no layer has an entry for."""


def entries_of(found: Iterable[tuple[str, Node]], digests: tuple[Digest, ...]) -> Iterator[FileEntry]:
    """Entries for what was found in a file system.

    Args:
        found: paths with what is there.
        digests: of the layers, in order.
    """
    names: dict[int, str] = {}
    for path, node in found:
        inode = node.inode
        earlier = names.setdefault(id(inode), path) if inode.is_shared else path
        yield entry_of(path, node, digests, earlier if earlier != path else None)


def entry_of(path: str, node: Node, digests: tuple[Digest, ...], hard_link: str | None = None) -> FileEntry:
    """One entry.

    Args:
        path: where it is.
        node: what is there.
        digests: of the layers, in order.
        hard_link: another path of the same file.
    """
    member = node.inode.member
    kind: FileType = TYPES.get(member.type, "file")  # type: ignore[assignment]
    is_device = kind in ("char", "block")
    return FileEntry(
        path=path or ".",
        type=kind,
        size=member.size if kind == "file" else 0,
        mode=0o777 if kind == "symlink" else member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        mtime=None if node.is_implied else member.mtime,
        link=member.link if kind == "symlink" else None,
        hard_link=hard_link if hard_link is not None or member.type != "1" else member.link,
        device=f"{member.device[0]}:{member.device[1]}" if is_device else None,
        xattrs={key: value.hex() for key, value in member.xattrs.items()},
        layer=digests[node.layer] if node.layer >= 0 else None,
    )


def is_glob(path: str) -> bool:
    """Whether a path has characters of patterns in it."""
    return any(character in path for character in "*?[")


def matching(files: Filesystem, pattern: str) -> Iterator[tuple[str, Node]]:
    """What matches a glob, sorted: `*`, `?` and `[…]` within a part of a path, `**` for any number of parts.

    Args:
        files: the file system.
        pattern: the glob.
    """
    wanted = glob(pattern)
    return ((path, node) for path, node in files.walk("", files.root) if wanted(path))


def glob(pattern: str) -> Callable[[str], object]:
    """What says whether a path matches a glob.

    Args:
        pattern: the glob.
    """
    return re.compile(expression(pattern)).fullmatch


def expression(pattern: str) -> str:
    """A glob as a regular expression.

    Args:
        pattern: the glob; see `matching`.
    """
    said = ""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            said += ".+" if is_last else "(?:[^/]+/)*"
        else:
            said += _part(part) + ("" if is_last else "/")
    return f"(?s:{said})"


def _part(part: str) -> str:
    said, at = "", 0
    while at < len(part):
        character, end = part[at], part.find("]", at + 2)
        if character == "*":
            said += "" if said.endswith("[^/]*") else "[^/]*"
        elif character == "?":
            said += "[^/]"
        elif character == "[" and end > 0:
            within = part[at + 1 : end].replace("\\", r"\\")
            said += f"(?!/)[{'^' + within[1:] if within[0] == '!' else within}]"
            at = end
        else:
            said += re.escape(character)
        at += 1
    return said
