"""The merged file system of an image: layers applied one over the other (image-spec layer §Applying Changesets).

This module knows the entries of layers, and neither reads nor writes anything. Where container engines agree on what a
layer means, that counts; else what the specification says. What could leave the root, or lose a file, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lading.errors import InvalidContent, LadingError, NotFound
from lading.images.files.attributes import kept
from lading.images.files.layers import LIMITS, LayerLimits, beyond
from lading.io.tar_stream import Member
from lading.model.text import excerpt

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_HOPS = 40
"""How many symbolic links one path may lead through, as on Linux."""
_IDS = 2**32 - 1
_DEVICES = 8**7 - 1
_DEVICE_TYPES = ("3", "4")
_FILE, _HARD_LINK, _SYMLINK, _CHARACTER, _DIRECTORY = "0", "1", "2", "3", "5"
TYPES = {"0": "file", "2": "symlink", "3": "char", "4": "block", "5": "dir", "6": "fifo"}
"""What the types of tar archives are called."""


class Inode:
    """A file of any type, which may have several names."""

    __slots__ = ("is_shared", "layer", "member", "names")

    def __init__(self, member: Member, layer: int) -> None:
        self.member: Member = member
        self.layer: int = layer
        """The number of the layer that its content is in, from 0."""
        self.is_shared: bool = False
        """Whether a hard link gave it another name."""
        self.names: int = 1
        """How many names it has."""


class Node:
    """A name in a directory.

    Attributes:
        inode: what has the name.
        children: of a directory what is in it, by name; None for anything else.
        layer: the number of the layer that the name comes from, from 0; -1 for the root that every image has.
        latest: the highest number of a layer that has something at this name or below.
    """

    __slots__ = ("children", "inode", "latest", "layer")

    def __init__(self, inode: Inode, layer: int) -> None:
        self.inode: Inode = inode
        self.children: dict[str, Node] | None = {} if inode.member.type == _DIRECTORY else None
        self.layer: int = layer
        self.latest: int = layer

    @property
    def is_implied(self) -> bool:
        """Whether it is a directory of which no layer says more than that something is in it."""
        return self.inode.member is _IMPLIED


_IMPLIED = Member(name="", type=_DIRECTORY, mode=0o755, uid=0, gid=0, size=0, mtime=0)


class Filesystem:
    """What layers make together; each is applied over those before.

    Args:
        what: what the image is called in an error.
        limits: how much a layer may have.
        on_hidden: called with each file of a layer that a later layer hides for good: with its path, the number of the
            later layer, and whether that puts something else there.
    """

    def __init__(
        self,
        what: str,
        limits: LayerLimits = LIMITS,
        on_hidden: Callable[[str, Inode, int, bool], None] | None = None,
    ) -> None:
        self._on_hidden = on_hidden
        self.root: Node = Node(Inode(_IMPLIED, -1), -1)
        self._what = what
        self._limits = limits
        self._entries = 0
        self._trail: tuple[str, int, list[Node]] | None = None
        self._warnings: dict[tuple[str, int], tuple[str, int]] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What engines do not agree on, or do not keep, one sentence each."""
        said = []
        for (text, number), (path, count) in self._warnings.items():
            more = f" (and {count - 1} more)" if count > 1 else ""
            said.append(f"layer {number + 1}: {excerpt(path)}{more} {text}")
        return tuple(said)

    def apply(self, number: int, members: Iterable[Member]) -> None:
        """Apply a layer.

        Args:
            number: which one it is, from 0; they are applied in order.
            members: its entries, in the order of its archive.

        Raises:
            InvalidContent: an entry is malformed, or one that engines refuse.
        """
        seen: set[str] = set()
        for member in members:
            self._entries += 1
            if self._entries > self._limits.entries:
                raise beyond(self._what, f"it has more than {self._limits.entries} entries")
            parts = self._parts(member, number)
            path = "/".join(parts)
            if path in seen:
                raise self._refused(number, path, "it is there twice")
            seen.add(path)
            self._apply(parts, path, member, number)

    def lay(self, number: int, members: Iterable[Member]) -> None:
        """Lay out the entries of one layer as they are in it: whiteouts have their own names, and hide nothing.

        Args:
            number: which layer it is, from 0.
            members: its entries; of several with one path the last counts.

        Raises:
            InvalidContent: an entry is malformed.
        """
        for member in members:
            parts = self._parts(member, number)
            node = self.root
            if not parts:
                node.inode = Inode(member, number)
            for part in parts[:-1]:
                assert node.children is not None
                child = node.children.get(part)
                if child is None or child.children is None:
                    child = node.children[part] = Node(Inode(_IMPLIED, number), number)
                node = child
            if parts:
                assert node.children is not None
                there = node.children.get(parts[-1])
                if there is not None and there.children is not None and member.type == _DIRECTORY:
                    there.inode = Inode(member, number)
                else:
                    node.children[parts[-1]] = Node(self._laid(member, number), number)

    def _laid(self, member: Member, number: int) -> Inode:
        if member.type == _HARD_LINK:
            try:
                node = resolve(self.root, member.link, self._what, follow=False)[1]
            except NotFound:
                return Inode(member, number)  # it is in a layer below
            if node.children is None:
                node.inode.is_shared = True
                return node.inode
        return Inode(member, number)

    def find(self, path: str, *, follow: bool = True) -> tuple[str, Node]:
        """What a path leads to, as it does for a program in the container.

        Args:
            path: with or without a leading slash.
            follow: whether a symbolic link at its end is followed.

        Returns:
            The path with no symbolic link left in it, without a leading slash, and what is there.

        Raises:
            NotFound: nothing is there.
        """
        return resolve(self.root, path, self._what, follow=follow)

    def walk(self, path: str, node: Node) -> Iterator[tuple[str, Node]]:
        """Everything below a directory, each directory before what is in it, sorted by name.

        Args:
            path: where it is.
            node: the directory.
        """
        stack = [_sorted(path, node)]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            yield found
            if found[1].children:
                stack.append(_sorted(*found))

    # Entries

    def _parts(self, member: Member, number: int) -> list[str]:
        """The path of an entry, part by part; none for the root."""
        name = member.name
        if not name:
            raise self._refused(number, name, "it has no name")
        if "/." in name or "//" in name or name[0] in "./":
            found = below_root(name)
            if found is None:
                raise self._refused(number, name, "it leads out of the root")
            parts = found
        else:
            parts = name.removesuffix("/").split("/")
        limits = self._limits
        if len(name) * 4 <= limits.name:
            return parts
        if len(name.encode("utf-8", "surrogateescape")) > limits.path:
            raise self._refused(number, name, f"its path is longer than {limits.path} bytes")
        if len(parts) > limits.depth:
            raise self._refused(number, name, f"it is more than {limits.depth} directories deep")
        # No file is made of a whiteout's name.
        named = [*parts[:-1], *(part.removeprefix(WHITEOUT) for part in parts[-1:])]
        if any(len(part) * 4 > limits.name and _length(part) > limits.name for part in named):
            raise self._refused(number, name, f"its name is longer than {limits.name} bytes")
        return parts

    def _apply(self, parts: Sequence[str], path: str, member: Member, number: int) -> None:
        if not parts:
            if member.type != _DIRECTORY:
                raise self._refused(number, member.name, "it would replace the root")
            self.root.inode = Inode(self._checked(member, path, number), number)
            self.root.layer = number
            return
        name, above = parts[-1], path.rpartition("/")[0]
        # Entries of one directory come one after the other: what leads there is the same while nothing is removed.
        known = self._trail
        trail = known[2] if known is not None and known[:2] == (above, number) else self._parent(parts, path, number)
        if name == OPAQUE:
            self._strip_children(trail[-1], path.rpartition("/")[0], number)
        elif name.startswith(WHITEOUT):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise self._refused(number, path, "it is a whiteout of no name")
            self._strip(trail[-1], hidden, path, number)
        else:
            self._put(trail, name, path, member, number)

    def _put(self, trail: list[Node], name: str, path: str, member: Member, number: int) -> None:
        parent = trail[-1]
        assert parent.children is not None
        there = parent.children.get(name)
        if member.type not in TYPES and member.type != _HARD_LINK:
            raise self._refused(number, path, f"its type {member.type!r} is not one that engines take")
        checked = self._checked(member, path, number)
        if member.type == _DIRECTORY and there is not None and there.children is not None:
            there.inode, there.layer = Inode(checked, number), number
        else:
            if there is not None:
                self._remove(parent, name, path, number, is_replaced=True)
            is_link = member.type == _HARD_LINK
            inode = self._linked(checked, path, number) if is_link else Inode(checked, number)
            parent.children[name] = Node(inode, number)
        parent.children[name].latest = number
        for node in trail:
            node.latest = number

    def _checked(self, member: Member, path: str, number: int) -> Member:
        """An entry that can be, as it counts: without what engines do not keep."""
        if not (0 <= member.uid < _IDS and 0 <= member.gid < _IDS):
            raise self._refused(number, path, f"its owner {member.uid}:{member.gid} is not possible")
        if member.type in _DEVICE_TYPES and not all(0 <= one <= _DEVICES for one in member.device):
            raise self._refused(number, path, f"its device {member.device[0]}:{member.device[1]} is not possible")
        if member.type in (_SYMLINK, _HARD_LINK):
            if not member.link:
                raise self._refused(number, path, "it is a link to no name")
            if _length(member.link) > self._limits.path:
                raise self._refused(number, path, f"it is a link to more than {self._limits.path} bytes")
        if member.type == _CHARACTER and member.device == (0, 0):
            self._warn("is a device 0:0, which engines with overlays take for a whiteout", number, path)
        member, left_out = kept(member)
        for text in left_out:
            self._warn(text, number, path)
        return member

    def _linked(self, member: Member, path: str, number: int) -> Inode:
        """What a hard link leads to, with what the link says of it."""
        from msgspec.structs import replace

        try:
            node = resolve(self.root, _tidied(member.link), self._what, follow=False)[1]
        except NotFound:
            raise self._refused(
                number, path, f"it is a hard link to {excerpt(member.link)}, which is not there"
            ) from None
        if node.children is not None:
            raise self._refused(number, path, "it is a hard link to a directory")
        if node.layer != number:
            self._warn("is a hard link to a file of a lower layer, which engines with overlays refuse", number, path)
        node.inode.is_shared = True
        node.inode.names += 1
        inode, xattrs = node.inode, {**node.inode.member.xattrs, **member.xattrs}
        inode.member = replace(
            inode.member, mode=member.mode, uid=member.uid, gid=member.gid, mtime=member.mtime, xattrs=xattrs
        )
        return inode

    def _parent(self, parts: Sequence[str], path: str, number: int) -> list[Node]:
        """The directories from the root to the one of an entry; the missing ones are made."""
        node, trail = self.root, [self.root]
        todo = list(reversed(parts[:-1]))
        hops = 0
        while todo:
            name = todo.pop()
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                node = trail[-1]
                continue
            assert node.children is not None
            child = node.children.get(name)
            if child is None:
                child = node.children[name] = Node(Inode(_IMPLIED, number), number)
                for above in trail:
                    above.latest = number
            if child.inode.member.type == _SYMLINK:
                hops += 1
                target = child.inode.member.link
                if hops > _HOPS:
                    raise self._refused(number, path, "its parent is a loop of symbolic links")
                if child.layer != number:
                    self._warn(
                        "is below a symbolic link of a lower layer, which is followed: engines with overlays put a"
                        " directory in the link's place",
                        number,
                        path,
                    )
                if target.startswith("/"):
                    trail = [self.root]
                node = trail[-1]
                todo += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            if child.children is None:
                raise self._refused(number, path, f"its parent {excerpt(name)} is no directory")
            node = child
            trail.append(node)
            if len(trail) > self._limits.depth:
                raise self._refused(number, path, f"it is more than {self._limits.depth} directories deep")
        self._trail = (path.rpartition("/")[0], number, trail) if not hops else None
        return trail

    # Whiteouts: what is of the same layer stays, wherever in its archive the whiteout is

    def _strip(self, parent: Node, name: str, path: str, number: int) -> None:
        assert parent.children is not None
        child = parent.children.get(name)
        if child is None:
            return
        if child.latest < number:
            self._remove(parent, name, f"{path.rpartition('/')[0]}/{name}".lstrip("/"), number)
        elif child.children is None:
            self._warn("is a whiteout of what the same layer has, which engines do not agree on", number, path)
        else:
            if any(one.children is not None and one.layer == number and not one.is_implied for one in _below(child)):
                raise self._refused(number, path, "it is a whiteout of a directory that the same layer has before it")
            self._forget_attributes(child, number)
            self._strip_children(child, f"{path.rpartition('/')[0]}/{name}".lstrip("/"), number)

    def _strip_children(self, directory: Node, path: str, number: int) -> None:
        stack = [(path, directory)]
        while stack:
            path, node = stack.pop()
            assert node.children is not None
            for name, child in list(node.children.items()):
                below = f"{path}/{name}" if path else name
                if child.latest < number:
                    self._remove(node, name, below, number)
                elif child.children is not None:
                    self._forget_attributes(child, number)
                    stack.append((below, child))

    def _remove(self, parent: Node, name: str, path: str, number: int, *, is_replaced: bool = False) -> None:
        assert parent.children is not None
        node = parent.children.pop(name)
        self._trail = None
        if self._on_hidden is None:
            return
        for at, hidden in ((path, node), *self.walk(path, node)):
            hidden.inode.names -= 1
            if not hidden.inode.names and hidden.inode.member.type == _FILE:
                self._on_hidden(at, hidden.inode, number, is_replaced and hidden is node)

    @staticmethod
    def _forget_attributes(directory: Node, number: int) -> None:
        if directory.layer < number:
            directory.inode, directory.layer = Inode(_IMPLIED, number), number

    def _warn(self, text: str, number: int, path: str) -> None:
        first, count = self._warnings.get((text, number), (path, 0))
        self._warnings[text, number] = (first, count + 1)

    def _refused(self, number: int, path: str, cause: str) -> LadingError:
        return InvalidContent(
            f"{self._what} has a layer that engines refuse",
            cause=f"layer {number + 1}, entry {excerpt(path) or '(without a name)'}: {cause}",
            code="malformed-layer",
            fields={"layer": number + 1, "path": path},
        )


