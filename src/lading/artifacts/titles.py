"""Titles: what files of an artifact are called, as paths in the folder that they are written into. Pure.

A title is the annotation `org.opencontainers.image.title`, and whoever pushed an artifact has written it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

TITLE = "org.opencontainers.image.title"
"""The annotation of a layer with its title (image-spec annotations §Pre-Defined Annotation Keys)."""
UNPACK = "io.deis.oras.content.unpack"
"""The annotation that says with `true` that a layer is a directory in a tar archive, as oras has it."""
PLAIN_DIGEST = "io.deis.oras.content.digest"
"""The annotation with the digest of that archive without its compression."""
_LONGEST = 255
"""How long a name may be that file systems take, in bytes."""
_PATH = 4095
_DEEPEST = 255
"""How many parts a path may have: an archive with many deep ones is an attack, and no directory that is used."""


def tidy(title: str) -> str:
    """A title without parts that say nothing, such as `./` at its beginning or a slash at its end."""
    root = "/" if title.startswith("/") else ""
    return root + "/".join(part for part in title.split("/") if part not in ("", "."))


def fault(title: str) -> str | None:
    """Why a tidy title cannot be the path of a file in a folder; None where it can."""
    parts = title.split("/")
    if not title:
        return "it names nothing"
    if title.startswith("/"):
        return "it is an absolute path"
    if ".." in parts:
        return "it leads out of the folder"
    if "\0" in title:
        return "it has a zero byte in it"
    if len(parts) > _DEEPEST:
        return f"it has more than {_DEEPEST} parts"
    if max(len(_encoded(part)) for part in parts) > _LONGEST:
        return f"a name in it is longer than {_LONGEST} bytes"
    return f"it is longer than {_PATH} bytes" if len(_encoded(title)) > _PATH else None


def clash(titles: Iterable[str]) -> tuple[str, str] | None:
    """Two titles that cannot both be in one folder; None where all can.

    They are equal, or are on file systems that do not tell cases or Unicode forms apart; or one is a folder that the
    other is in.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for title in titles:
        same = _folded(title)
        parts = same.split("/")
        above = ["/".join(parts[:length]) for length in range(1, len(parts))]
        found = files.get(same) or folders.get(same) or next((files[one] for one in above if one in files), None)
        if found is not None:
            return found, title
        files[same] = title
        folders.update(dict.fromkeys(above, title))
    return None


def leads_outside(folder: str, link: str) -> bool:
    """Whether a symbolic link may lead out of the tree that it is in, whatever other links there are.

    Where `..` stands only at the beginning, it counts directories that are none but real ones; what comes after that
    goes on within the tree, through links of which the same is true.

    Args:
        folder: the path of its directory in the tree, such as `a/b`; empty for the top.
        link: what it leads to.
    """
    parts = [part for part in link.split("/") if part not in ("", ".")]
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    depth = len([part for part in folder.split("/") if part])
    return link.startswith("/") or up > depth or ".." in parts[up:]


def _folded(title: str) -> str:
    return unicodedata.normalize("NFC", title.casefold())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
