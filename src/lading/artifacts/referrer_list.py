"""What refers to a manifest, as a list: what each is, where it is listed, which of them are wanted, in which order.

This module knows stores, and not the place that a user names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from lading.errors import Conflict, NotFound, Unsupported
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.tags import COSIGN_KINDS, cosign_tags, is_fallback, subject_of
from lading.model.text import counted, excerpt, moment
from lading.store import ListsReferrers, Readable, fetch_manifest
from lading.transfer.referrers import ArtifactTypes, FewTags, artifact_types, cosign_type, typed

CREATED = "org.opencontainers.image.created"

ListedBy = Literal["api", "fallback-tag", "cosign-tag", "subject"]
"""What finds a referrer: the referrers API, the fallback tag, a tag made of the subject's digest, or, in a store that
reads all its manifests for it, its own `subject`."""


class ReferrerEntry(Result, msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that refers to another one, such as a signature or an SBOM."""

    digest: Digest
    media_type: str
    """Of the manifest."""
    artifact_type: str
    """What it is; where the manifest does not say it, the media type of its config. Of cosign's tags what cosign gives
    the like: `application/vnd.dev.cosign.artifact.sig.v1+json`."""
    size: int
    """Of the manifest, in bytes."""
    created: str | None
    """When it was made, as its annotations say."""
    listed_by: tuple[ListedBy, ...]
    """What finds it."""
    tag: str | None = None
    """The tag made of the subject's digest by which it is found."""
    annotations: Mapping[str, str] = {}

    @property
    def descriptor(self) -> Descriptor:
        """Its manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


class ReferrerList(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What refers to a manifest."""

    reference: str
    digest: Digest
    """Of the subject."""
    referrers: tuple[ReferrerEntry, ...]
    notes: tuple[str, ...] = ()
    """What a user should know: where places that list referrers do not agree."""


class ReferrerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which referrers are wanted, and in which order."""

    artifact_types: tuple[str, ...] = ()
    """Patterns such as `application/spdx*`, of which one has to match; none for all."""
    annotations: Mapping[str, str | None] = {}
    """What the annotations have to be; None for any value."""
    sort: str = "created"
    """`created` (the newest first, last those that do not say it), `type`, `size`, `digest`, or the key of an
    annotation."""
    reverse: bool = False
    latest: bool = False
    """Only the newest of them."""

    @property
    def exact_type(self) -> str | None:
        """The one type that is wanted, where that is no pattern."""
        only = self.artifact_types[0] if len(self.artifact_types) == 1 else ""
        return only if only and not set(only) & set("*?[") else None

    def takes(self, entry: ReferrerEntry, kinds: Iterable[str] = ()) -> bool:
        """Whether a referrer is wanted.

        Args:
            entry: the referrer.
            kinds: what may be taken for its artifact type besides.
        """
        return ArtifactTypes(self.artifact_types).has((entry.artifact_type, *kinds)) and all(
            key in entry.annotations and value in (None, entry.annotations[key])
            for key, value in self.annotations.items()
        )

    def ordered(self, found: Iterable[ReferrerEntry], what: str) -> list[ReferrerEntry]:
        """Those that are wanted, in their order.

        Args:
            found: all that are taken.
            what: what they refer to, for messages.

        Raises:
            Conflict: only the newest is wanted, and which that is cannot be told.
        """
        if self.latest:
            return newest(list(found), what)
        key: Callable[[ReferrerEntry], Any] = _ORDERS.get(self.sort) or (
            lambda entry: (self.sort not in entry.annotations, entry.annotations.get(self.sort, ""), entry.digest)
        )
        return sorted(found, key=key, reverse=self.reverse)


def newest(entries: Sequence[ReferrerEntry], what: str) -> list[ReferrerEntry]:
    """The one that was made last; none of none.

    Args:
        entries: the referrers.
        what: what they refer to, for messages.

    Raises:
        Conflict: which that is cannot be told: two are equally new, or several say nothing of when they were made.
    """
    if len(entries) < 2:
        return list(entries)
    first, second, *_ = sorted(entries, key=_age)
    if moment(first.created) == moment(second.created):
        raise Conflict(
            f"which of {len(entries)} referrers of {what} is the newest cannot be told",
            cause=f"none of them says when it was made ({CREATED})"
            if moment(first.created) is None
            else f"several were made at {first.created}",
            remedy="choose one by its digest",
            code="no-newest",
            fields={"reference": what},
        )
    return [first]


def the_only(found: ReferrerList) -> ReferrerEntry:
    """The only referrer of a list.

    Raises:
        NotFound: there is none.
        Conflict: there are several.
    """
    entries = list(found.referrers)
    if not entries:
        raise NotFound(
            f"nothing like that is attached to {found.reference}",
            remedy="see what is",
            code="no-referrer",
            fields={"reference": found.reference},
        )
    if len(entries) > 1:
        shown = [f"{one.digest.short} ({excerpt(one.artifact_type) or 'of no type'})" for one in entries[:5]]
        more = len(entries) - len(shown)
        raise Conflict(
            f"{len(entries)} artifacts like that are attached to {found.reference}",
            cause=", ".join(shown) + (f" and {more} more" if more else ""),
            remedy="choose one by its type, an annotation or its digest, or take the newest",
            code="several-referrers",
            fields={"reference": found.reference, "digests": [str(one.digest) for one in entries]},
        )
    return entries[0]


async def list_referrers(
    store: Readable, subject: Descriptor, wanted: ReferrerFilter, what: str, *, digest_tags: bool = False
) -> ReferrerList:
    """What refers to a manifest: listed by the store, or found by a tag that cosign makes of its digest.

    All places are asked at once. A registry costs two requests, and one for each tag made of the digest that is there;
    where it has more tags than one request gives, six. A list that does not say what an entry is costs one more for
    each of these.

    Args:
        store: has the manifest.
        subject: the manifest.
        wanted: which referrers, and in which order.
        what: what the manifest is called.
        digest_tags: every tag made of its digest, whatever comes after that: costs the list of all tags.

    Raises:
        Conflict: see `newest`.
    """
    notes: list[str] = []
    tags = FewTags(store, [tag async for tag in store.tags()] if digest_tags else None)
    listed, tagged = await gather(
        [
            _listed(store, subject, wanted, notes, tags),
            _tagged(store, subject.digest, wanted, tags, everything=digest_tags),
        ]
    )
    found: dict[Digest, ReferrerEntry] = {}
    for entry in (*listed, *tagged):
        known = found.setdefault(entry.digest, entry)
        if known is not entry:
            by = tuple(dict.fromkeys((*known.listed_by, *entry.listed_by)))
            found[entry.digest] = msgspec.structs.replace(known, listed_by=by, tag=entry.tag or known.tag)
    chosen = wanted.ordered(found.values(), what)
    return ReferrerList(reference=what, digest=subject.digest, referrers=tuple(chosen), notes=tuple(notes))


async def _listed(
    store: Readable, subject: Descriptor, wanted: ReferrerFilter, notes: list[str], tags: FewTags
) -> list[ReferrerEntry]:
    """What the store lists and is wanted, each once."""
    lists: Mapping[Any, Sequence[Descriptor]]
    if isinstance(store, ListsReferrers):
        lists = dict(await store.referrer_lists(subject, wanted.exact_type, everywhere=True, tags=tags))
        if "api" in lists and "fallback-tag" in lists:
            lists = {**lists, "fallback-tag": await _more(store, lists["api"], lists["fallback-tag"])}
    else:
        lists = {"subject": [entry async for entry in _by_subject(store, subject)]}
    by: dict[Digest, list[ListedBy]] = {}
    contents: dict[Digest, Descriptor] = {}
    for place, listed in lists.items():
        for content in listed:
            contents.setdefault(content.digest, content)
            by.setdefault(content.digest, []).append(place)
    known = await gather(typed(store, content) for content in contents.values())
    entries = [_entry(content, tuple(by[content.digest])) for content in known]
    taken = [entry for entry in entries if wanted.takes(entry)]
    hidden = sum(entry.listed_by == ("fallback-tag",) for entry in taken) if "api" in lists else 0
    if hidden:
        notes.append(
            f"{counted(hidden, 'referrer')} of {store.name}@{subject.digest} {'is' if hidden == 1 else 'are'} under "
            "the fallback tag alone: who asks the referrers API, which the registry has, does not find that"
        )
    return taken


async def _more(store: Readable, listed: Sequence[Descriptor], tagged: Sequence[Descriptor]) -> list[Descriptor]:
    """What the fallback tag of a registry with the referrers API lists, without what is there no more."""
    in_api = {entry.digest for entry in listed}
    rest = {entry.digest: entry for entry in tagged if entry.digest not in in_api}
    there = await gather(store.contains(entry.content) for entry in rest.values())
    gone = {digest for digest, is_there in zip(rest, there, strict=True) if not is_there}
    return [entry for entry in tagged if entry.digest not in gone]


async def _by_subject(store: Readable, subject: Descriptor) -> AsyncIterator[Descriptor]:
    try:
        async for entry in store.referrers(subject):
            yield entry
    except (NotFound, Unsupported):
        return


async def _tagged(
    store: Readable, subject: Digest, wanted: ReferrerFilter, tags: FewTags, *, everything: bool
) -> list[ReferrerEntry]:
    """What the tags name that are made of a digest, where it is wanted."""
    asked = await tags.those(cosign_tags(subject))
    if everything:
        asked = [tag for tag in await tags() or () if subject_of(tag) == subject and not is_fallback(tag)]

    async def one(tag: str) -> ReferrerEntry | None:
        try:
            manifest = await fetch_manifest(store, tag)
        except (NotFound, Unsupported):
            return None
        if manifest.digest == subject:
            return None  # some registries take such a tag for the digest in it
        kinds = artifact_types(manifest, tag)
        # Cosign's are images as far as their configs say: what they are says the tag.
        kind = cosign_type(tag) if tag.rpartition(".")[2] in COSIGN_KINDS else manifest.as_referrer.artifact_type
        content = msgspec.structs.replace(manifest.as_referrer, artifact_type=manifest.artifact_type or kind)
        entry = _entry(content, ("cosign-tag",), tag)
        return entry if wanted.takes(entry, kinds) else None

    return [entry for entry in await gather(map(one, asked)) if entry is not None]


def _entry(content: Descriptor, listed_by: tuple[ListedBy, ...], tag: str | None = None) -> ReferrerEntry:
    return ReferrerEntry(
        digest=content.digest,
        media_type=content.media_type,
        artifact_type=content.artifact_type,
        size=content.size,
        created=content.annotations.get(CREATED) or None,
        listed_by=listed_by,
        tag=tag,
        annotations=content.annotations,
    )


_NEVER = datetime.min.replace(tzinfo=UTC)


def _age(entry: ReferrerEntry) -> Any:
    """What sorts the newest first, and last what does not say when it was made."""
    return (-((moment(entry.created) or _NEVER) - _NEVER).total_seconds(), entry.artifact_type, entry.digest)


_ORDERS: dict[str, Callable[[ReferrerEntry], Any]] = {
    "created": _age,
    "type": lambda entry: (entry.artifact_type, _age(entry)),
    "size": lambda entry: (entry.size, entry.digest),
    "digest": lambda entry: entry.digest,
}
