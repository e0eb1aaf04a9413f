"""Layers and images made of short descriptions, with archives written byte by byte: also such as no library writes.

A layer is a text of entries: `d/` is a directory, `a=text` a file, `s->a` a symbolic link, `b~a` a hard link, `p|` a
pipe, `c#c5.1` a character device (`#b` for a block device), `-d/a` the whiteout of `d/a`, `!d` the opaque marker in
`d`. An entry may end in `@MODE` or `@MODE,UID,GID`, with an octal mode. `listing` writes a tree in the same way.
"""

import gzip
import json
import os
import re
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.images import OCI_CONFIG, OCI_MANIFEST, Manifest, digest_of, make_descriptor

LAYER = "application/vnd.oci.image.layer.v1.tar"
END = bytes(1024)
MODES = {"5": 0o755, "2": 0o777}


@dataclass(frozen=True)
class Entry:
    """One entry of an archive. `pax` are its extended records; `raw` are bytes put into the header by their offset."""

    name: str | bytes
    type: str = "0"
    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int | None = None
    link: str | bytes = ""
    device: tuple[int, int] = (0, 0)
    size: int | None = None
    pax: Mapping[str, str | bytes] = field(default_factory=dict)
    pax_type: str = "x"
    is_gnu: bool = False
    prefix: bytes = b""
    raw: Mapping[int, bytes] = field(default_factory=dict)
    checksum: int = 0
    """What is added to the checksum."""

    def archived(self, number: int = 0) -> bytes:
        """Its headers and content; without a time of its own it has one of the layer with this number."""
        size = len(self.content) if self.size is None else self.size
        before = b""
        if self.pax:
            records = b"".join(record(key, value) for key, value in self.pax.items())
            before += self._header(b"pax", self.pax_type, len(records)) + padded(records)
        name, link = _bytes(self.name), _bytes(self.link)
        if self.is_gnu:
            for kind, text in (("K", link), ("L", name)):
                if len(text) > 100:
                    before += self._header(b"long", kind, len(text) + 1) + padded(text + b"\0")
        mtime = (number + 1) * 1000 if self.mtime is None else self.mtime
        return before + self._header(name, self.type, size, link, mtime, mine=True) + padded(self.content)

    def _header(
        self, name: bytes, kind: str, size: int, link: bytes = b"", mtime: int = 0, *, mine: bool = False
    ) -> bytes:
        block = bytearray(512)
        fields = [(0, name[:100]), (100, b"%07o" % (self.mode if mine else 0o644)), (124, b"%011o" % size)]
        fields += [(108, b"%07o" % self.uid), (116, b"%07o" % self.gid), (136, b"%011o" % mtime)] if mine else []
        fields += [(156, kind.encode("latin-1")), (157, link[:100])]
        fields += [(257, b"ustar  \0" if self.is_gnu else b"ustar\x0000")]
        if mine:
            fields += [(329, b"%07o" % self.device[0]), (337, b"%07o" % self.device[1]), (345, self.prefix)]
            fields += list(self.raw.items())
        for offset, text in fields:
            block[offset : offset + len(text)] = text
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % (sum(block) + (self.checksum if mine else 0))
        return bytes(block)


def record(key: str, value: str | bytes) -> bytes:
    """A PAX record: its length, a space, the key and the value."""
    rest = b" " + key.encode() + b"=" + _bytes(value) + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def entries(text: str) -> list[Entry]:
    """The entries that a text describes."""
    return [_entry(word) for word in text.split()]


def archive(content: str | Iterable[Entry], number: int = 0, end: bytes = END) -> bytes:
    """A tar archive of entries."""
    listed = entries(content) if isinstance(content, str) else content
    return b"".join(entry.archived(number) for entry in listed) + end


def zstd_frame(content: bytes) -> bytes:
    """One frame of raw blocks (RFC 8878 §3.1.1), so that nothing is needed to write it."""
    out = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(content))
    pieces = [content[at : at + 60000] for at in range(0, len(content), 60000)] or [b""]
    for at, piece in enumerate(pieces):
        out += struct.pack("<I", (at == len(pieces) - 1) | len(piece) << 3)[:3] + piece
    return out


@dataclass(frozen=True)
class Blob:
    """A layer as it is kept: its bytes, what it is called, and what the config calls it without compression."""

    content: bytes
    plain: bytes
    media_type: str = f"{LAYER}+gzip"

    @classmethod
    def of(cls, plain: bytes) -> "Blob":
        return cls(gzip.compress(plain, 1, mtime=0), plain)


AnyLayer = str | Sequence[Entry] | Blob


def image(
    *layers: AnyLayer,
    config: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    annotations: Mapping[int, Mapping[str, str]] | None = None,
) -> Manifest:
    """An image of layers, each from its description. `config` changes what the config says."""
    blobs = [
        layer if isinstance(layer, Blob) else Blob.of(archive(layer, number)) for number, layer in enumerate(layers)
    ]
    told = [{"created_by": f"step {number}"} for number in range(len(blobs))] if history is None else history
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(blob.plain) for blob in blobs]},
        "history": told,
    }
    content = json.dumps(document | dict(config or {})).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": make_descriptor(content, OCI_CONFIG, "oci"),
        "layers": [
            make_descriptor(blob.content, blob.media_type, "oci", annotations=(annotations or {}).get(number))
            for number, blob in enumerate(blobs)
        ],
    }
    kept = {digest_of(blob): blob for blob in (content, *(blob.content for blob in blobs))}
    platform = {"architecture": "amd64", "os": "linux"}
    return Manifest(json.dumps(manifest).encode(), OCI_MANIFEST, "oci", platform, kept)


