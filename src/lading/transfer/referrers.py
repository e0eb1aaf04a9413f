"""What refers to content: signatures, SBOMs, provenance, wherever a store keeps them.

That is the referrers that the store lists (by its API or the fallback tag), and the tags that cosign makes of a
digest: `sha256-….sig`, `.att`, `.sbom`. Knows stores, and not which ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Self

import msgspec

from lading.errors import InvalidContent, LadingError, NotFound, Unsupported
from lading.io.tasks import Once, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, IMAGES
from lading.model.tags import cosign_tags, fallback_tag, is_fallback, subject_of
from lading.store import AnyManifest, GivesTags, ListsFewTags, ListsReferrers, Readable, fetch_manifest
from lading.transfer.report import CopiedImage, Note
from lading.walk import Walk


class ArtifactTypes:
    """Which artifact types are wanted.

    Args:
        patterns: such as `application/spdx*`, of which one has to match (`*`, `?` and `[…]` as in shells); every type
            is wanted where there are none.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)

    def __bool__(self) -> bool:
        """Whether not all are wanted."""
        return bool(self._patterns)

    def has(self, types: Iterable[str]) -> bool:
        """Whether what may be taken for one of these types is wanted."""
        return not self._patterns or any(fnmatchcase(kind, pattern) for kind in types for pattern in self._patterns)


class Referrer(msgspec.Struct, frozen=True):
    """Something that refers to what is copied."""

    content: Descriptor
    subject: Digest
    tag: str | None = None
    """The tag by which it is found, where it is not listed as a referrer."""


