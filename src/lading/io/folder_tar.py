"""Files on disk as members of a tar archive: the same files give the same bytes, on any machine.

Members are sorted by the bytes of their names, each directory before what is in it. No symbolic link is followed below
the folder. This module knows nothing of layers. Everything here is work for a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from lading.errors import InvalidContent, LadingError, NotFound, way_on
from lading.io.ignore_file import Ignore
from lading.io.modes import ModeChange
from lading.io.sources import file_changed
from lading.io.tar_stream import Member
from lading.io.tar_writer import DIRECTORY, FILE, HARD_LINK, SYMLINK, TarWriter, directory
from lading.io.threads import heed

_CHUNK = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEPEST = 255
"""How many directories deep a folder may be: each is kept open while what is in it is read."""
_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: "3",
    stat.S_IFBLK: "4",
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFIFO: "6",
}


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive keeps of files on disk. As it is, it depends on names, contents, modes and links only."""

    owner: tuple[int, int] | Literal["keep"] = (0, 0)
    """User and group of everything."""
    times: int | Literal["keep"] = 0
    """When everything was modified, in seconds since the epoch; kept ones are in whole seconds."""
    modes: ModeChange | None = None
    """How permissions are changed; None keeps them."""
    xattrs: bool = False
    """Whether extended attributes are kept."""
    ignore: Ignore = Ignore()
    """What is left out of a folder."""
    is_tree: bool = False
    """Whether what is packed stands alone: without members for the directories above it, every directory with its own
    permissions, and a file that has several names once for each of them."""


PACKING = Packing()


class Packed(msgspec.Struct, kw_only=True):
    """What was put into an archive."""

    entries: int = 0
    """How many members."""
    top: set[str] = msgspec.field(default_factory=set)
    """The names of directories at the top of the archive."""
    sockets: list[str] = msgspec.field(default_factory=list)
    """Sockets, which no archive can have."""
    privileged: list[str] = msgspec.field(default_factory=list)
    """Files that run as another user or group than the one who starts them."""


USUAL_MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}
"""Of directories that every image has; others have 755."""


def pack_folder(folder: str, tar: TarWriter, place: str, packing: Packing = PACKING) -> Packed:
    """Put what is in a folder into an archive.

    Args:
        folder: its path; it may be a symbolic link.
        tar: the archive.
        place: where it goes in there, such as `srv/www`, with members for the directories above it; or nothing.
        packing: what is kept.

    Raises:
        NotFound: there is no such folder.
        Conflict: something in it was changed while it was read.
        InvalidContent: no archive can say what is in it.
        LadingError: something in it cannot be read.
    """
    packer = _Packer(tar, packing, folder)
    with _reading(folder):
        top = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
    try:
        packer.parents(place)
        if place:
            packer.folder(place, os.fstat(top))
        packer.contents(top, place)
    finally:
        os.close(top)
    return packer.packed


def pack_file(path: str, tar: TarWriter, place: str, packing: Packing = PACKING) -> Packed:
    """Put one file into an archive; a symbolic link to one is followed.

    Args:
        path: of the file.
        tar: the archive.
        place: its path in there, with members for the directories above it.
        packing: what is kept.

    Raises:
        As `pack_folder`.
    """
    packer = _Packer(tar, packing, path)
    with _reading(path):
        found = os.open(path, _FILE & ~os.O_NOFOLLOW)
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidContent(f"{path} cannot be packed", cause="it is neither a file nor a directory")
        packer.parents(place)
        packer.file(found, place, status, path)
    finally:
        os.close(found)
    return packer.packed


class _Level:
    """A directory whose contents are being packed."""

    def __init__(self, fd: int, path: str, what: str) -> None:
        self.fd = fd
        self.path = path
        with _reading(what):
            self.changed = os.fstat(fd).st_mtime_ns
            # Names are sorted and written as bytes: neither depends on what the locale makes of them.
            names = sorted(os.fsencode(name) for name in os.listdir(fd))
        self.names: Iterator[bytes] = iter(names)


