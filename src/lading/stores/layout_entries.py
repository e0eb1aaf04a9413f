"""The `index.json` of an image layout: what it lists under which names (image-spec image-layout §index.json file).

This module knows documents, and nothing of files. Changes are made to the documents of the entries, so that fields
and annotations that lading does not know stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lading.errors import Conflict, InvalidContent, InvalidDigest, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, decode
from lading.model.media_types import INDEXES, OCI_INDEX
from lading.model.reference import is_tag
from lading.model.tags import nearest
from lading.store import AnyManifest

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a tag, or a name with a tag (image-spec annotations)."""
IMAGE_NAME = "io.containerd.image.name"
"""The annotation in which containerd and BuildKit keep the full reference."""
SIZE_LIMIT = 128 * 1024 * 1024
"""The largest `index.json` that is read, in bytes."""

_SHOWN = 5


class Listing(NamedTuple):
    """What an `index.json` says. Never changed in place."""

    document: Document
    entries: tuple[Descriptor, ...] = ()

    @classmethod
    def empty(cls) -> Listing:
        """What a new layout lists."""
        return cls({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})

    @classmethod
    def read(cls, raw: bytes, where: str) -> Listing:
        """Read an `index.json`: without a media type, and with null for an empty list, too.

        Raises:
            InvalidContent: it is malformed; `where` names it.
        """
        document = decode(raw, where, SIZE_LIMIT)
        version, media_type = document.get("schemaVersion"), document.get("mediaType")
        if version is not None and not (type(version) is int and version == 2):
            raise InvalidContent(f"{where} is not the index of an image layout", cause="its schemaVersion is not 2")
        if media_type is not None and media_type not in tuple(INDEXES):
            raise InvalidContent(f"{where} is not the index of an image layout", cause="its media type is another")
        listed = document.get("manifests")
        if listed is not None and not isinstance(listed, list):
            raise InvalidContent(f"{where} is malformed", cause="its manifests are not a list")
        entries = (
            Descriptor.from_document(entry, f"entry {number} of {where}")
            for number, entry in enumerate(listed or (), 1)
        )
        return cls(document, tuple(entries))

    @property
    def documents(self) -> list[Document]:
        """Copies of the entries, to be changed: only at the top, what is below is replaced."""
        return [dict(entry) for entry in self.document.get("manifests") or ()]

    def find(self, name: str, store: str) -> Descriptor | None:
        """The entry with a digest, name or tag; None for a digest that is not listed.

        Raises:
            NotFound: no entry of `store` has the name.
            Conflict: several manifests have it.
        """
        if is_digest(name):
            return next((entry for entry in self.entries if entry.digest == name), None)
        found = [entry for entry in self.entries if name in names_of(entry)]
        found = found or [entry for entry in self.entries if name in map(tag_in, names_of(entry))]
        if not found:
            near = nearest(name, self.tags())
            raise NotFound(
                f"{store} has no tag {name}", remedy=f"the nearest it has: {', '.join(near)}" if near else None
            )
        digests = dict.fromkeys(entry.digest for entry in found)
        if len(digests) > 1:
            full = [other for entry in found for other in names_of(entry) if other != name]
            raise Conflict(
                f"{store} has several manifests that are called {name}",
                cause=", ".join([*digests][:_SHOWN]),
                remedy=f"say which: {' or '.join(full[:_SHOWN])}" if full else "say which by its digest",
            )
        return found[0]

    def tags(self) -> list[str]:
        """Every tag once, in order; where several manifests have the same one, their names instead."""
        named = [(name, tag, entry.digest) for entry in self.entries for name, tag in _first_tag(names_of(entry))]
        meant: dict[str, set[Digest]] = {}
        for _, tag, digest in named:
            meant.setdefault(tag, set()).add(digest)
        return list(dict.fromkeys(tag if len(meant[tag]) == 1 else name for name, tag, _ in named))


def names_of(entry: Descriptor) -> list[str]:
    """What an entry is called, the specification's annotation first."""
    return [name for key in (REF_NAME, IMAGE_NAME) if (name := entry.annotations.get(key))]


def tag_in(name: str) -> str | None:
    """The tag in a name of any style: `v1`, `app:v1`, `registry:5000/app:v1`."""
    last = name.rpartition("/")[2]
    tag = last.rpartition(":")[2]
    return tag if is_tag(tag) and "@" not in name and (":" in last or "/" not in name) else None


def is_digest(text: str) -> bool:
    """Whether a text is a digest rather than a tag or another name."""
    try:
        return ":" in text and bool(Digest(text))
    except InvalidDigest:
        return False


def add(entries: list[Document], manifest: AnyManifest, name: str | None) -> None:
    """List a manifest, under a name beside those it has; all others lose that name.

    An entry for one of its children goes where it says nothing that the manifest does not.
    """
    children = {child.digest for child in manifest.children}
    entries[:] = [entry for entry in entries if not (entry["digest"] in children and _is_plain(entry))]
    same = [entry for entry in entries if entry["digest"] == manifest.digest]
    if name is None:
        if not same:
            entries.append(_plain(manifest))
        return
    if not any(_names(entry)[:1] == [name] for entry in same):
        free = next((entry for entry in same if not _names(entry)), None)
        if free is None:
            free = _plain(manifest)
            entries.append(free)
        free["annotations"] = (free.get("annotations") or {}) | {REF_NAME: name}
    _take(entries, [entry for entry in entries if name in _names(entry) and entry["digest"] != manifest.digest])


def untag(entries: list[Document], name: str) -> None:
    """Take a name, or a tag of any style, from the entries that have it."""
    tagged = [entry for entry in entries if name in _names(entry)]
    _take(entries, tagged or [entry for entry in entries if name in map(tag_in, _names(entry))])


def _take(entries: list[Document], tagged: Iterable[Document]) -> None:
    """Take their names from entries; one that says nothing then, and whose manifest has another entry, goes."""
    for entry in tagged:
        annotations = {k: v for k, v in entry.pop("annotations").items() if k not in (REF_NAME, IMAGE_NAME)}
        if annotations:
            entry["annotations"] = annotations
        elif _is_plain(entry) and sum(other["digest"] == entry["digest"] for other in entries) > 1:
            entries[:] = [other for other in entries if other is not entry]


def _names(entry: Document) -> list[str]:
    annotations = entry.get("annotations") or {}
    return [name for key in (REF_NAME, IMAGE_NAME) if (name := annotations.get(key))]


def _first_tag(names: list[str]) -> list[tuple[str, str]]:
    return [(name, tag) for name in names if (tag := tag_in(name)) is not None][:1]


def _plain(manifest: AnyManifest) -> Document:
    entry: Document = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": manifest.size}
    return entry | ({"artifactType": manifest.artifact_type} if manifest.artifact_type else {})


def _is_plain(entry: Document) -> bool:
    """Whether an entry says nothing that the manifest itself does not."""
    return entry.keys() <= {"mediaType", "digest", "size", "artifactType"}
