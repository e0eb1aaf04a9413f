"""Drafts as values: a manifest list in the making, its entries, and what would be pushed of it.

This module knows the model, and neither files, folders nor registries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypedDict

import msgspec

from lading.errors import LadingError, NotFound, UsageError
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.encoding import Document
from lading.model.index import Index, attested, by_digest, by_platform
from lading.model.manifest import Manifest, parse
from lading.model.media_types import DOCKER_LIST, IMAGES, OCI_INDEX, OCI_MANIFEST
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.model.text import counted, excerpt

ListType = Literal["auto", "docker", "oci"]
"""What a list is pushed as. `auto` is Docker's rule: OCI if the first entry is, or if only OCI can hold it."""


class DraftEntryDocument(TypedDict):
    """What `DraftEntry.to_document` gives."""

    reference: Reference
    digest: Digest
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    platform: Platform | None
    """`OS/ARCH[/VARIANT]`; None where the list does not say."""
    annotations: Mapping[str, str]


class DraftDocument(TypedDict):
    """What `Draft.to_document` and `DraftStatus.to_document` give."""

    reference: Reference
    media_type: str | None
    """What it would be pushed as; None where it cannot be read."""
    entries: tuple[DraftEntry, ...]
    annotations: Mapping[str, str]
    changed: datetime | None
    origin: Digest | None
    """The digest that the registry had when it was last pulled or pushed."""
    problem: str | None
    """Why it cannot be read."""
    registry: str | None
    """Where the registry was asked: `absent`, `same`, `older`, `differs` or `unknown`."""
    registry_digest: Digest | None
    """Where the registry was asked, what the list's name names there."""


