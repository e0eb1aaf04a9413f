"""The `index.json` of an image layout: what it lists under which names (image-spec image-layout §index.json file).

This module knows documents, and nothing of files. Changes are made to the documents of the entries, so that fields
and annotations that lading does not know stay as they are. A change replaces the documents that it is about; the others
stay the same objects and are neither decoded nor encoded again, so that a change of a long list costs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property

import msgspec

from lading.errors import Conflict, InvalidContent, InvalidDigest, NotFound
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.encoding import Document, decode, encode_compact
from lading.model.index import respelled_index
from lading.model.media_types import INDEXES, OCI_INDEX
from lading.model.tags import is_fallback, nearest, tag_in

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds a tag, or a name with a tag (image-spec annotations)."""
IMAGE_NAME = "io.containerd.image.name"
"""The annotation in which containerd and BuildKit keep the full reference."""
SIZE_LIMIT = 128 * 1024 * 1024
"""The largest `index.json` that is read, in bytes."""

_SHOWN = 5
_POSITION = r"@[0-9]{1,9}"


class Listing:
    """What an `index.json` says. Never changed; `changed` makes another one.

    Args:
        document: the decoded file; what is in it is never changed, either.
        entries: its `manifests`, read.
    """

    def __init__(self, document: Document, entries: Sequence[ListingEntry] = ()) -> None:
        self._document = document
        self._entries = tuple(entries)

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
        document = respelled_index(decode(raw, where, SIZE_LIMIT))
        version, media_type = document.get("schemaVersion"), document.get("mediaType")
        if version is not None and not (type(version) is int and version == 2):
            raise InvalidContent(f"{where} is not the index of an image layout", cause="its schemaVersion is not 2")
        if media_type is not None and media_type not in tuple(INDEXES):
            raise InvalidContent(f"{where} is not the index of an image layout", cause="its media type is another")
        listed = document.get("manifests")
        if listed is not None and not isinstance(listed, list):
            raise InvalidContent(f"{where} is malformed", cause="its manifests are not a list")
        entries = (ListingEntry(entry, f"entry {number} of {where}") for number, entry in enumerate(listed or (), 1))
        return cls(document, tuple(entries))

    def changed(self, documents: Sequence[Document]) -> Listing:
        """The same with other entries. Documents that are objects of this listing are not decoded again.

        Raises:
            InvalidContent: an entry is malformed.
        """
        known = {id(entry.document): entry for entry in self._entries}
        entries = (known.get(id(document)) or ListingEntry(document, "an entry") for document in documents)
        return Listing(self._document | {"manifests": list(documents)}, tuple(entries))

    def encode(self) -> bytes:
        """The bytes of the file, as `encode_compact` would write them."""
        parts = [
            b'"manifests":[%s]' % b",".join(entry.raw for entry in self._entries)
            if key == "manifests" and value is not None
            else encode_compact({key: value})[1:-1]
            for key, value in self._document.items()
        ]
        return b"{%s}" % b",".join(parts)

    @cached_property
    def entries(self) -> tuple[Descriptor, ...]:
        """What is listed, with annotations, in its order."""
        return tuple(entry.descriptor for entry in self._entries)

    @property
    def documents(self) -> list[Document]:
        """The entries as they stand in the file. The list may be changed; the documents may not, only replaced."""
        return [entry.document for entry in self._entries]

    def listed(self, digest: str) -> Descriptor | None:
        """The first entry of a manifest."""
        return self._by_digest.get(digest)

    def named(self, name: str) -> tuple[Descriptor, ...]:
        """The entries with a name; where there is none, the entries with the tag."""
        return tuple(self._by_name.get(name) or self._by_tag.get(name) or ())

    def find(self, name: str, store: str) -> Descriptor | None:
        """The entry with a digest, name or tag, or at a position (`@N`); None for a digest that is not listed.

        Raises:
            NotFound: no entry of `store` has the name.
            Conflict: several manifests have it.
        """
        if is_digest(name):
            return self.listed(name)
        found = self.named(name)
        if not found and re.fullmatch(_POSITION, name):
            position = int(name[1:])
            if position >= len(self.entries):
                raise NotFound(f"{store} has nothing at {name}", cause=f"it lists {len(self.entries)} manifests")
            return self.entries[position]
        if not found:
            near = nearest(name, self.tags())
            raise NotFound(
                f"{store} has no tag {name}",
                remedy=f"the nearest it has: {', '.join(near)}" if near else "see which it has",
                code="tag-not-found",
                fields={"store": store, "tag": name, "nearest": near},
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
        """Every tag once, in order; where several manifests have the same one, or a name has none, the names instead.

        Each finds what it is of.
        """
        return list(self._tags)

    @cached_property
    def _tags(self) -> tuple[str, ...]:
        named = [(name, tag, entry.digest) for entry in self.entries for name, tag in _first_name(names_of(entry))]
        meant: dict[str, set[Digest]] = {}
        for _, tag, digest in named:
            meant.setdefault(tag, set()).add(digest)
        return tuple(dict.fromkeys(tag if len(meant[tag]) == 1 else name for name, tag, _ in named))

    @cached_property
    def _by_digest(self) -> dict[str, Descriptor]:
        return {entry.digest: entry for entry in reversed(self.entries)}

    @cached_property
    def _by_name(self) -> dict[str, list[Descriptor]]:
        return _grouped((name, entry) for entry in self.entries for name in dict.fromkeys(names_of(entry)))

    @cached_property
    def _by_tag(self) -> dict[str, list[Descriptor]]:
        return _grouped(
            (tag, entry) for entry in self.entries for tag in dict.fromkeys(map(tag_in, names_of(entry))) if tag
        )


class ListingEntry:
    """One entry of an `index.json`.

    Raises:
        InvalidContent: it is malformed; `where` names it.
    """

    __slots__ = ("_raw", "descriptor", "document")

    def __init__(self, document: Document, where: str) -> None:
        self.descriptor: Descriptor = Descriptor.from_document(document, where)
        self.document: Document = document
        self._raw = b""

    @property
    def raw(self) -> bytes:
        """The entry encoded, which is done once."""
        self._raw = self._raw or encode_compact(self.document)
        return self._raw


def names_of(entry: Descriptor) -> list[str]:
    """What an entry is called, the specification's annotation first."""
    return [name for key in (REF_NAME, IMAGE_NAME) if (name := entry.annotations.get(key))]


def without_names(entry: Descriptor) -> Descriptor:
    """An entry without its names."""
    annotations = {key: value for key, value in entry.annotations.items() if key not in (REF_NAME, IMAGE_NAME)}
    return msgspec.structs.replace(entry, annotations=annotations)


def lists_referrers(entry: Descriptor) -> str | None:
    """The fallback tag of an entry that lists the referrers of a manifest (distribution-spec §Referrers Tag Schema).

    The specification of layouts has no place for referrers, and some tools look for them as in a registry without
    the API.
    """
    if entry.media_type not in INDEXES:
        return None
    return next((tag for name in names_of(entry) if (tag := tag_in(name)) is not None and is_fallback(tag)), None)


def is_digest(text: str) -> bool:
    """Whether a text is a digest rather than a tag or another name."""
    try:
        return ":" in text and bool(Digest(text))
    except InvalidDigest:
        return False


def add(entries: list[Document], entry: Document, name: str | None, children: Collection[str] = ()) -> None:
    """List a manifest, under one name more; other manifests lose that name.

    Args:
        entries: what is listed; changed in place.
        entry: the manifest's entry as `plain` makes it.
        name: the name, or None.
        children: the digests of what it lists; their entries are removed where they say nothing more.
    """
    digest = entry["digest"]
    if children:
        entries[:] = [other for other in entries if not (other["digest"] in children and _is_plain(other))]
    same = [number for number, other in enumerate(entries) if other["digest"] == digest]
    for number in same:
        if entries[number].get("mediaType") != entry["mediaType"]:
            entries[number] = entries[number] | {"mediaType": entry["mediaType"]}
    if name is None:
        if not same:
            entries.append(entry)
        return
    if not any(_names(entries[number])[:1] == [name] for number in same):
        _give_name(entries, entry, same, name)
    _take(entries, lambda other: name in _names(other) and other["digest"] != digest)


def name_in_full(entries: list[Document], repository: str, tags: Collection[str]) -> None:
    """Give the entries with these tags their full names, too, as containerd writes them."""
    for number, entry in enumerate(entries):
        annotations = entry.get("annotations") or {}
        tag = annotations.get(REF_NAME)
        if tag in tags and annotations.get(IMAGE_NAME) != f"{repository}:{tag}":
            entries[number] = entry | {"annotations": annotations | {IMAGE_NAME: f"{repository}:{tag}"}}


def find(entries: Sequence[Document], name: str) -> Document | None:
    """The first entry with a name."""
    return next((entry for entry in entries if name in _names(entry)), None)


def untag(entries: list[Document], name: str) -> None:
    """Remove a name, or a tag of any style, from the entries that have it."""
    if any(name in _names(entry) for entry in entries):
        _take(entries, lambda entry: name in _names(entry))
    else:
        _take(entries, lambda entry: name in map(tag_in, _names(entry)))


def plain(content: Descriptor) -> Document:
    """The entry of a manifest that says nothing but what it is."""
    entry: Document = {"mediaType": content.media_type, "digest": str(content.digest), "size": content.size}
    return entry | ({"artifactType": content.artifact_type} if content.artifact_type else {})


def _give_name(entries: list[Document], entry: Document, same: Sequence[int], name: str) -> None:
    """Write a name into the manifest's first entry without a name, or into one more entry.

    Args:
        entries: what is listed; changed in place.
        entry: the manifest's entry as `plain` makes it.
        same: the positions of the entries that the manifest has already.
        name: the name.
    """
    free = next((number for number in same if not _names(entries[number])), None)
    base = entry if free is None else entries[free]
    named = base | {"annotations": (base.get("annotations") or {}) | {REF_NAME: name}}
    if free is None:
        entries.append(named)
    else:
        entries[free] = named


def _take(entries: list[Document], named: Callable[[Document], bool]) -> None:
    """Remove the names of entries. An entry that says nothing then is removed if its manifest has another one."""
    for entry in [entry for entry in entries if named(entry)]:
        annotations = {k: v for k, v in entry["annotations"].items() if k not in (REF_NAME, IMAGE_NAME)}
        bare = {k: v for k, v in entry.items() if k != "annotations"}
        bare |= {"annotations": annotations} if annotations else {}
        position = next(number for number, other in enumerate(entries) if other is entry)
        if _is_plain(bare) and sum(other["digest"] == entry["digest"] for other in entries) > 1:
            del entries[position]
        else:
            entries[position] = bare


def _names(entry: Document) -> list[str]:
    annotations = entry.get("annotations") or {}
    return [name for key in (REF_NAME, IMAGE_NAME) if (name := annotations.get(key))]


def _first_name(names: list[str]) -> list[tuple[str, str]]:
    """The first name of an entry with a tag, and the tag; or else its first name, unless that is `@DIGEST`."""
    tagged = [(name, tag) for name in names if (tag := tag_in(name)) is not None]
    return (tagged or [(name, name) for name in names if not is_digest(name.removeprefix("@"))])[:1]


def _grouped(pairs: Iterable[tuple[str, Descriptor]]) -> dict[str, list[Descriptor]]:
    groups: dict[str, list[Descriptor]] = {}
    for name, entry in pairs:
        groups.setdefault(name, []).append(entry)
    return groups


def _is_plain(entry: Document) -> bool:
    """Whether an entry says nothing that the manifest itself does not."""
    return entry.keys() <= {"mediaType", "digest", "size", "artifactType"}
