"""Whether the base of an image is still the one that the image was built on (image-spec annotations §base image).

This module knows views of images, and stores that it is given a way to; it opens nothing by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Literal

import msgspec

from lading.errors import InvalidContent, InvalidDigest, NotFound, UsageError
from lading.images.bases import BASE_DIGEST, BASE_NAME
from lading.images.platforms import choose_image
from lading.images.views import Image
from lading.io.tasks import Once, gather
from lading.model.digest import Digest
from lading.model.document import Result
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.model.reference import Reference
from lading.model.text import counted, excerpt
from lading.store import AnyManifest, Readable, fetch_manifest
from lading.stores.location import Location, as_location

OpenStore = Callable[[Location], Awaitable[Readable]]
"""Gives the store of a location, which stays open as long as it is needed."""


class ImageBase(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What became of the base of one image."""

    reference: str
    digest: Digest
    """Of the image's manifest."""
    platform: Platform | None
    base: str
    """The name of the base."""
    is_current: bool
    """Whether the image is built on what the name stands for now."""
    compared: Literal["digest", "layers"]
    """What was compared: the digest that the image says of its base, or the layers of both."""
    previous: Digest | None
    """The digest of the base that the image was built on, where it is known."""
    current: Digest
    """What the name of the base stands for now."""
    reason: str | None = None
    """How it was told that the base has changed."""


class BaseReport(Result, msgspec.Struct, frozen=True, kw_only=True):
    """What became of the bases of an image, or of all images of an index."""

    document_fields: ClassVar[tuple[str, ...]] = ("reference", "digest", "is_current", "images")

    reference: str
    digest: Digest
    """Of the manifest or index."""
    images: tuple[ImageBase, ...]

    @property
    def is_current(self) -> bool:
        """Whether every image is built on what its base is now."""
        return all(image.is_current for image in self.images)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of the base."""

    base: Location | None = None
    """Its name; None for the one that the image says."""
    digest: Digest | None = None
    """The digest of the base that the image was built on; None for the one that the image says."""
    layers_only: bool = False
    """Whether histories need not fit."""


class _Now(msgspec.Struct, frozen=True):
    """What a base's name stands for."""

    location: Location
    store: Readable
    digest: Digest


class BaseChecks:
    """Looks at bases; what several images are built on is looked at once.

    Args:
        open: gives the store of a location.
        given: what the caller says of the base.
    """

    def __init__(self, open: OpenStore, given: Given) -> None:
        self._open = open
        self._given = given
        self._once = Once()

    async def check(self, images: Iterable[tuple[Image, Sequence[Mapping[str, str]]]]) -> tuple[ImageBase, ...]:
        """What became of the bases of images.

        Args:
            images: each with the annotations that may say what its base is, the first that does counts.

        Raises:
            NotFound: an image does not say what its base is; or the base is not there any more.
        """
        # What does not say what it is based on is known before a base is asked for.
        based = [(image, *self._base_of(image, annotations)) for image, annotations in images]
        return tuple(await gather(self._check(*each) for each in based))

    def _base_of(self, image: Image, annotations: Sequence[Mapping[str, str]]) -> tuple[Location, Digest | None]:
        """The base of an image, and the digest that it had when the image was built, where that is known."""
        said = next((these for these in annotations if these.get(BASE_NAME)), {})
        name = said.get(BASE_NAME)
        own = _reference(name, image) if name and (self._given.base is None or _is_reference(name)) else None
        base = self._given.base or (as_location(_tagged(own)) if own is not None else None)
        if base is None:
            raise NotFound(
                f"{_called(image)} does not say what it is based on",
                cause=f"it has no annotation {BASE_NAME}",
                remedy="say which image is its base",
                code="no-base",
                fields={"reference": image.name},
            )
        base = base.full()
        # The digest that is said belongs to the name that is said.
        is_own = own is not None and base == as_location(_tagged(own)).full()
        if self._given.digest is not None:
            return base, self._given.digest
        if not is_own:
            return base, None
        return base, _digest(said.get(BASE_DIGEST), image) or (own.digest if own is not None else None)

    async def _check(self, image: Image, base: Location, previous: Digest | None) -> ImageBase:
        now = await self._once.do(str(base), lambda: self._resolved(base))
        reason: str | None = None
        if previous is None:
            reason = await self._layers_differ(image, now)
        elif previous != now.digest and not await self._lists(now, previous):
            reason = f"it was {previous}, and is {now.digest} now"
        return ImageBase(
            reference=image.name,
            digest=image.digest,
            platform=image.platform,
            base=str(base),
            is_current=reason is None,
            compared="layers" if previous is None else "digest",
            previous=previous,
            current=now.digest,
            reason=reason,
        )

    async def _resolved(self, base: Location) -> _Now:
        store = await self._open(base)
        return _Now(base, store, (await store.resolve(base.name or "")).digest)

    async def _manifest(self, now: _Now) -> AnyManifest:
        return await self._once.do((str(now.location), "manifest"), lambda: fetch_manifest(now.store, now.digest))

    async def _lists(self, now: _Now, digest: Digest) -> bool:
        """Whether a base is an index that has this image: builders write down the digest of one or of the other."""
        manifest = await self._manifest(now)
        return isinstance(manifest, Index) and any(entry.digest == digest for entry in manifest.images)

    # Layers

    async def _layers_differ(self, image: Image, now: _Now) -> str | None:
        """How the layers of an image are not those of a base with more on top; None where they are."""
        config = await image.config()
        manifest: AnyManifest = await self._manifest(now)
        if isinstance(manifest, Index):
            platform = image.platform or config.platform
            try:
                entry = await choose_image(now.store, manifest, platform, str(now.location))
            except NotFound as error:
                return f"{error.message} any more"
            key = (str(now.location), entry.digest)
            manifest = await self._once.do(key, lambda: fetch_manifest(now.store, entry.content))
            if isinstance(manifest, Index):
                return f"{now.location} has an index for {platform}, and no image"
        base = Image(now.store, manifest, str(now.location))
        if (found := await _different_layer(image, base)) is not None:
            return found
        return None if self._given.layers_only else await _different_step(image, base)


