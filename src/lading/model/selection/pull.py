"""One pull as it is worked out: what is asked for, what is known, what was looked at, and how it ends.

The clients' own ways are in `docker`, `containerd` and `c_image`; this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import msgspec

from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result, described
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import INDEXES
from lading.model.platform import Platform
from lading.model.reach import Reach
from lading.model.selection.clients import PullClient


class Gap(Enum):
    """Why there is no content for a digest."""

    MISSING = "missing"
    """The index lists it, and it is not there."""
    UNREADABLE = "unreadable"
    """It is there, and neither a manifest nor a config that could be read."""


Content = Manifest | Index | ImageConfig | Gap
Contents = Mapping[Digest, Content]
"""What is known of the content that a list leads to: manifests, and configs of images."""

Outcome = Literal["taken", "no match", "refused", "fails", "crashes", "nothing"]


class Candidate(Result, msgspec.Struct, frozen=True, kw_only=True):
    """An entry that the client looked at."""

    document_fields: ClassVar[tuple[str, ...]] = ("digest", "rank", "reason")

    entry: Descriptor
    rank: int | None
    """Its place among the entries of its index that would do, the best being 0; None where it would not."""
    reason: str
    """Why it is taken or passed over."""

    @property
    def digest(self) -> Digest:
        """The digest of the entry."""
        return self.entry.digest


class PullDocument(TypedDict):
    """What `Selection.to_document` gives."""

    client: str
    version: str
    variant: str | None
    """Such as Docker's `containerd` and `graphdriver`."""
    digest: str | None
    """What it takes, also where it then fails; None where it takes nothing."""
    error: str | None
    """What it prints where there is no image in the end; `…` stands for what depends on the place."""
    fetched: list[str]
    """The manifests whose content it downloads."""
    candidates: list[Candidate]
    """Of each index first the entries that would do, best first, then the others."""


