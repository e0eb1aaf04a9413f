"""Views of images and indexes for programs without an event loop.

This module only binds; `views` says what each method does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lading.images.edited import Editable, EditedImage
from lading.images.edits.edit import Edit
from lading.images.views import Image, ImageIndex
from lading.io.blocking import Face, blocking
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.store import Readable
from lading.transfer.transform import Graph, HasGraph


class SyncImage(Editable, Face[Image]):
    """`Image` for programs without an event loop: the same methods, each returning its result."""

    @property
    def store(self) -> Readable:
        """What it is in: the asynchronous store."""
        return self._inner.store

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        return self._inner.manifest

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._inner.name

    @property
    def platform(self) -> Platform | None:
        """What it is for, as the index says that it was found in; None where it was found by itself."""
        return self._inner.platform

    @property
    def digest(self) -> Digest:
        """Of its manifest."""
        return self._inner.digest

    def graph(self) -> Graph:
        """What a copy of it reads."""
        return self._inner.graph()

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, as a value; see `Editable.edited`."""
        return self._inner.edited(*edits, platforms=platforms)

    def __repr__(self) -> str:
        """As that of `Image`."""
        return repr(self._inner)

    config: Final = blocking(Image.config)
    layers: Final = blocking(Image.layers)
    history: Final = blocking(Image.history)
    files: Final = blocking(Image.files)
    largest: Final = blocking(Image.largest)
    read: Final = blocking(Image.read)
    extract: Final = blocking(Image.extract)
    export: Final = blocking(Image.export)


class SyncImageIndex(Editable, Face[ImageIndex]):
    """`ImageIndex` for programs without an event loop: the same methods, each returning its result."""

    @property
    def store(self) -> Readable:
        """What it is in: the asynchronous store."""
        return self._inner.store

    @property
    def index(self) -> Index:
        """The index itself, with the descriptors of its manifests."""
        return self._inner.index

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._inner.name

    @property
    def digest(self) -> Digest:
        """Of the index."""
        return self._inner.digest

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of its images, in its order."""
        return self._inner.platforms

    def graph(self) -> Graph:
        """What a copy of it reads."""
        return self._inner.graph()

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The same with edits, as a value; see `Editable.edited`."""
        return self._inner.edited(*edits, platforms=platforms)

    def __repr__(self) -> str:
        """As that of `ImageIndex`."""
        return repr(self._inner)

    def filter(
        self,
        platforms: Iterable[Platform | str] | Platform | str = (),
        *,
        exact: bool = False,
        attestations: bool = True,
    ) -> SyncImageIndex:
        """The index with only the images for some platforms, as a value; see `ImageIndex.filter`."""
        return self._same(self._inner.filter(platforms, exact=exact, attestations=attestations))

    def remove(self, *entries: str, platforms: Iterable[Platform | str] | Platform | str = ()) -> SyncImageIndex:
        """The index without some entries, as a value; see `ImageIndex.remove`."""
        return self._same(self._inner.remove(*entries, platforms=platforms))

    def add(
        self, *others: HasGraph, replace: bool = False, nested: bool = False, allow_duplicate_platforms: bool = False
    ) -> SyncImageIndex:
        """The index with more entries, as a value; see `ImageIndex.add`."""
        adding = self._inner.add(
            *others, replace=replace, nested=nested, allow_duplicate_platforms=allow_duplicate_platforms
        )
        return self._same(self._runner.run(adding))

    def _same(self, index: ImageIndex) -> SyncImageIndex:
        return SyncImageIndex(index, self._runner)

    def image(self, platform: Platform | str) -> SyncImage:
        """Its image for a platform.

        Args:
            platform: `OS/ARCH[/VARIANT]`.

        Raises:
            NotFound: it has none for that platform, or that image is missing.
        """
        return SyncImage(self._runner.run(self._inner.image(platform)), self._runner)

    def images(self) -> tuple[SyncImage, ...]:
        """All its images that are there, in its order; neither attestations nor indexes within it."""
        return tuple(SyncImage(image, self._runner) for image in self._runner.run(self._inner.images()))