def resolve(root: Node, path: str, what: str, *, follow: bool) -> tuple[str, Node]:
    """What a path leads to from a root; symbolic links do not lead out of the root.

    Raises:
        NotFound: nothing is there.
    """
    trail: list[tuple[str, Node]] = [("", root)]
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    hops = 0
    while todo:
        name = todo.pop()
        if name == "..":
            if len(trail) > 1:
                trail.pop()
            continue
        at, node = trail[-1]
        child = node.children.get(name) if node.children is not None else None
        if child is None:
            cause = f"{excerpt(at)} is no directory" if node.children is None else None
            raise not_there(what, path, cause, _nearest(at, node, name))
        if child.inode.member.type == _SYMLINK and (todo or follow):
            hops += 1
            if hops > _HOPS:
                raise not_there(what, path, "it is a loop of symbolic links")
            target = child.inode.member.link
            if target.startswith("/"):
                del trail[1:]
            todo += [part for part in reversed(target.split("/")) if part not in ("", ".")]
            continue
        trail.append((f"{at}/{name}" if at else name, child))
    return trail[-1]


def below_root(path: str) -> list[str] | None:
    """A path within the root, part by part, without `.` and `..`; None for one that leads out of the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _tidied(path: str) -> str:
    """A path without `.` and `..`, which do not lead out of the root, and before any link is followed."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def not_there(what: str, path: str, cause: str | None = None, nearest: Sequence[str] = ()) -> NotFound:
    """The error that an image has nothing at a path.

    Args:
        what: what the image is called.
        path: the path.
        cause: why.
        nearest: paths that are there and may have been meant.
    """
    return NotFound(
        f"{what} has no {excerpt(path)}",
        cause=cause,
        remedy=f"there is {', '.join(excerpt(near) for near in nearest)}" if nearest else None,
        code="path-not-found",
        fields={"image": what, "path": path, "nearest": list(nearest)},
    )


def _nearest(at: str, node: Node, name: str) -> list[str]:
    from difflib import get_close_matches

    names = list(node.children or ())[:2000]
    return [f"{at}/{near}" if at else near for near in get_close_matches(name, names, n=3)]


def _below(node: Node) -> Iterator[Node]:
    """A file, and all that is below it."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack += (one.children or {}).values()


def _sorted(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    prefix = f"{path}/" if path else ""
    return iter([(prefix + name, child) for name, child in sorted((node.children or {}).items())])


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
