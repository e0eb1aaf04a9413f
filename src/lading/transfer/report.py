"""What a copy is asked for and what it gives back: pure values."""

from __future__ import annotations

from typing import Literal

import msgspec

from lading.io.tasks import JOBS
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.media_types import Family, LayerCompression
from lading.model.patterns import choose
from lading.model.platform import Platform
from lading.model.text import counted, size_text
from lading.transfer.graph import Copied, Step
from lading.transfer.guard import Guard

Format = Family
Compression = LayerCompression


class CopyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to copy; see `AsyncClient.copy`."""

    tags: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    sparse: bool = False
    all_tags: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    referrers: bool = False
    artifact_types: tuple[str, ...] = ()
    guard: Guard = Guard()
    dry_run: bool = False
    verify: bool = False
    jobs: int = JOBS
    format: Format | None = None
    compression: Compression | None = None

    def __post_init__(self) -> None:
        """Refuse patterns that cannot be read before anything is opened."""
        choose((), self.include, self.exclude)


class CopiedTag(Result, msgspec.Struct, kw_only=True):
    """What became, or would become, of one name in a target."""

    reference: str
    full: str
    """Its full name, with the digest where the target knows digests."""
    digest: Digest
    """What the copy is; with state `kept`, what is there instead is `previous`."""
    state: Literal["new", "moved", "unchanged", "kept", "set"]
    """`set`: the name is a digest. `kept`: there was another one, and it was to be left alone."""
    previous: Digest | None = None
    """The digest that the name had before."""


class CopiedImage(Result, msgspec.Struct, kw_only=True):
    """One image, index or artifact that was copied."""

    source: str
    digest: Digest
    media_type: str
    targets: list[CopiedTag]
    original: Digest | None = None
    """The digest in the source, where the copy has another: platforms were chosen, or it was encoded anew."""
    referrers: int = 0
    """How many signatures, SBOMs and the like came along."""
    platform: str | None = None
    """The platform whose image was copied of an index, where a target holds no indexes and none was asked for."""


class CopyReport(Result, msgspec.Struct, kw_only=True):
    """What a copy did, or would do."""

    images: list[CopiedImage]
    copied: Copied
    """Over all targets."""
    steps: list[Step]
    """Each blob and manifest that was looked at, with what became of it."""
    notes: list[str] = []
    """What the user should know: what changed, and what was left behind."""
    dry_run: bool = False

    def __repr__(self) -> str:
        """Such as `<CopyReport 1 image 3 manifests 31 blobs 251 MB>`: what was written, or would be."""
        done = self.copied
        written = f"{counted(done.manifests, 'manifest')} {counted(done.uploaded + done.mounted, 'blob')}"
        dry_run = " dry run" if self.dry_run else ""
        return f"<CopyReport {counted(len(self.images), 'image')} {written} {size_text(done.bytes)}{dry_run}>"
