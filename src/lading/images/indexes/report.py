"""What was done to an index, and what it lists: values. Knows nothing of how it was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.index import attested
from lading.model.platform import Platform
from lading.model.text import excerpt
from lading.transfer.report import CopyReport


class EntryChange(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entry of an index."""

    kind: Literal["added", "replaced", "changed", "removed", "kept"]
    """`replaced`: another manifest is listed in its place. `changed`: the index says something else of it. `kept`: it
    was to be added, and is listed already."""
    digest: Digest
    """Of the entry as it is now, or as it was if it is removed."""
    platform: Platform | None = None
    previous: Digest | None = None
    """The digest before, of an entry that was replaced."""
    attests: str | None = None
    """The digest of the image that it attests to; None for what is no attestation."""

    @classmethod
    def of(cls, kind: Any, entry: Descriptor, previous: Digest | None = None) -> EntryChange:
        """What became of this entry."""
        return cls(kind=kind, digest=entry.digest, platform=entry.platform, previous=previous, attests=attested(entry))

    def __str__(self) -> str:
        """One line for people, such as `linux/arm64 replaced: 0d17b565c37b instead of 11aa22bb33cc`."""
        name = excerpt(str(self.platform)) if self.platform is not None else "entry"
        if self.attests is not None:
            name = f"attestation of {excerpt(self.attests.partition(':')[2][:12])}"
        if self.kind == "replaced" and self.previous is not None:
            return f"{name} replaced: {self.digest.short} instead of {self.previous.short}"
        return f"{name} {self.kind}: {self.digest.short}"


class IndexReport(CopyReport, kw_only=True):
    """What was done to an index, or would be: the changes, and how it was written."""

    digest: Digest
    """Of the index as it is now."""
    media_type: str
    size: int
    """Of the index itself, in bytes."""
    changes: list[EntryChange] = msgspec.field(default_factory=list)
    previous: Digest | None = None
    """The digest of the index before, where one was changed."""
    manifest: dict[str, Any] = msgspec.field(default_factory=dict)
    """The index as it is now."""
    raw: bytes = b""

    document_fields: ClassVar[tuple[str, ...]] = (
        *("digest", "media_type", "size", "previous", "changes", "manifest"),
        *("images", "copied", "steps", "notes", "dry_run"),
    )

    @property
    def is_unchanged(self) -> bool:
        """Whether the index is the same as before."""
        return self.previous == self.digest

    def __repr__(self) -> str:
        """Such as `<IndexReport 98f8ec75657d 2 changes>`."""
        return f"<IndexReport {self.digest.short} {len(self.changes)} changes>"


class ListedEntry(Result, msgspec.Struct, kw_only=True):
    """An entry of an index."""

    position: int
    """In its index, from 0 on."""
    digest: Digest
    media_type: str
    size: int
    """Of the manifest, in bytes."""
    platform: Platform | None = None
    os_version: str | None = None
    os_features: tuple[str, ...] = ()
    artifact_type: str | None = None
    annotations: Mapping[str, str] = {}
    attests: str | None = None
    """The digest of the image that it attests to: empty where it does not say which; None for anything else."""
    depth: int = 0
    """How many indexes it is below the one that was asked for."""
    index: Digest | None = None
    """The digest of the index that lists it."""
    state: Literal["listed", "missing"] = "listed"
    """`missing`: a nested index that the store does not have, so that it is not known what it lists."""


class IndexListing(Result, msgspec.Struct, kw_only=True):
    """An index with its entries."""

    reference: str
    digest: Digest
    media_type: str
    size: int
    """Of the index itself, in bytes."""
    artifact_type: str | None = None
    subject: Digest | None = None
    annotations: Mapping[str, str] = {}
    entries: list[ListedEntry]
    """In their order; of nested indexes, where these were asked for, after the entry of the index."""