class _Packer:
    """Packs files, and says what was packed.

    Args:
        tar: the archive.
        packing: what is kept.
        what: what is packed, for messages.
    """

    def __init__(self, tar: TarWriter, packing: Packing, what: str) -> None:
        self.packed = Packed()
        self._tar = tar
        self._packing = packing
        self._what = what
        self._names: dict[tuple[int, int], str] = {}
        """The first names of files that have several."""
        self._waiting: list[Member] = []
        """Directories that are left out, unless something in them is not."""

    def parents(self, place: str) -> None:
        """Add the directories above a place, as they usually are."""
        parts = place.split("/")[:-1] if not self._packing.is_tree else []
        for number in range(len(parts)):
            path = "/".join(parts[: number + 1])
            self._add(self._usual(path))

    def folder(self, place: str, status: os.stat_result) -> None:
        """Add the directory that is packed; one that every image has keeps its usual permissions."""
        is_usual = place in USUAL_MODES and not self._packing.is_tree
        self._add(self._usual(place) if is_usual else self._member(place, status))

    def file(self, fd: int, place: str, status: os.stat_result, what: str) -> None:
        """Add a file that is open.

        Args:
            fd: the file.
            place: its path in the archive.
            status: what was found out about it.
            what: what it is called in messages.
        """
        member = self._member(place, status)
        self._describe(member, fd, what)
        if member.mode & 0o6000:
            self.packed.privileged.append(place)
        self._add(member, end=False)
        left = status.st_size
        while left:
            with _reading(what):
                piece = os.read(fd, min(left, _CHUNK))
            if not piece:
                raise file_changed(what)
            self._tar.write(piece)
            left -= len(piece)
        now = os.fstat(fd)
        if (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise file_changed(what)
        self._tar.end()

    def contents(self, top: int, place: str) -> None:
        """Add what is in a directory, however deep; directories are walked without recursion, each of them open."""
        levels = [_Level(top, "", self._what)]
        try:
            while levels:
                heed()
                level = levels[-1]
                raw = next(level.names, None)
                if raw is None:
                    if os.fstat(level.fd).st_mtime_ns != level.changed:
                        raise file_changed(self._path(level.path))
                    levels.pop()
                    if levels:
                        os.close(level.fd)
                    continue
                name = raw.decode("utf-8", "surrogateescape")
                path = f"{level.path}/{name}" if level.path else name
                inner = self._entry(level.fd, raw, path, f"{place}/{path}" if place else path)
                if inner is not None:
                    levels.append(inner)
                    if len(levels) > _DEEPEST:
                        cause = f"it is more than {_DEEPEST} directories deep"
                        raise InvalidContent(f"{self._what} cannot be packed", cause=cause)
        finally:
            for level in levels[1:]:
                os.close(level.fd)

    def _entry(self, above: int, raw: bytes, path: str, place: str) -> _Level | None:
        """Add one entry of a directory; of a directory returns what is in it, which comes next."""
        what = self._path(path)
        with _reading(what, is_listed=True):
            status = os.stat(raw, dir_fd=above, follow_symlinks=False)
        is_out = path in self._packing.ignore
        if stat.S_ISDIR(status.st_mode):
            return self._directory(above, raw, path, self._member(place, status), is_out=is_out)
        if is_out:
            return None
        if stat.S_ISSOCK(status.st_mode):
            self.packed.sockets.append(path)
            return None
        first = self._names.setdefault((status.st_dev, status.st_ino), place)
        is_other_name = status.st_nlink > 1 and first != place and not self._packing.is_tree
        if stat.S_ISREG(status.st_mode) and is_other_name:
            member = self._member(place, status)
            member.type, member.size, member.link = HARD_LINK, 0, first
            self._add(member)
        elif stat.S_ISREG(status.st_mode):
            with _reading(what, is_listed=True):
                fd = os.open(raw, _FILE, dir_fd=above)
            try:
                opened = os.fstat(fd)
                if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
                    raise file_changed(what)
                self.file(fd, place, opened, what)
            finally:
                os.close(fd)
        else:
            member = self._member(place, status)
            if stat.S_ISLNK(status.st_mode):
                with _reading(what, is_listed=True):
                    member.link = os.readlink(raw, dir_fd=above).decode("utf-8", "surrogateescape")
            self._add(member)
        return None

    def _directory(self, above: int, raw: bytes, path: str, member: Member, *, is_out: bool) -> _Level | None:
        # What is above something else than the directory before is complete.
        while self._waiting and not member.name.startswith(self._waiting[-1].name):
            self._waiting.pop()
        if is_out and not self._packing.ignore.takes_in:
            return None
        with _reading(self._path(path), is_listed=True):
            fd = os.open(raw, _FOLDER, dir_fd=above)
        try:
            level = _Level(fd, path, self._path(path))
            self._describe(member, fd, self._path(path))
        except BaseException:
            os.close(fd)
            raise
        if is_out:
            self._waiting.append(member)
        else:
            self._add(member)
        return level

    def _describe(self, member: Member, fd: int, what: str) -> None:
        """Give a member the extended attributes of what is open."""
        if self._packing.xattrs:
            with _reading(what):
                member.xattrs = {name: os.getxattr(fd, name) for name in sorted(os.listxattr(fd))}

    def _add(self, member: Member, *, end: bool = True) -> None:
        """Begin a member, after the directories above it that waited; `end` it unless it gets content."""
        for waiting in [one for one in self._waiting if member.name.startswith(one.name)]:
            self._waiting.remove(waiting)
            self._write(waiting)
            self._tar.end()
        self._write(member)
        if end:
            self._tar.end()

    def _write(self, member: Member) -> None:
        self.packed.entries += 1
        if member.type == DIRECTORY and member.name.count("/") == 1:
            self.packed.top.add(member.name.removesuffix("/"))
        self._tar.begin(member)

    def _usual(self, path: str) -> Member:
        times = self._packing.times
        member = directory(path, mode=USUAL_MODES.get(path, 0o755))
        member.mtime = 0 if times == "keep" else times
        return member

    def _member(self, place: str, status: os.stat_result) -> Member:
        packing = self._packing
        kind = _TYPES[stat.S_IFMT(status.st_mode)]
        mode = stat.S_IMODE(status.st_mode)
        if kind == SYMLINK:
            mode = 0o777
        elif packing.modes is not None:
            mode = packing.modes.apply(mode, is_directory=kind == DIRECTORY)
        uid, gid = (status.st_uid, status.st_gid) if packing.owner == "keep" else packing.owner
        device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("3", "4") else (0, 0)
        return Member(
            name=f"{place}/" if kind == DIRECTORY else place,
            type=kind,
            mode=mode,
            uid=uid,
            gid=gid,
            size=status.st_size if kind == FILE else 0,
            mtime=status.st_mtime_ns // 10**9 if packing.times == "keep" else packing.times,
            device=device,
        )

    def _path(self, path: str) -> str:
        return f"{self._what.rstrip('/')}/{path}" if path else self._what


@contextmanager
def _reading(what: str, *, is_listed: bool = False) -> Iterator[None]:
    """Report what the operating system refuses; what was listed in its directory is there, and no link."""
    try:
        yield
    except FileNotFoundError as error:
        if is_listed:
            raise file_changed(what) from error
        raise NotFound(f"{what} does not exist", remedy="check its path") from error
    except OSError as error:
        if is_listed and error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL):
            raise file_changed(what) from error
        raise LadingError(f"{what} cannot be read", cause=error.strerror, remedy=way_on(error)) from error