class DraftEntry(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One manifest of a draft."""

    reference: Reference
    """Where the manifest was found, and what Docker calls the entry."""
    descriptor: Descriptor
    """What the list says about it, with its platform."""
    raw: bytes | None = None
    """The manifest's exact bytes; None where the store does not have them."""
    embedded: bytes = b""
    """The manifest as Docker keeps it beside `raw`, laid out otherwise; empty where the store does not have it."""
    found: Descriptor | None = None
    """The descriptor before anything was annotated; None where that is not known."""
    overrides: tuple[str, ...] = ()
    """The fields of the platform that were set or cleared by hand, in the names of `Platform`."""
    source: Reference | None = None
    """The index it was taken from, if it was not named itself."""
    location: str = ""
    """The location of its content on this machine, until it is pushed; empty for content in a registry."""
    listed: bool = False
    """Whether the descriptor is that of an index in a registry; then it may be without a platform."""
    file: str = ""
    """The name of its file, where it is not the one that Docker gives."""
    extra: Document = {}
    """Keys of its file that neither Docker nor lading knows."""

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return self.descriptor.digest

    @property
    def platform(self) -> Platform | None:
        """The platform the list says it is for."""
        return self.descriptor.platform

    def to_document(self) -> dict[str, Any]:
        """What the list says of the manifest, as a JSON object; see `DraftEntryDocument`."""
        return described(
            DraftEntryDocument(
                reference=self.reference,
                digest=self.digest,
                media_type=self.descriptor.media_type,
                size=self.descriptor.size,
                platform=self.platform,
                annotations=self.descriptor.annotations,
            )
        )

    def __repr__(self) -> str:
        """Such as `<DraftEntry localhost:5000/app:arm64 0d17b565c37b linux/arm64>`."""
        platform = f" {excerpt(str(self.platform))}" if self.platform else ""
        return f"<DraftEntry {self.reference} {self.digest.short}{platform}>"

    def manifest(self) -> Manifest | Index:
        """The manifest, parsed from `raw`.

        Raises:
            LadingError: the store of drafts does not have it.
        """
        if self.raw is None:
            raise LadingError(
                f"the manifest of {self.reference} is not in the local store",
                remedy="read it from the registry",
                code="entry-not-kept",
                fields={"reference": str(self.reference)},
            )
        return parse(self.raw, self.descriptor.media_type, digest=self.digest, what=str(self.reference))

    @property
    def has_platform(self) -> bool:
        """Whether operating system and architecture are said."""
        return bool(self.platform and self.platform.os and self.platform.architecture)

    @property
    def found_platform(self) -> Platform:
        """The platform it was found to be for, in the form in which the next build of the image has it too."""
        platform = ((self.found.platform if self.found else self.platform) or Platform()).normalized()
        # The next image for a version of Windows has another revision: 10.0.17763.1817 is followed by 10.0.17763.1879.
        return msgspec.structs.replace(platform, os_version=".".join(platform.os_version.split(".")[:3]))

    @property
    def overridden(self) -> frozenset[str]:
        """The fields of the platform that were set by hand, or differ from what was found."""
        found = self.found.platform if self.found is not None else self.platform
        now, then = self.platform or Platform(), found or Platform()
        differing = (name for name in Platform.__struct_fields__ if getattr(now, name) != getattr(then, name))
        return frozenset(self.overrides).union(differing)


class Draft(Result, msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A manifest list in the making: Docker's "local manifest list"."""

    reference: Reference
    """The name it is pushed to."""
    entries: tuple[DraftEntry, ...] = ()
    annotations: dict[str, str] = {}
    """Of the list itself."""
    type: ListType = "auto"
    base: dict[str, Any] = {}
    """Other fields of the index that it was pulled from, unchanged."""
    pulled: bytes = b""
    """The exact bytes of the index that it was pulled from. They are pushed again while the draft says the same."""
    ordered: bool = True
    """Whether the entries have an order of their own; else they are in Docker's, that of their files' names."""
    origin: Digest | None = None
    """The digest that the registry had when the draft was last pulled or pushed."""
    created: datetime | None = None
    changed: datetime | None = None
    """When any of its files last changed."""
    warnings: tuple[str, ...] = ()
    """What is odd in its files, and was ignored."""
    problem: str = ""
    """Why its files cannot be read; then it has no entries. Only `DraftStore.list` gives such a draft."""

    def to_document(self) -> dict[str, Any]:
        """The draft as a JSON object, with nothing asked of the registry; see `DraftDocument`."""
        return described(self.described_with())

    def described_with(self, registry: str | None = None, digest: Digest | None = None) -> DraftDocument:
        """The draft as a document, with how its registry stands to it."""
        return DraftDocument(
            reference=self.reference,
            media_type=None if self.problem else self.media_type,
            entries=self.entries,
            annotations=self.annotations,
            changed=self.changed,
            origin=self.origin,
            problem=self.problem or None,
            registry=registry,
            registry_digest=digest,
        )

    def __repr__(self) -> str:
        """Such as `<Draft localhost:5000/app:multi 2 entries>`."""
        return f"<Draft {self.reference} {counted(len(self.entries), 'entry', 'entries')}>"

    @property
    def media_type(self) -> str:
        """The media type it would be pushed with."""
        if self.type != "auto":
            return OCI_INDEX if self.type == "oci" else DOCKER_LIST
        if self.annotations or self.base or any(_only_oci(entry) for entry in self.entries):
            return OCI_INDEX
        return docker_media_type(entry.descriptor for entry in self.entries)

    @cached_property
    def index(self) -> Index:
        """What would be pushed, in the bytes of `docker manifest push`.

        Raises:
            InvalidContent: it is to be a Docker list, and that cannot hold its annotations.
        """
        entries = tuple(entry.descriptor for entry in self.entries)
        if self.pulled:
            pulled = parse(self.pulled, limit=len(self.pulled))
            said = (entries, self.media_type, self.annotations)
            if isinstance(pulled, Index) and said == (pulled.manifests, pulled.media_type, pulled.annotations):
                return pulled
        return Index.build(entries, self.media_type, self.annotations, style="docker", base=self.base)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of its images, in order."""
        return tuple(entry.platform for entry in self.entries if entry.platform and not attested(entry.descriptor))

    def find(self, image: str) -> DraftEntry:
        """The entry a user means.

        Args:
            image: its reference as it was given when the draft was made, its digest (also with the repository
                before it, or only the first digits), or, where one entry alone has it, its tag or its platform.

        Raises:
            NotFound: no entry is meant.
            UsageError: several are.
        """
        meant = _unique(_meant(self.entries, image))
        if len(meant) == 1:
            return meant[0]
        names = ", ".join(str(entry.reference) for entry in (meant or self.entries)[:4])
        if meant:
            raise UsageError(
                f"{image} means more than one entry of {self.reference}",
                cause=f"they are {names}",
                code="ambiguous-entry",
                fields={"draft": str(self.reference), "image": image},
            )
        raise NotFound(
            f"manifest for image {image} does not exist in {self.reference}",
            cause=f"its entries are {names}" if names else "it has no entries",
            remedy="name one of its entries",
            code="entry-not-found",
            fields={"draft": str(self.reference), "image": image},
        )


def check_type(draft: Draft) -> None:
    """Refuse what a Docker manifest list cannot hold, where the draft is to be one.

    Raises:
        UsageError: the draft has annotations, or entries that only an OCI index can hold.
    """
    if draft.media_type != DOCKER_LIST:
        return
    annotated = next((entry for entry in draft.entries if entry.descriptor.annotations), None)
    if annotated is None and not draft.annotations:
        return
    what = "annotations"
    if annotated is not None:
        what = "attestations" if attested(annotated.descriptor) else f"annotations of {annotated.reference}"
    raise UsageError(
        f"{draft.reference} cannot be a Docker manifest list",
        cause=f"such a list would lose {what}",
        remedy="make it an OCI index" + (", or leave out the attestations" if what == "attestations" else ""),
        code="docker-list-loses",
        fields={"draft": str(draft.reference), "attestations": what == "attestations"},
    )


def docker_media_type(entries: Iterable[Descriptor]) -> str:
    """The media type Docker gives a list: it goes by the first entry."""
    first = next(iter(entries), None)
    return OCI_INDEX if first is not None and first.media_type == OCI_MANIFEST else DOCKER_LIST


def _only_oci(entry: DraftEntry) -> bool:
    descriptor = entry.descriptor
    return bool(descriptor.annotations) or descriptor.media_type not in IMAGES or (entry.listed and not entry.platform)


def _meant(entries: tuple[DraftEntry, ...], image: str) -> list[DraftEntry]:
    """The entries a text may mean, by the first way of reading it that finds any."""
    ways = (_by_reference, _by_digest, _by_name, _by_platform)
    return next((found for way in ways if (found := way(entries, image))), [])


def _by_reference(entries: tuple[DraftEntry, ...], image: str) -> list[DraftEntry]:
    try:
        reference = Reference.parse(image)
    except UsageError:
        return []
    exact = [entry for entry in entries if entry.reference == reference]
    if exact or not reference.digest:
        return exact
    return [e for e in entries if e.digest == reference.digest and e.reference.name == reference.name]


def _by_digest(entries: tuple[DraftEntry, ...], image: str) -> list[DraftEntry]:
    return by_digest(entries, image, _said)


def _by_name(entries: tuple[DraftEntry, ...], image: str) -> list[DraftEntry]:
    """By the tag, or by the end of the reference or the location: `oci:app:arm64` of `oci:/home/me/app:arm64`."""
    tag = image.removeprefix(":")
    local = image.partition(":")[2].rpartition("/")[2]
    return [
        entry
        for entry in entries
        if entry.reference.tag == tag
        or str(entry.reference).endswith(f"/{image}")
        or entry.location.endswith(f"/{local}")
    ]


def _by_platform(entries: tuple[DraftEntry, ...], image: str) -> list[DraftEntry]:
    return by_platform(entries, image, _said)


def _said(entry: DraftEntry) -> Descriptor:
    return entry.descriptor


def _unique(entries: list[DraftEntry]) -> list[DraftEntry]:
    return list({entry.file or str(entry.reference): entry for entry in entries}.values())
