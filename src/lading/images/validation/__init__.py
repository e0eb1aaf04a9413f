"""Validation: whether an image, an index or an artifact is what its digests say, to the last byte.

Lint finds what surprises people; validation finds what is untrue. `gather` walks the manifests and configs, `blobs`
reads each blob once, `judge` puts one beside the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lading.images.lint import wanted_codes
from lading.images.lint.codes import Finding
from lading.images.lint.content import too_large
from lading.images.validation.blobs import BlobFacts, Blobs, Need
from lading.images.validation.codes import ALL, CODES, finding
from lading.images.validation.gather import Gathered, Gatherer, Use
from lading.images.validation.judge import judge, refused
from lading.images.validation.report import Validation, ValidationReport, Verdict, report_of
from lading.io.tasks import JOBS, Limits, Once, gather
from lading.io.threads import in_thread
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable
from lading.transfer.events import Meter, OnEvent

__all__ = ["ALL", "CODES", "Root", "Validation", "ValidationReport", "Verdict", "validate", "wanted"]


_Key = tuple[str, Digest]
"""The name of a store, and the digest of something in it."""


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference names."""

    store: Readable
    name: str
    """What it is called in findings."""
    manifest: AnyManifest | None = None
    """None where it is damaged or missing."""
    content: Descriptor | None = None
    """The descriptor of a manifest that cannot be read, where that is known."""
    problem: str = ""
    """Why it cannot be read; nothing where its file is missing."""
    is_too_large: bool = False
    """Whether it has more bytes than lading reads."""


def wanted(ignore: Iterable[str] | str) -> frozenset[str]:
    """The codes that validation tells.

    Args:
        ignore: codes that it does not, or what such begin with.

    Raises:
        UsageError: there is no such code.
    """
    return wanted_codes((), ignore, ALL)


async def validate(
    roots: Sequence[Root],
    codes: frozenset[str],
    *,
    platforms: Sequence[Platform] = (),
    referrers: bool = False,
    is_fast: bool = False,
    jobs: int = JOBS,
    on_event: OnEvent | None = None,
) -> Validation:
    """Read everything that references lead to, and compare it with what is said of it.

    A blob is read once, whatever has it; what several names of one store stand for is followed once. What is damaged
    does not end it.

    Args:
        roots: what the references name.
        codes: what is told.
        platforms: of an index only the entries for these.
        referrers: whether what refers to them is validated as well.
        is_fast: ask whether blobs are there and how large they are, and read configs only.
        jobs: how many blobs are read at once.
        on_event: is told what is read, as a copy tells it.

    Raises:
        NotFound: nothing is for one of the platforms.
        InvalidContent: one of them leads to more than a walk follows.
    """
    blobs = Blobs(Limits(jobs), Meter(on_event), is_fast=is_fast)
    configs = Once(again=False)
    everything: list[Gathered] = []
    followed: dict[_Key, Gathered] = {}
    for root in roots:
        if root.manifest is None:
            digest = root.content.digest if root.content is not None else None
            everything.append(Gathered(name=root.name, digest=digest, found=[_unread(root)]))
            continue
        key = (root.store.name, root.manifest.digest)
        if key not in followed:
            gatherer = Gatherer(root.store, root.name, blobs, configs)
            await gatherer.follow(root.manifest, platforms, referrers=referrers)
            followed[key] = gatherer.gathered
        everything.append(msgspec.structs.replace(followed[key], name=root.name))
    facts = await _read(blobs, [use for gathered in everything for use in gathered.uses])
    reports = [await in_thread(_report, gathered, facts, codes, is_fast) for gathered in everything]
    return Validation(
        reports=tuple(reports),
        is_fast=is_fast,
        manifests=len(set[Digest]().union(*(gathered.manifests for gathered in everything))),
        blobs=blobs.count,
        bytes=blobs.bytes,
    )


def _unread(root: Root) -> Finding:
    entry = root.content
    if root.is_too_large and entry is not None:
        return too_large(root.name, entry)
    if not root.problem:
        return finding("LAD301", f"{root.name} is not there: its name is listed, and its manifest is missing.", entry)
    return finding("LAD305", f"{root.name} cannot be read: {root.problem.rstrip('.')}.", entry)


def _key(use: Use) -> _Key:
    return use.store.name, use.blob.digest


async def _read(blobs: Blobs, uses: Sequence[Use]) -> dict[_Key, BlobFacts]:
    """What each blob is, read for all of its uses at once."""
    needs: dict[_Key, Need] = {}
    for use in uses:
        need, known = use.need, needs.get(_key(use))
        if known is not None:
            need = msgspec.structs.replace(
                known,
                is_layer=known.is_layer or need.is_layer,
                is_statement=known.is_statement or need.is_statement,
                diff_id=known.diff_id or need.diff_id,
            )
        needs[_key(use)] = need
    found = await gather(blobs.look(need) for need in needs.values())
    return dict(zip(needs, found, strict=True))


def _report(gathered: Gathered, facts: dict[_Key, BlobFacts], codes: frozenset[str], is_fast: bool) -> ValidationReport:
    found = list(gathered.found)
    together: dict[_Key, list[Use]] = {}
    for use in gathered.uses:
        together.setdefault(_key(use), []).append(use)
    for key, uses in together.items():
        found += judge(uses, facts[key], is_fast=is_fast)
    if not is_fast:
        found += refused(gathered.images, lambda use: facts[_key(use)])
    return report_of(gathered.name, gathered.digest, found, codes)
