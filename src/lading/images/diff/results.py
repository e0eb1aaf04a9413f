"""What differs, as results: values that are found by the other modules of this room."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from lading.images.files.entries import FileEntry
from lading.model.digest import Digest
from lading.model.document import Result

State = Literal["added", "removed", "changed", "same"]
"""`added` is in B only, `removed` in A only."""


class DiffSide(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One of the two that are compared."""

    reference: str
    digest: Digest
    media_type: str
    kind: Literal["index", "image", "artifact"]
    size: int
    """Of the manifest, in bytes."""


class Change(Result, msgspec.Struct, frozen=True, kw_only=True):
    """One thing that two documents say differently."""

    scope: Literal["index", "descriptor", "manifest", "config", "history"]
    """Which document says it; `descriptor` is what the index says of the image."""
    path: str
    """Where in the document, such as `config.Env.LOG` or `annotations["org.example.x"]`."""
    name: str
    """What it is called: `ENV LOG`, `LABEL org.example.x`, `annotation org.example.x`, or the path."""
    a: Any = None
    """What A says; None where it says nothing."""
    b: Any = None
    """What B says."""

    @property
    def state(self) -> Literal["added", "removed", "changed"]:
        """Whether only one of them says it."""
        return "added" if self.a is None else "removed" if self.b is None else "changed"

    document_fields: ClassVar[tuple[str, ...]] = ("scope", "path", "name", "state", "a", "b")


class DiffLayer(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A layer of an image, or a file of an artifact, on one side."""

    number: int
    """Which one it is, from 1: the lowest."""
    digest: Digest
    diff_id: str | None
    """The digest without compression, as the config says; None where it does not."""
    media_type: str
    size: int
    """Of the blob, in bytes."""
    title: str | None = None
    """What the artifact calls the file, or the type of what is attested."""
    instruction: str | None = None
    """What made it, as the history says."""


class LayerPair(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A layer of A beside one of B."""

    state: Literal["same", "recompressed", "changed", "removed", "added"]
    """`recompressed`: the same diff ID in another blob. `changed`: a file of an artifact that has the same title."""
    a: DiffLayer | None
    b: DiffLayer | None


class LayersDiff(Result, msgspec.Struct, frozen=True, kw_only=True):
    """The layers of both, aligned from the lowest up."""

    shared: int
    """How many are in both by their diff IDs or digests."""
    base: int
    """How many of those are the lowest of both, without one that differs between."""
    size: int
    """How many bytes more the blobs of B have than those of A."""
    pairs: tuple[LayerPair, ...]


FileAspect = Literal["type", "content", "size", "mode", "owner", "xattrs", "link", "device", "mtime"]


class FileChange(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A file of any type that differs."""

    state: Literal["added", "removed", "changed", "moved"]
    """`moved`: a file with this content is at another path in B, and not at the one that it has in A."""
    path: str
    """Without a leading slash; of what was moved the path in B."""
    changes: tuple[FileAspect, ...]
    """In what it differs; of what was moved, in what besides its path."""
    a: FileEntry | None
    b: FileEntry | None


class FilesDiff(Result, msgspec.Struct, frozen=True, kw_only=True):
    """The merged file systems of both, compared."""

    added: int
    removed: int
    changed: int
    moved: int
    size: int
    """How many bytes more the files of B have than those of A; each name counts."""
    entries: tuple[FileChange, ...]
    """Sorted by path, directory by directory."""


class PackageChange(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A package that differs."""

    state: State
    type: Literal["deb", "apk", "rpm", "python", "npm"]
    name: str
    architecture: str | None
    a: str | None
    """Its version in A."""
    b: str | None
    path: str
    """The file that says so."""


class ContentDiff(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What differs in the content of a file."""

    path: str
    state: Literal["text", "binary", "too-large"]
    """`text`: there are lines. `too-large`: it is beyond the limits, and was not compared line by line."""
    a_size: int | None
    """In bytes; None where the file is not in A."""
    b_size: int | None
    lines: tuple[str, ...] = ()
    """A unified diff, with its two lines of names."""


class ImageDiff(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two images, artifacts or attestations."""

    state: State
    kind: Literal["image", "artifact", "attestation", "index"]
    platform: str | None
    """`OS/ARCH[/VARIANT]`; of an attestation that of the image that it is about."""
    a: Digest | None
    """The digest of the manifest in A."""
    b: Digest | None
    changes: tuple[Change, ...] = ()
    layers: LayersDiff | None = None
    """None where a manifest was not read."""
    files: FilesDiff | None = None
    """None where files were not asked for, or there are none."""
    packages: tuple[PackageChange, ...] | None = None
    contents: tuple[ContentDiff, ...] | None = None


class DiffReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two references."""

    is_same: bool
    """Whether both are the same, byte by byte: they have one digest, or the index has the image."""
    a: DiffSide
    b: DiffSide
    changes: tuple[Change, ...] = ()
    """Of two indexes, what they say of themselves."""
    images: tuple[ImageDiff, ...] = ()
    """Of two indexes each of their images, artifacts and attestations; else the one comparison that there is."""
    warnings: tuple[str, ...] = ()