def write_layout(folder: Path, *manifests: Manifest) -> str:
    """An image layout with these, the first one tagged `t`; returns the location of the tag."""
    listed = []
    for manifest in manifests:
        for content in (manifest.content, *manifest.blobs.values()):
            path = folder / "blobs" / digest_of(content).replace(":", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        named = {"annotations": {"org.opencontainers.image.ref.name": "t"}} if manifest is manifests[0] else {}
        listed.append(manifest.descriptor() | named)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    return f"oci:{folder}:t"


def listing(found: Iterable[Any], contents: Mapping[str, bytes]) -> list[str]:
    """Files as `lading.images` lists them, written as descriptions."""
    said = []
    for entry in found:
        kind = {"dir": "5", "symlink": "2"}.get(entry.type, "0")
        if entry.hard_link is not None:
            text = f"{entry.path}~{entry.hard_link}"
        elif entry.type == "dir":
            text = f"{entry.path}/"
        elif entry.type == "symlink":
            text = f"{entry.path}->{entry.link}"
        elif entry.type == "fifo":
            text = f"{entry.path}|"
        elif entry.device is not None:
            text = f"{entry.path}#{entry.type[0]}{entry.device.replace(':', '.')}"
        else:
            text = f"{entry.path}={contents[entry.path].decode()}"
        if entry.uid or entry.gid:
            text += f"@{entry.mode:o},{entry.uid},{entry.gid}"
        elif entry.mode != MODES.get(kind, 0o644):
            text += f"@{entry.mode:o}"
        said.append(text)
    return sorted(said)


def observed(
    kind: str,
    *,
    mode: int,
    uid: int,
    gid: int,
    mtime: float | None,
    content: bytes,
    link: str | None,
    device: tuple[int, int],
    hard_link: str | None,
    xattrs: Mapping[str, bytes],
) -> str:
    """All that can be seen of a file, in one line; not when a directory was changed, and no mode of a link."""
    said = [kind]
    if hard_link is not None:
        said.append(f"~{hard_link}")
    elif kind == "file":
        text = content.decode("ascii", "replace") if len(content) < 40 else f"{len(content)}:{digest_of(content)[7:23]}"
        said.append(repr(text))
    elif link is not None:
        said.append(f"->{link}" if len(link) < 40 else f"->{len(link)}:{digest_of(_bytes(link))[7:23]}")
    elif kind in ("char", "block"):
        said.append(f"{device[0]}.{device[1]}")
    if kind != "symlink":
        said.append(f"{mode:04o}")
    said += [f"{uid}:{gid}"] if uid or gid else []
    said += [str(int(mtime // 1))] if mtime is not None and kind != "dir" else []
    said += [f"{key}={value.hex()}" for key, value in sorted(xattrs.items())]
    return " ".join(said)


def tree(root: Path) -> str:
    """All that can be seen of what is in a folder, a line for each file, sorted by path."""
    found: dict[str, os.stat_result] = {}
    stack = [""]
    while stack:
        at = stack.pop()
        for name in (root / at).iterdir():
            path = f"{at}{name.name}"
            # The kernel lists an overlay's whiteout of nothing, but does not open it.
            with suppress(FileNotFoundError):
                found[path] = os.lstat(root / path)
                stack += [f"{path}/"] if stat.S_ISDIR(found[path].st_mode) else []
    first: dict[tuple[int, int], str] = {}
    return "\n".join(f"{path} {_seen(root / path, path, found[path], first)}" for path in sorted(found))


_KINDS = {
    stat.S_IFDIR: "dir",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def _seen(place: Path, path: str, said: os.stat_result, first: dict[tuple[int, int], str]) -> str:
    kind = _KINDS[stat.S_IFMT(said.st_mode)]
    name = first.setdefault((said.st_dev, said.st_ino), path)
    keys = [key for key in os.listxattr(place, follow_symlinks=False) if key != "security.selinux"]
    return observed(
        kind,
        mode=said.st_mode & 0o7777,
        uid=said.st_uid,
        gid=said.st_gid,
        mtime=said.st_mtime_ns // 10**9,
        content=place.read_bytes() if kind == "file" else b"",
        link=os.readlink(place) if kind == "symlink" else None,  # noqa: PTH115 - a path would be tidied
        device=(os.major(said.st_rdev), os.minor(said.st_rdev)),
        hard_link=name if name != path else None,
        xattrs={key: os.getxattr(place, key, follow_symlinks=False) for key in keys},
    )


def _entry(word: str) -> Entry:
    text, _, attributes = word.partition("@")
    if text.startswith("-"):
        parent, slash, name = text[1:].rpartition("/")
        return Entry(f"{parent}{slash}.wh.{name}", mode=0)
    if text.startswith("!"):
        return Entry(f"{text[1:]}/.wh..wh..opq".lstrip("/"), mode=0)
    found = re.fullmatch(r"(.*?)(->|~|=|#[cb]|\||/$)(.*)", text)
    assert found is not None, word
    name, sign, rest = found.groups()
    kind = {"->": "2", "~": "1", "=": "0", "|": "6", "/": "5", "#c": "3", "#b": "4"}[sign]
    mode, uid, gid = [*attributes.split(","), "0", "0"][:3] if attributes else ("", "0", "0")
    major, minor = rest.split(".") if sign in ("#c", "#b") else ("0", "0")
    return Entry(
        f"{name}/" if kind == "5" else name,
        kind,
        rest.encode() if kind == "0" else b"",
        mode=int(mode, 8) if mode else MODES.get(kind, 0o644),
        uid=int(uid),
        gid=int(gid),
        link=rest if kind in "12" else "",
        device=(int(major), int(minor)),
    )


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
