"""Layers in the form that Windows takes: files below `Files/`, the registry in `Hives/`, and an owner for each entry.

This module knows one layer at a time. No specification has this form; what is written is what Windows and containerd
unpack, and where `crane append` writes the same files, the same bytes.
"""

from __future__ import annotations

import base64
import posixpath
import struct
from typing import TYPE_CHECKING

import msgspec

from lading.errors import InvalidContent
from lading.images.edits.rewrite import Entry, path_of, rewritten
from lading.images.files.filesystem import below_root
from lading.io.go_headers import directory_header, pax_headers
from lading.model.text import excerpt

if TYPE_CHECKING:
    from lading.images.edits.new_layer import NewLayer
    from lading.images.files.layers import LayerContent
    from lading.stores.overlay import Overlay

FILES, HIVES = "Files", "Hives"
_UTILITY_VM = "UtilityVM"
_BEGIN = directory_header(FILES, 0o555) + directory_header(HIVES, 0o555)
_USERS = struct.pack("<BB6s2I", 1, 2, b"\0\0\0\0\0\5", 32, 545)
"""The group of all users, `BUILTIN\\Users`: the security identifier S-1-5-32-545 (MS-DTYP §2.4.2.2)."""
_OWNED_BY_USERS = struct.pack("<BBHIIII", 1, 0, 0x8000, 20, 20 + len(_USERS), 0, 0) + _USERS + _USERS
"""A security descriptor that says owner and group, and nothing else (MS-DTYP §2.4.6); programs can be run with it."""
_RECORDS = {b"MSWINDOWS.rawsd": base64.b64encode(_OWNED_BY_USERS)}


def is_for_windows(layer: NewLayer) -> bool:
    """Whether an archive has the form already: `Files` and `Hives` are at its root, and nothing of other images."""
    top = set(layer.top)
    return {FILES, HIVES} <= top <= {FILES, HIVES, _UTILITY_VM}


async def for_windows(overlay: Overlay, layer: NewLayer, content: LayerContent) -> NewLayer:
    """A layer in the form for Windows; one that has it already stays as it is.

    Each entry goes below `Files/`, hard links lead there, and entries are owned by all users. The root itself, which
    many archives have an entry for, becomes none: `Files` is there.

    Args:
        overlay: gets the new blob.
        layer: the layer.
        content: where its blob can be read.

    Raises:
        InvalidContent: `Files` is at its root beside something else, so that it is neither; or a path leads out of the
            root.
    """
    if is_for_windows(layer):
        return layer
    if FILES in layer.top:
        raise InvalidContent(
            f"{content.what} is no layer for Windows, and cannot be made one",
            cause=f"it has {FILES} at its root, but not {HIVES} beside it and nothing else",
            remedy=f"give a whole Windows layer, or an archive without {FILES} at its root",
            code="windows-layer",
            fields={"layer": content.what},
        )

    def change(entry: Entry) -> None:
        member = entry.member
        parts = below_root(member.name)
        if parts is None:
            raise InvalidContent(
                f"{content.what} is no layer that engines take",
                cause=f"{excerpt(member.name)} leads out of the root",
                code="malformed-layer",
            )
        if not parts:
            entry.is_dropped = True
            return
        name = posixpath.join(FILES, *parts)
        if member.extents is not None:
            # Its map stays as it is, and with it the form of its headers.
            entry.headers.rename(name)
            for key, value in _RECORDS.items():
                entry.headers.add_record(key, value)
            return
        link = posixpath.join(FILES, path_of(member.link)) if member.type == "1" else member.link
        entry.headers.replace(pax_headers(entry.headers, member, name=name, link=link, more=_RECORDS))

    done = await rewritten(overlay, content, change, layer.compression, level=layer.level, begin=_BEGIN)
    assert done is not None
    made = done.layer
    return msgspec.structs.replace(
        layer,
        descriptor=made.content,
        diff_id=made.diff_id,
        compression=made.compression,
        source=overlay.source(made.content),
        replaces=(),
    )
