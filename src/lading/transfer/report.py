"""What a copy is asked for and what it gives back: pure values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import msgspec

from lading.errors import LadingError, UsageError
from lading.io.tasks import JOBS
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.patterns import choose
from lading.model.reference import is_tag
from lading.model.text import counted, size_text
from lading.transfer.graph import CopyCounts, Step
from lading.transfer.guard import Guard
from lading.transfer.transform import Transform


class Note(str):
    """A sentence about a copy, for people; programs tell the cases apart.

    Args:
        text: the sentence.
        code: which case it is.
        fields: what the sentence is about, as plain values.
    """

    __slots__ = ("code", "fields")

    def __new__(cls, text: str, code: str = "", fields: Mapping[str, Any] | None = None) -> Self:
        """A text with a code and fields."""
        note = super().__new__(cls, text)
        note.code = code
        note.fields = dict(fields or {})
        return note

    def __reduce__(self) -> tuple[type[Note], tuple[str, str, dict[str, Any]]]:
        """What makes the same note again, also in another process."""
        return Note, (str(self), self.code, self.fields)

    code: str
    fields: dict[str, Any]


class CopyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation copies.

    Raises:
        UsageError: the options do not go together.
        InvalidPattern: a pattern cannot be read.
    """

    tags: tuple[str, ...] = ()
    """More tags in each target."""
    all_tags: bool = False
    """Every tag of the source, under its own name."""
    include: tuple[str, ...] = ()
    """Of all tags only those that match one of these patterns (`lading.model.patterns`)."""
    exclude: tuple[str, ...] = ()
    """Of all tags none that matches one of these."""
    chosen: tuple[str, ...] | None = None
    """Of all tags exactly these, where they were chosen already: no pattern counts then."""
    transforms: tuple[Transform, ...] = ()
    """What is made of a manifest before it is written, in this order."""
    referrers: bool | None = None
    """Whether what refers to the content goes along. None: no, and the report says what stayed behind."""
    artifact_types: tuple[str, ...] = ()
    """Of referrers only types like these patterns; all, if there are none."""
    guard: Guard = Guard()
    """What a name in a target must stand for."""
    known: Mapping[str, Descriptor | None] = {}
    """What names in a target stand for, where that was just read, None for nothing: they are asked for once less."""
    looks: bool = True
    """Whether it is asked what the names in the targets stand for; without it, only a guard asks."""
    tells: bool = False
    """Whether it is asked of every name what it stands for, so that it is told, also where that saves nothing."""
    verify: bool = False
    """Believe no target that it has something: walk everything, and read it back."""
    dry_run: bool = False
    """Write nothing; the report says what would be done."""
    keep_going: bool = False
    """Whether what fails of several tags or targets leaves the others to be copied; the report says what it was."""
    jobs: int = JOBS
    """How many blobs are under way at once."""

    def __post_init__(self) -> None:
        """Refuse what does not go together before anything is opened."""
        choose((), self.include, self.exclude)
        if self.jobs < 1:
            raise UsageError(f"jobs is {self.jobs}", cause="at least one blob has to be under way")
        for tag in self.tags:
            if not is_tag(tag):
                elsewhere = "/" in tag or ":" in tag
                raise UsageError(
                    f"{tag!r} is not a tag",
                    cause="further tags are of the target's repository",
                    remedy="name what is elsewhere as one more target" if elsewhere else None,
                )
        if self.all_tags and (self.tags or self.guard.expected):
            raise UsageError(
                "with all tags go neither further tags nor a digest to expect",
                cause="every tag keeps its name",
                code="all-tags-and-names",
            )
        if (self.include or self.exclude) and not self.all_tags:
            raise UsageError(
                "patterns choose among all tags, and not all were asked for",
                remedy="ask for all tags",
                code="patterns-of-one-tag",
            )
        if self.artifact_types and not self.referrers:
            raise UsageError(
                "types of artifacts choose among referrers, and none were asked for",
                remedy="ask for referrers",
                code="types-without-referrers",
            )


class Failure(Result, msgspec.Struct, frozen=True, kw_only=True):
    """Something of several that failed, while the others went on."""

    document_fields: ClassVar[tuple[str, ...]] = ("reference", "code", "message", "cause", "remedy")

    reference: str
    """What could not be copied, or the name that could not be given."""
    code: str
    """Which case it is; see the page on exit codes."""
    message: str
    cause: str | None = None
    remedy: str | None = None
    fields: dict[str, Any] = {}
    """What it is about, as an error has it."""

    @classmethod
    def of(cls, error: LadingError, reference: str) -> Self:
        """The failure that an error is."""
        return cls(
            reference=reference,
            code=error.code,
            message=error.message,
            cause=error.cause,
            remedy=error.remedy,
            fields=error.fields,
        )


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
    copied: CopyCounts
    """Over all targets."""
    steps: list[Step]
    """Each blob and manifest that was looked at, with what became of it."""
    notes: list[str] = []
    """What the user should know: what changed, and what was left behind."""
    failed: list[Failure] = []
    """What could not be copied, of a copy that keeps going."""
    dry_run: bool = False

    def __repr__(self) -> str:
        """Such as `<CopyReport 1 image 3 manifests 31 blobs 251 MB>`: what was written, or would be."""
        done = self.copied
        written = f"{counted(done.manifests, 'manifest')} {counted(done.uploaded + done.mounted, 'blob')}"
        dry_run = " dry run" if self.dry_run else ""
        return f"<CopyReport {counted(len(self.images), 'image')} {written} {size_text(done.bytes)}{dry_run}>"