async def _different_layer(image: Image, base: Image) -> str | None:
    if _is_prefix([layer.digest for layer in base.manifest.layers], [one.digest for one in image.manifest.layers]):
        return None
    # The same layers may be compressed in another way.
    below, above = (await base.config()).diff_ids, (await image.config()).diff_ids
    number = next(
        (at for at, (one, other) in enumerate(zip_longest(below, above)) if one is not None and one != other), None
    )
    if number is None:
        return None
    if number >= len(above):
        return f"it has {counted(len(below), 'layer')}, and the image {len(above)}"
    return f"its layer {number + 1} is {below[number]}, and the image's is {above[number]}"


async def _different_step(image: Image, base: Image) -> str | None:
    """The first step of a base's history that is not the image's; a history that is missing says nothing."""
    below, above = (await base.config()).history, (await image.config()).history
    if not above:
        return None
    for number, step in enumerate(below):
        if number >= len(above):
            return f"its history has {counted(len(below), 'step')}, and the image's {len(above)}"
        if not _is_same_step(step, above[number]):
            mine, other = (excerpt(str(one.get("created_by") or "nothing")) for one in (step, above[number]))
            return f"step {number + 1} of its history is {mine!r}, and of the image's {other!r}"
    return None


def _is_same_step(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two steps of histories say the same, where both say something."""
    if bool(one.get("empty_layer")) != bool(other.get("empty_layer")):
        return False
    fields = ("created", "created_by", "author", "comment")
    return all(one[field] == other[field] for field in fields if one.get(field) and other.get(field))


def _is_prefix(short: Sequence[Digest], long: Sequence[Digest]) -> bool:
    return list(long[: len(short)]) == list(short)


# Annotations


def _tagged(reference: Reference) -> Reference:
    """The name that a base is looked up by: with a tag and a digest, the tag, which may have moved."""
    return reference.with_tag(reference.tag) if reference.tag is not None else reference


def _is_reference(name: str) -> bool:
    try:
        Reference.parse(name)
    except UsageError:
        return False
    return True


def _reference(name: str, image: Image) -> Reference:
    # It names a registry, and never a place on this machine: whoever made the image wrote it.
    try:
        return Reference.parse(name)
    except UsageError as error:
        said = f"its annotation {BASE_NAME} is {excerpt(name)!r}"
        raise InvalidContent(
            f"{_called(image)} does not say what it is based on",
            cause=f"{said}, which is no reference: {error.cause or 'it is malformed'}",
            remedy="say which image is its base",
            code="no-base",
            fields={"reference": image.name},
        ) from None


def _digest(text: str | None, image: Image) -> Digest | None:
    if not text:
        return None
    try:
        return Digest(text)
    except InvalidDigest:
        raise InvalidContent(
            f"{_called(image)} does not say which its base was",
            cause=f"its annotation {BASE_DIGEST} is {excerpt(text)!r}, which is no digest",
            remedy="say which digest the base had",
            code="no-base-digest",
            fields={"reference": image.name},
        ) from None


def _called(image: Image) -> str:
    return f"{image.platform} of {image.name}" if image.platform is not None else image.name


def annotations_of(manifest: Manifest, index: Index | None) -> list[Mapping[str, str]]:
    """The annotations that may say what the base of an image is: its own, those of its entry, those of its index.

    Args:
        manifest: of the image.
        index: where the image was found.
    """
    if index is None:
        return [manifest.annotations]
    entry = next((one for one in index.manifests if one.digest == manifest.digest), None)
    return [manifest.annotations, *([entry.annotations] if entry is not None else []), index.annotations]