class Finder:
    """Finds what refers to manifests of a store; its tags are listed once.

    Args:
        source: the store.
        artifact_types: only referrers with a type like one of these patterns, together with what refers to those; all,
            if there are none. What cosign's tags name has the types that `artifact_types` says.
        lists: whether what the store lists as referrers is looked for.
        tags: whether what cosign's tags name is looked for.
        names: all tags of the store, where these were listed already.
    """

    def __init__(
        self,
        source: Readable,
        artifact_types: Collection[str] = (),
        *,
        lists: bool = True,
        tags: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        self._source = source
        self._types = ArtifactTypes(artifact_types)
        self._asks_lists, self._asks_tags = lists, tags
        self._tags: DigestTags | None = DigestTags.among(names) if names is not None else None
        self._listing = Once()
        self.found: dict[Digest, tuple[list[Digest], list[Referrer]]] = {}
        """What was asked for before: by the first of the subjects, all of them, and what refers to them."""

    async def of(self, subjects: Sequence[Descriptor]) -> list[Referrer]:
        """Everything that refers to these manifests, and to what refers to them.

        Args:
            subjects: what is copied: an image or an index, and those of its entries that go along.

        Raises:
            InvalidContent: there is more than a walk follows.
        """
        if self._tags is None:
            self._tags = await self._listing.do("tags", lambda: DigestTags.of(self._source))
        asked = [subject.digest for subject in subjects]
        subjects = list({subject.digest: subject for subject in subjects}.values())
        seen: set[Digest] = {subject.digest for subject in subjects}
        found: list[Referrer] = []
        walk, depth = Walk(f"the referrers of {self._source.name}"), 0
        while subjects:
            is_first, depth = depth == 0, depth + 1
            direct = [
                referrer for group in await gather(self._of_one(s, is_first) for s in subjects) for referrer in group
            ]
            found += direct
            fresh = {referrer.content.digest: referrer.content for referrer in direct}
            subjects = [content for digest, content in fresh.items() if digest not in seen]
            seen |= fresh.keys()
            if subjects:
                walk.enter(subjects, depth)
        if asked:
            self.found[asked[0]] = asked, found
        return found

    async def _of_one(self, subject: Descriptor, is_first: bool) -> list[Referrer]:
        listed = [Referrer(item.content, subject.digest) async for item in self._listed(subject, is_first)]
        for tag in (self._tags or DigestTags()).cosign.get(subject.digest, ()) if self._asks_tags else ():
            with suppress(NotFound):  # it was removed meanwhile
                content = await self._tagged(tag, is_wanted=not is_first or not self._types)
                if content is not None:
                    listed.append(Referrer(content, subject.digest, tag))
        return listed

    async def _tagged(self, tag: str, *, is_wanted: bool) -> Descriptor | None:
        """What one of cosign's tags names, if it is wanted, or of one of the types that are."""
        if is_wanted:
            return await self._source.resolve(tag)
        manifest = await fetch_manifest(self._source, tag)
        return manifest.descriptor if self._types.has(artifact_types(manifest, tag)) else None

    async def _fallbacks(self) -> Collection[str] | None:
        return self._tags.fallbacks if self._tags is not None and self._tags.are_all else None

    async def _listed(self, subject: Descriptor, is_first: bool) -> AsyncIterator[Descriptor]:
        if not self._asks_lists:
            return
        async for item in listed_referrers(self._source, subject, self._fallbacks):
            if (
                not is_first
                or not self._types
                or self._types.has([(item if item.artifact_type else await typed(self._source, item)).artifact_type])
            ):
                yield item


class FewTags:
    """All tags of a store, asked for at most once; None where that would cost more than one question.

    Args:
        store: the store.
        listed: its tags, where they were listed already.
    """

    def __init__(self, store: Readable, listed: Collection[str] | None = None) -> None:
        self._store = store
        self._listed = listed
        self._once = Once()

    async def __call__(self) -> Collection[str] | None:
        """The tags."""
        return self._listed if self._listed is not None else await self._once.do("tags", self._ask)

    async def those(self, tags: Sequence[str]) -> Sequence[str]:
        """Those of some tags that may be there."""
        known = await self()
        return tags if known is None else [tag for tag in tags if tag in known]

    async def _ask(self) -> Collection[str] | None:
        if isinstance(self._store, ListsFewTags):
            found = await self._store.few_tags()
            return frozenset(found) if found is not None else None
        if self._store.traits.is_remote:
            return None
        try:
            return frozenset([tag async for tag in self._store.tags()])
        except (NotFound, Unsupported):
            return frozenset()


class DigestTags(msgspec.Struct):
    """The tags of a store that are made of digests."""

    cosign: dict[Digest, list[str]] = {}
    """Those of cosign, by the digests that they are made of."""
    fallbacks: set[str] = set()
    """Those that list referrers, where the store lists such tags."""
    are_all: bool = False
    """Whether all tags were listed."""

    @classmethod
    async def of(cls, store: Readable) -> Self:
        """Find them: all tags are listed. A store that has no tags, or does not exist, has none of these."""
        try:
            return cls.among([tag async for tag in store.tags()])
        except (NotFound, Unsupported):
            return cls()

    @classmethod
    def among(cls, names: Iterable[str]) -> Self:
        """Those among all tags of a store."""
        found = cls(are_all=True)
        for tag in names:
            if is_fallback(tag):
                found.fallbacks.add(tag)
            elif (subject := subject_of(tag)) is not None:
                found.cosign.setdefault(subject, []).append(tag)
        return found

    def has_no_list(self, store: Readable, subject: Digest) -> bool:
        """Whether it is known, without a question, that the store lists no referrers of a manifest."""
        return self.are_all and store.traits.lists_under_tags and fallback_tag(subject) not in self.fallbacks


class LeftBehind:
    """What refers to the images of a copy and does not go along, to be said at its end: one question an image.

    Args:
        source: the store that they are copied from.
    """

    def __init__(self, source: Readable) -> None:
        self.tags: Sequence[str] = ()
        """All tags of the source, where they were listed for the copy: then cosign's need not be asked for."""
        self._source = source
        self._found: dict[str, set[Digest]] = {}
        self._changed: set[str] = set()
        self._unknown: list[str] = []

    def is_told_by_tags(self, subject: Digest) -> bool:
        """Whether a tag that was listed says already that something refers to a manifest."""
        return any(subject_of(tag) == subject for tag in self.tags)

    async def look(self, title: str, root: Descriptor, *, is_changed: bool = False) -> None:
        """Ask what refers to an image itself; an answer that does not come is no reason not to copy, and is told, too.

        Costs one request, and one more for the source's tags where they were not listed; three, where there are many.

        Args:
            title: what the image is called.
            root: its manifest; those that it lists are not asked for.
            is_changed: whether what is written is not that manifest: what refers to it does not refer to the copy.
        """
        try:
            found = await _referring(self._source, root, FewTags(self._source, self.tags or None), cosign=not self.tags)
        except LadingError as error:
            self._unknown.append(
                f"whether something refers to {title}, such as signatures, was not found out: {error.message}"
            )
        else:
            self._found[title] = found
            if is_changed:
                self._changed.add(title)

    def notes(self, images: Sequence[CopiedImage], holder: str | None) -> Iterator[str]:
        """What a user should know of it.

        Args:
            images: what was copied.
            holder: what one of the targets is called that holds no referrers; None where all of them do.
        """
        copied = {
            image.original or image.digest
            for image in images
            if any(change.state != "kept" for change in image.targets)
        }
        chosen = {image.source.rpartition(":")[2] for image in images}
        tags = [tag for tag in self.tags if tag not in chosen and subject_of(tag) in copied]
        if tags:
            yield left_behind(f"{_count(tags, 'tag')} with signatures or referrers", len(tags), holder)
        found = {title: left for title, referrers in self._found.items() if (left := referrers - copied)}
        for title in sorted(self._changed & found.keys()) if holder is None else ():
            yield _as_it_was(title, len(found.pop(title)), "the copy", "referrers-of-changed")
        if found:
            left = set[Digest]().union(*found.values())
            what = next(iter(found)) if len(found) == 1 else f"{len(found)} images"
            yield left_behind(f"{_count(left, 'referrer')} of {what}", len(left), holder)
        yield from self._unknown


async def refers_to_original(store: Readable, title: str, subjects: Sequence[Descriptor]) -> Note | None:
    """What is to be said of what refers to manifests that were changed, and stays with them; None for nothing.

    Costs one request for each in a registry, and one for its tags; where there are many, three more for each.

    Args:
        store: has the manifests as they were.
        title: what they are called.
        subjects: those that were changed.
    """
    try:
        tags = FewTags(store)
        looks = await gather(_referring(store, subject, tags) for subject in subjects)
    except LadingError:
        text = f"{title} has another digest now: what refers to it as it was, such as a signature, does not cover it"
        return Note(text, "digest-changed", {"reference": title})
    count = len(set[Digest]().union(*looks))
    if not count:
        return None
    return _as_it_was(title, count, "this", "referrers-of-original")


def _as_it_was(title: str, count: int, what: str, code: str) -> Note:
    refer = "1 referrer" if count == 1 else f"{count} referrers"
    verb = "refers" if count == 1 else "refer"
    text = f"{refer} of {title}, such as signatures, {verb} to it as it was, not to {what}"
    return Note(text, code, {"reference": title, "count": count})


async def listed_referrers(
    store: Readable, subject: Descriptor, tags: GivesTags | None = None
) -> AsyncIterator[Descriptor]:
    """What a store lists as referrers of a manifest, wherever it does, each once.

    A registry may have the referrers API and not list there what the fallback tag has: both are asked, until the API
    was seen to list something.

    Args:
        store: the store.
        subject: the manifest.
        tags: gives all tags of the store, where they are known: then some questions need not be asked.
    """
    if not isinstance(store, ListsReferrers):
        async for item in store.referrers(subject):
            yield item
        return
    lists = await store.referrer_lists(subject, tags=tags)
    for item in {item.digest: item for entries in [*lists.values()][::-1] for item in entries}.values():
        yield item


async def found_there(
    store: Readable, subjects: Collection[Digest], contains: Callable[[Descriptor], Coroutine[None, None, bool]]
) -> set[Digest]:
    """What a store has and lists as referrers of manifests: one question for each of these.

    Args:
        store: the store.
        subjects: the manifests.
        contains: asks whether a manifest is there. What a registry lists itself is; a list under a tag may be old.
    """

    async def of(subject: Digest) -> set[Digest]:
        content = Descriptor(digest=subject, size=0)
        if not isinstance(store, ListsReferrers):
            return await _listed(store, content)
        lists = await store.referrer_lists(content)
        listed = {item.digest for item in lists.get("api", ())}
        asked = [item for item in lists.get("fallback-tag", ()) if item.digest not in listed]
        looks = await gather(contains(item.content) for item in asked)
        return listed | {item.digest for item, is_there in zip(asked, looks, strict=True) if is_there}

    return set[Digest]().union(*await gather(map(of, subjects)))


async def typed(store: Readable, referrer: Descriptor) -> Descriptor:
    """A referrer as it is listed, with what a list may leave out, and the manifest says: its type, its annotations.

    Costs one request where the list does not say the type.

    Args:
        store: has it.
        referrer: as it is listed.
    """
    if referrer.artifact_type or referrer.media_type not in IMAGES:
        return referrer
    try:
        return (await fetch_manifest(store, referrer.content)).as_referrer
    except (NotFound, InvalidContent):
        return referrer


async def _referring(store: Readable, subject: Descriptor, tags: FewTags, *, cosign: bool = True) -> set[Digest]:
    """What refers to a manifest, by the store's list, and by cosign's tags where these are to be asked for."""

    async def tagged() -> set[Digest]:
        asked = await tags.those(cosign_tags(subject.digest)) if cosign else ()
        return set[Digest]().union(*await gather(_tagged(store, tag) for tag in asked))

    return set[Digest]().union(*await gather([_listed(store, subject, tags), tagged()]))


async def _listed(store: Readable, subject: Descriptor, tags: GivesTags | None = None) -> set[Digest]:
    try:
        return {item.digest async for item in listed_referrers(store, subject, tags)}
    except (NotFound, Unsupported):
        return set()


async def _tagged(store: Readable, tag: str) -> set[Digest]:
    try:
        return {(await fetch_manifest(store, tag)).digest}  # one request decides
    except NotFound:
        return set()


def _count(things: Collection[str], name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}"


def left_behind(what: str, count: int, holder: str | None) -> Note:
    """The note that referrers do not go along.

    Args:
        what: how many, and of what.
        count: how many.
        holder: what a target is called that holds none; None where all of them do.
    """
    way = f"{holder} holds none" if holder else f"a copy with referrers brings {'them' if count > 1 else 'it'} along"
    fields = {"what": what, "count": count, "holder": holder}
    return Note(f"{what} stayed behind: {way}", "referrers-left-behind", fields)


def artifact_types(manifest: AnyManifest, tag: str) -> set[str]:
    """What may be taken for the artifact type of what one of cosign's tags names, which has none of its own.

    That is the type of its config, unless that is an image's, those of its layers, and the one that cosign gives to
    the like where it is listed as a referrer.
    """
    types = {manifest.artifact_type, cosign_type(tag)}
    if isinstance(manifest, Manifest):
        config = manifest.config.media_type if manifest.config is not None else ""
        types |= {layer.media_type for layer in manifest.layers} | ({config} - IMAGE_CONFIGS)
    return types - {""}


def cosign_type(tag: str) -> str:
    """The artifact type that cosign gives to what one of its tags names, where that is listed as a referrer."""
    return f"application/vnd.dev.cosign.artifact.{tag.partition('.')[2]}.v1+json"
