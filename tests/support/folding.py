"""A real file system in which `A` and `a`, and both forms of `é`, are one name: FUSE, with everything in memory.

Kernels fold names only where they were built so, and on file systems that few have; FUSE is wherever Linux is. The
protocol is that of `linux/fuse.h`, of which only what is needed to write files is here.
"""

import ctypes
import errno
import os
import stat
import struct
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.parts import missing

_HEADER = struct.Struct("<IIQQIIIHH")
_ATTRIBUTES = struct.Struct("<6Q10I")
_SETATTR = struct.Struct("<II3Q3Q3I5I")
_TRANSFER = struct.Struct("<QQIIQII")
_MOST = 128 * 1024
_NOSUID, _NODEV, _DETACH = 2, 4, 2


@dataclass
class _Node:
    number: int
    mode: int
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    times: list[int] = field(default_factory=lambda: [0, 0])
    content: bytearray = field(default_factory=bytearray)
    target: bytes = b""
    names: dict[str, tuple[bytes, "_Node"]] = field(default_factory=dict)
    links: int = 1


def _folded(name: bytes) -> str:
    return unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape")).casefold()


class _Folding:
    def __init__(self, device: int) -> None:
        self._device = device
        self._nodes = {1: _Node(1, stat.S_IFDIR | 0o755)}
        self._do: dict[int, Callable[[_Node, bytes], bytes]] = {
            1: lambda node, body: self._entry(self._named(node, _text(body))),
            3: lambda node, body: bytes(16) + self._attributes(node),
            4: self._set,
            5: lambda node, body: node.target,
            6: self._symlink,
            8: lambda node, body: self._make(node, _text(body[16:]), *struct.unpack("<II", body[:8])),
            9: lambda node, body: self._make(node, _text(body[8:]), stat.S_IFDIR | struct.unpack("<I", body[:4])[0]),
            10: self._unlink,
            11: self._unlink,
            13: self._link,
            14: lambda node, body: bytes(16),
            15: self._read,
            16: self._write,
            17: lambda node, body: struct.pack(
                "<5Q4I6I", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, *(0,) * 7
            ),
            18: lambda node, body: b"",
            20: lambda node, body: b"",
            25: lambda node, body: b"",
            26: self._init,
            27: lambda node, body: bytes(16),
            28: self._list,
            29: lambda node, body: b"",
            34: lambda node, body: b"",
            35: lambda node, body: (
                self._make(node, _text(body[16:]), stat.S_IFREG | struct.unpack_from("<I", body, 4)[0]) + bytes(16)
            ),
        }

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, _MOST + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # it was unmounted
                continue
            _, code, unique, number, uid, gid, *_ = _HEADER.unpack_from(request)
            if code in (2, 36, 42):
                continue  # no answer is expected
            self._ids = (uid, gid)
            wrong, said = 0, b""
            try:
                said = self._do[code](self._nodes[number or 1], request[_HEADER.size :])
            except KeyError:
                wrong = errno.ENOSYS
            except OSError as error:
                wrong = error.errno or errno.EIO
            os.write(self._device, struct.pack("<IiQ", 16 + len(said), -wrong, unique) + said)

    def _init(self, node: _Node, body: bytes) -> bytes:
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, _MOST, 0, 1, 1, _MOST, 1, 0, 0, 0, *(0,) * 7)

    def _named(self, folder: _Node, name: bytes) -> _Node:
        if _folded(name) not in folder.names:
            raise OSError(errno.ENOENT, "")
        return folder.names[_folded(name)][1]

    def _put(self, folder: _Node, name: bytes, node: _Node) -> bytes:
        if _folded(name) in folder.names:
            raise OSError(errno.EEXIST, "")
        folder.names[_folded(name)] = (name, node)
        return self._entry(node)

    def _make(self, folder: _Node, name: bytes, mode: int, rdev: int = 0) -> bytes:
        node = _Node(len(self._nodes) + 1, mode, *self._ids, rdev)
        entry = self._put(folder, name, node)
        self._nodes[node.number] = node
        return entry

    def _symlink(self, folder: _Node, body: bytes) -> bytes:
        name, target = body.split(b"\0")[:2]
        entry = self._make(folder, name, stat.S_IFLNK | 0o777)
        node = self._named(folder, name)
        node.target = target
        return entry[:40] + self._attributes(node)

    def _link(self, folder: _Node, body: bytes) -> bytes:
        node = self._nodes[struct.unpack("<Q", body[:8])[0]]
        self._put(folder, _text(body[8:]), node)
        node.links += 1
        return self._entry(node)

    def _unlink(self, folder: _Node, body: bytes) -> bytes:
        self._named(folder, _text(body)).links -= 1
        del folder.names[_folded(_text(body))]
        return b""

    def _set(self, node: _Node, body: bytes) -> bytes:
        valid, _, _, size, _, *times, _, _, _, mode, _, uid, gid, _ = _SETATTR.unpack(body)
        if valid & 1:
            node.mode = mode
        node.uid, node.gid = uid if valid & 2 else node.uid, gid if valid & 4 else node.gid
        if valid & 8:
            node.content = node.content[:size].ljust(size, b"\0")
        node.times = [times[at] if valid & (16, 32)[at] else node.times[at] for at in (0, 1)]
        return bytes(16) + self._attributes(node)

    def _read(self, node: _Node, body: bytes) -> bytes:
        _, offset, size, *_ = _TRANSFER.unpack_from(body)
        return bytes(node.content[offset : offset + size])

    def _write(self, node: _Node, body: bytes) -> bytes:
        _, offset, size, *_ = _TRANSFER.unpack_from(body)
        node.content = node.content.ljust(offset, b"\0")
        node.content[offset : offset + size] = body[_TRANSFER.size :]
        return struct.pack("<II", size, 0)

    def _list(self, node: _Node, body: bytes) -> bytes:
        _, offset, size, *_ = _TRANSFER.unpack_from(body)
        out = b""
        for at, (name, child) in list(enumerate(node.names.values(), 1))[offset:]:
            entry = struct.pack("<QQII", child.number, at, len(name), stat.S_IFMT(child.mode) >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out

    def _entry(self, node: _Node) -> bytes:
        return struct.pack("<QQQQII", node.number, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: _Node) -> bytes:
        size = len(node.target or node.content)
        times = (node.times[0], node.times[1], node.times[1], 0, 0, 0)
        rest = (node.mode, node.links, node.uid, node.gid, node.rdev, 4096, 0)
        return _ATTRIBUTES.pack(node.number, size, size // 512, *times, *rest)


def _text(body: bytes) -> bytes:
    return body.partition(b"\0")[0]


@contextmanager
def folding(folder: Path) -> Iterator[Path]:
    """Mount such a file system on a new folder; it is gone afterwards. Needs root."""
    if os.geteuid() != 0:
        missing("mounting a file system needs root")
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        missing(f"there is no FUSE here ({error.strerror})")
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions".encode()
    if libc.mount(b"lading", os.fsencode(folder), b"fuse.lading", _NOSUID | _NODEV, options):
        os.close(device)
        missing(f"a file system cannot be mounted here ({os.strerror(ctypes.get_errno())})")
    serving = threading.Thread(target=_Folding(device).serve, daemon=True)
    serving.start()
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), _DETACH)
        serving.join(5)
        os.close(device)
