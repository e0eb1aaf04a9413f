"""What the client's methods return, where it is not a value of the model.

Pure values, without any knowledge of how they come about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict

import msgspec

from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.text import counted, excerpt
from lading.stores.location import Location
from lading.transfer.report import Failure

if TYPE_CHECKING:
    from lading.model.platform import Platform
    from lading.model.selection import Selection


class TagChange(Result, msgspec.Struct, kw_only=True):
    """What became, or would become, of one tag."""

    document_fields: ClassVar[tuple[str, ...]] = (
        "reference",
        "digest",
        "state",
        "previous",
        "previous_type",
        "previous_platforms",
    )

    reference: Location
    """The tag."""
    digest: Digest
    """What it names now, or would name."""
    state: Literal["set", "new", "moved", "unchanged", "failed"]
    """`set`: the tag names the digest now, and what it named before could not be told. `failed`: it does not, and
    others do."""
    previous: Digest | None = None
    """The digest it named before, where that is known."""
    previous_type: str | None = None
    """The media type of that, where it was read."""
    previous_platforms: int | None = None
    """Of an index, how many images it has; None for everything else."""
    failure: Failure | None = None
    """Why it failed; None where it did not."""


class TagDetails(Result, msgspec.Struct, frozen=True, kw_only=True):
    """More of what a tag names."""

    kind: Literal["index", "image", "artifact"]
    created: str | None
    """RFC 3339, as found: of an index the latest of its images', or that of its first image's config."""
    platforms: tuple[str, ...]
    """`OS/ARCH[/VARIANT]` of the image, or of each image of the index."""
    total_size: int
    """Config and layers of all of it, in bytes; a layer that several images share counts once."""
    artifact_type: str | None


class TagInfo(Result, msgspec.Struct, kw_only=True):
    """A tag and, where it was asked for, what it names."""

    document_fields: ClassVar[tuple[str, ...]] = ("tag", "digest", "media_type", "problem", "details")

    tag: str
    descriptor: Descriptor | None = None
    """What the tag names, as a store describes it; None where it was not asked for, or is listed and names nothing."""
    problem: str | None = None
    """Why it cannot be told what the tag names."""
    details: TagDetails | None = None
    """More of what the tag names; None where it was not asked for, or cannot be told."""

    @property
    def digest(self) -> Digest | None:
        """None where it was not asked for, or cannot be told."""
        return self.descriptor.digest if self.descriptor is not None else None

    @property
    def media_type(self) -> str | None:
        """None where it was not asked for, or cannot be told."""
        return self.descriptor.media_type if self.descriptor is not None else None


class TagSuggestions(Result, msgspec.Struct, kw_only=True):
    """What may have been meant by a tag that was not found."""

    repository: str
    """The repository, directory or archive that was looked in."""
    count: int
    """How many tags there are."""
    nearest: list[str]
    """Those most like it, best first."""


class Deletion(Result, msgspec.Struct, kw_only=True):
    """What a deletion takes with it."""

    reference: Location
    """The tag or digest that was named."""
    digest: Digest
    """The manifest that goes."""
    tags: list[str]
    """Every tag that names the digest, and so is gone with it; where that was not asked for, the one that was named."""
    listed_in: list[str] = []
    """The tags of every index that lists the digest, directly or in an index of its own, and so would break."""
    referrers: list[Digest] = []
    """What refers to the digest, such as signatures: it stays, and refers to nothing then."""


class ResolveDocument(TypedDict):
    """What `Resolution.to_document` gives."""

    reference: Location
    platform: str | None
    """None where each client asks for what its host is."""
    results: list[Selection]


class Resolution(Result, msgspec.Struct, kw_only=True):
    """What clients take when they pull a name."""

    reference: Location
    """The name; of a draft, the one it is pushed to."""
    platform: str | None
    """What they are asked for; None where each asks for what its host is."""
    host: Platform
    """The machine they run on."""
    selections: list[Selection]
    """What each takes, in the order they were given."""

    def to_document(self) -> dict[str, Any]:
        """The resolution as a JSON object; see `ResolveDocument`."""
        return described(ResolveDocument(reference=self.reference, platform=self.platform, results=self.selections))

    def __repr__(self) -> str:
        """Such as `<Resolution docker.io/library/alpine:3.20 linux/arm64 4 clients>`."""
        platform = f" {excerpt(self.platform)}" if self.platform is not None else ""
        return f"<Resolution {self.reference}{platform} {counted(len(self.selections), 'client')}>"

    @property
    def is_pulled(self) -> bool:
        """Whether every client gets an image."""
        return all(selection.is_pulled for selection in self.selections)

    @property
    def is_unanimous(self) -> bool:
        """Whether all clients take the same, be it an image or nothing."""
        return len({selection.digest if selection.is_pulled else None for selection in self.selections}) <= 1