class Selection(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What a client takes from a list, and why."""

    client: PullClient
    platform: str | None
    """What is asked for; None where nothing is, and the client goes by its host."""
    outcome: Outcome
    """How the pull ends.

    `taken`: with an image. `no match`: the client finds no entry that fits, and says so. `refused`: it does not
    understand the platform. `fails`: it takes an entry, and cannot pull that. `crashes`: it takes an entry, and
    falls over. `nothing`: it finds nothing, and says it is done.
    """
    taken: tuple[Descriptor, ...] = ()
    """What it takes: one entry, but for `ctr`, which may unpack several. Also what it failed with."""
    fetched: tuple[Descriptor, ...] = ()
    """The manifests whose content it downloads, in their order; indexes are not among them."""
    error: str | None = None
    """What it prints where there is no image in the end; `…` stands for what depends on the place."""
    reason: str = ""
    """Why it ends so, in words."""
    candidates: tuple[Candidate, ...] = ()
    """What it looked at: of each index first the entries that would do, best first, then the others."""
    needs: tuple[Descriptor, ...] = ()
    """Content the client reads that was not known; until it is, the selection takes the list's word for it."""

    def to_document(self) -> dict[str, Any]:
        """The selection as a JSON object; see `PullDocument`."""
        return described(
            PullDocument(
                client=self.client.name,
                version=self.client.version,
                variant=self.client.variant,
                digest=self.digest,
                error=self.error,
                fetched=[entry.digest for entry in self.fetched],
                candidates=[*self.candidates],
            )
        )

    def __repr__(self) -> str:
        """Such as `<Selection docker@29.7.2+containerd taken 5a1c09ef31d2>`."""
        digest = f" {self.digest.short}" if self.digest is not None else ""
        return f"<Selection {self.client} {self.outcome}{digest}>"

    @property
    def digest(self) -> Digest | None:
        """The digest of what is taken, the first if it is several; None where nothing is."""
        return self.taken[0].digest if self.taken else None

    @property
    def is_pulled(self) -> bool:
        """Whether there is an image in the end."""
        return self.outcome == "taken"


class Fit(NamedTuple):
    """How well an entry fits."""

    key: tuple[Any, ...]
    """The lower, the better; of equal ones the first in the list is taken."""
    reason: str
    """Why it is taken, if it is."""


class Pull:
    """A pull in the making.

    Args:
        client: who pulls.
        platform: what is asked for.
        host: where the client runs.
        name: what is pulled, for the client's messages.
        contents: what is known.
    """

    def __init__(self, client: PullClient, platform: str | None, host: Platform, name: str, contents: Contents) -> None:
        self.client = client
        self.platform = platform
        self.host = host
        self.name = name
        self.reach: Reach = Reach(name)
        self._contents = contents
        self._candidates: list[Candidate] = []
        self._needs: dict[Digest, Descriptor] = {}

    def look(self, entry: Descriptor) -> Manifest | Index | Gap | None:
        """The manifest of an entry; None where it is not known, which is remembered."""
        found = self._find(entry)
        return Gap.UNREADABLE if isinstance(found, ImageConfig) else found

    def config(self, manifest: Manifest) -> ImageConfig | Gap | None:
        """The config of a manifest; None where it is not known, which is remembered."""
        if manifest.config is None:
            return Gap.UNREADABLE
        found = self._find(manifest.config)
        return Gap.UNREADABLE if isinstance(found, Manifest | Index) else found

    def rank(
        self, entries: Sequence[Descriptor], judge: Callable[[Descriptor], Fit | str], *, takes_all: bool = False
    ) -> list[Descriptor]:
        """Put the entries that fit in order, and note of each entry why it is where it is.

        Args:
            entries: those of one index.
            judge: how an entry fits, or why it does not.
            takes_all: whether the client takes every entry that fits, and not the best.
        """
        verdicts = [(entry, judge(entry)) for entry in entries]
        fitting = [(entry, fit) for entry, fit in verdicts if isinstance(fit, Fit)]
        fitting.sort(key=lambda item: item[1].key)
        alike = sum(fit.key == fitting[0][1].key for _, fit in fitting)
        for place, (entry, fit) in enumerate(fitting):
            reason = fit.reason
            if place and not takes_all:
                reason = _passed(fit, *fitting[0])
            elif alike > 1 and not takes_all:
                reason += f", the first of {alike}"
            self._candidates.append(Candidate(entry=entry, rank=place, reason=reason))
        self._candidates += [
            Candidate(entry=entry, rank=None, reason=why) for entry, why in verdicts if isinstance(why, str)
        ]
        return [entry for entry, _ in fitting]

    def image(self, manifest: Manifest) -> Descriptor:
        """The entry that stands for what is no list."""
        entry = manifest.descriptor
        self.rank([entry], lambda _: Fit((), "not a list: it is pulled for whatever platform"))
        return entry

    def ends(
        self,
        outcome: Outcome,
        *taken: Descriptor,
        error: str | None = None,
        reason: str = "",
        fetched: Sequence[Descriptor] | None = None,
    ) -> Selection:
        """The selection. Without a reason it is the one noted for what is taken."""
        if not reason and taken:
            noted = (item.reason for item in reversed(self._candidates) if item.entry is taken[0])
            reason = next(noted, "")
        if fetched is None:
            fetched = taken if outcome == "taken" else ()
        return Selection(
            client=self.client,
            platform=self.platform,
            outcome=outcome,
            taken=taken,
            fetched=tuple(fetched),
            error=error,
            reason=reason,
            candidates=tuple(self._candidates),
            needs=tuple(self._needs.values()),
        )

    def _find(self, content: Descriptor) -> Content | None:
        found = self._contents.get(content.digest)
        if found is None:
            self._needs.setdefault(content.digest, content)
        return found


def is_index(entry: Descriptor, found: Manifest | Index | Gap | None) -> bool:
    """Whether an entry is an index: by what it is, or by what the list says as long as that is not known."""
    return isinstance(found, Index) or (found is None and entry.media_type in INDEXES)


def _passed(fit: Fit, winner: Descriptor, best: Fit) -> str:
    where = str(winner.platform) if winner.platform is not None else winner.digest.short
    if fit.key == best.key:
        return f"would do, but {where} comes first in the list ({winner.digest.short})"
    return f"would do, but {where} is preferred ({winner.digest.short})"
