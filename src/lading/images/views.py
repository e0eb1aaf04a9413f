"""Images and indexes as they are in a store: views over a manifest, which read what they are asked for.

A view never changes. An image that is to be changed becomes another view, over a store that has the new content. This
module reads stores, and knows neither locations nor how anything is shown.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lading.errors import InvalidContent, InvalidDigest, NotFound
from lading.images.edited import Editable, EditedImage, parse_platforms
from lading.images.platforms import choose_image, image_config
from lading.io.tasks import gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS
from lading.model.platform import Platform
from lading.model.text import counted
from lading.store import AnyManifest, Readable, fetch_manifest, may_be_manifest
from lading.transfer.transform import Graph, HasGraph
from lading.walk import Walk

if TYPE_CHECKING:
    from lading.images.edits.edit import Edit
    from lading.images.files.entries import FileEntry
    from lading.images.files.export import Exported
    from lading.images.files.indexing import Remembered
    from lading.images.files.layers import Layer
    from lading.images.files.reading import Files, Reading
    from lading.images.files.usage import FilesReport
    from lading.images.history import History


class Image(Editable):
    """An image in a store (image-spec manifest); nothing is read before it is asked for.

    Args:
        store: what it is in.
        manifest: its manifest.
        name: what it is called in messages.
        platform: what it is for, as the index says that it was found in.
        remembered: what was read before, also of other images.
    """

    def __init__(
        self,
        store: Readable,
        manifest: Manifest,
        name: str = "",
        *,
        platform: Platform | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        self._platform = platform
        self._store = store
        self._manifest = manifest
        self._name = name or f"{store.name}@{manifest.digest}"
        self._given = remembered
        self._config: ImageConfig | None = None

    @property
    def store(self) -> Readable:
        """What it is in."""
        return self._store

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        return self._manifest

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    @property
    def platform(self) -> Platform | None:
        """What it is for, as the index says that it was found in; None where it was found by itself."""
        return self._platform

    @property
    def digest(self) -> Digest:
        """Of its manifest."""
        return self._manifest.digest

    @property
    def _remembered(self) -> Remembered:
        """What was read before, for what is read now."""
        if self._given is None:
            self._given = _nothing()
        return self._given

    def __repr__(self) -> str:
        """Such as `<Image docker.io/library/alpine:3.20 1 layer>`."""
        return f"<Image {self._name} {counted(len(self._manifest.layers), 'layer')}>"

    def graph(self) -> Graph:
        """What a copy of it reads."""
        return Graph.of(self._store, self._manifest, self._name, AsyncExitStack())

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The image with edits, as a value; see `Editable.edited`. It has to be for one of the platforms."""
        return EditedImage(self, edits, parse_platforms(platforms or ()))

    async def config(self) -> ImageConfig:
        """Its config.

        Raises:
            NotFound: it is an artifact, which has none; or the config is missing.
        """
        if self._config is None:
            self._config = await self._read_config()
        if self._config is None:
            raise NotFound(f"{self._name} has no image config", cause="it is an artifact")
        return self._config

    async def layers(self) -> tuple[Layer, ...]:
        """Its layers, from the lowest up.

        Raises:
            InvalidContent: the config does not say what each of them is.
            NotFound: it is an artifact.
        """
        from lading.images.files.layers import Layer

        config = await self.config()
        blobs = self._manifest.layers
        if len(config.diff_ids) != len(blobs):
            said = f"the manifest has {counted(len(blobs), 'layer')}, and the config {len(config.diff_ids)} diff IDs"
            raise InvalidContent(f"{self._name} is malformed", cause=said, code="wrong-diff-id")
        return tuple(
            Layer(number=number + 1, descriptor=blob, diff_id=self._diff_id(number, said))
            for number, (blob, said) in enumerate(zip(blobs, config.diff_ids, strict=True))
        )

    async def history(self) -> History:
        """How its layers came about, as its config tells it, beside the layers (image-spec config §history)."""
        from lading.images.history import history

        return history(self._name, await self.config(), self._manifest)

    async def files(
        self, path: str = "/", *, recursive: bool = False, directory: bool = False, layer: int | str | None = None
    ) -> Files:
        """What is at a path in its merged file system; layers that it takes are read once, and verified.

        Args:
            path: a path, or a glob: `*`, `?` and `[…]` within a part, `**` for any number of parts. Of a directory its
                files are listed.
            recursive: list what is in directories, too, however deep.
            directory: list a directory itself, and not what is in it.
            layer: one layer alone, by its number from 1, or its digest or diff ID, or the beginning of one: what it
                adds, with its whiteouts as they are in it.

        Raises:
            NotFound: nothing is there, or no such layer.
            InvalidContent: a layer is damaged, or one that container engines refuse.
        """
        async with await self._reading() as reading:
            return await reading.files(path, recursive=recursive, directory=directory, layer=layer)

    async def extract(self, path: str, file: BinaryIO, *, layer: int | str | None = None) -> FileEntry:
        """Write the content of a file into a file object, after it was verified.

        Args:
            path: of a file in the merged file system; symbolic links are followed, within the image.
            file: open for writing.
            layer: take it from one layer alone; see `files`.

        Returns:
            The file's entry.

        Raises:
            NotFound: nothing is there.
            LadingError: what is there is no file.
        """
        async with await self._reading() as reading:
            return await reading.extract(path, file, layer)

    async def read(self, path: str, *, layer: int | str | None = None, limit: int | None = None) -> bytes:
        """The content of a file; see `extract`.

        Args:
            path: of a file in the merged file system.
            layer: take it from one layer alone.
            limit: the largest size accepted, in bytes; None for any.

        Raises:
            InvalidContent: it is larger than `limit`.
        """
        file = _Limited(limit, f"{path} of {self._name}")
        await self.extract(path, file, layer=layer)
        return file.getvalue()

    async def export(self, target: Path | str | BinaryIO, *, layer: int | str | None = None) -> Exported:
        """Write its merged file system as a tar archive, or into a folder.

        Args:
            target: a file object, or the path of a file, which become a tar archive; or of a folder, which has to be
                there, or end with a slash.
            layer: one layer alone, as it is in the archive; see `files`.

        Returns:
            How much was written, and what could not be kept. Nothing is written outside of a folder.

        Raises:
            InvalidContent: a layer is damaged, or one that container engines refuse.
            Conflict: the folder is not empty.
        """
        from lading.images.files.export import export

        async with await self._reading() as reading:
            return await export(reading, target, layer)

    async def largest(self, most: int = 20) -> FilesReport:
        """Its largest files, and what its layers hold in vain; its layers are read.

        Args:
            most: how many files are listed at most.

        Raises:
            InvalidContent: a layer is damaged, or one that container engines refuse.
        """
        from lading.images.files.usage import files_report

        async with await self._reading() as reading:
            return await files_report(reading, most)

    async def _read_config(self) -> ImageConfig | None:
        content = self._manifest.config
        is_far = self._store.traits.is_remote
        if content is None or content.media_type not in IMAGE_CONFIGS or not is_far:
            return await image_config(self._store, self._manifest)
        raw = self._remembered.document(content.digest)
        if raw is not None:
            return ImageConfig.parse(raw, f"the config of {self._name}")
        config = await image_config(self._store, self._manifest)
        if config is not None:
            self._remembered.keep_document(content.digest, config.raw)
        return config

    async def _reading(self) -> Reading:
        from lading.images.files.reading import Reading

        layers, config = await self.layers(), await self.config()
        platform = config.platform if config.platform.os else None
        return Reading(self._store, layers, self._remembered, name=self._name, digest=self.digest, platform=platform)

    def _diff_id(self, number: int, said: str) -> Digest:
        try:
            return Digest(said)
        except InvalidDigest as error:
            raise InvalidContent(
                f"{self._name} is malformed", cause=f"the diff ID of layer {number + 1}: {error.message}"
            ) from None


class ImageIndex(Editable):
    """An index of images in a store (image-spec image-index); nothing is read before it is asked for.

    Args:
        store: what it is in.
        index: the index.
        name: what it is called in messages.
        remembered: what was read before.
    """

    def __init__(self, store: Readable, index: Index, name: str = "", *, remembered: Remembered | None = None) -> None:
        self._store = store
        self._index = index
        self._name = name or f"{store.name}@{index.digest}"
        self._given = remembered

    @property
    def store(self) -> Readable:
        """What it is in."""
        return self._store

    @property
    def index(self) -> Index:
        """The index itself, with the descriptors of its manifests."""
        return self._index

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    @property
    def digest(self) -> Digest:
        """Of the index."""
        return self._index.digest

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms of its images, in its order."""
        return tuple(entry.platform for entry in self._index.images if entry.platform is not None)

    @property
    def _remembered(self) -> Remembered:
        """What was read before, for what is read now."""
        if self._given is None:
            self._given = _nothing()
        return self._given

    def __repr__(self) -> str:
        """Such as `<ImageIndex docker.io/library/alpine:3.20 8 images>`."""
        return f"<ImageIndex {self._name} {counted(len(self._index.images), 'image')}>"

    def graph(self) -> Graph:
        """What a copy of it reads."""
        return Graph.of(self._store, self._index, self._name, AsyncExitStack())

    def edited(self, *edits: Edit, platforms: Iterable[Platform | str] | Platform | str | None = None) -> EditedImage:
        """The index with edits, as a value; see `Editable.edited`."""
        return EditedImage(self, edits, parse_platforms(platforms or ()))

    def filter(
        self,
        platforms: Iterable[Platform | str] | Platform | str = (),
        *,
        exact: bool = False,
        attestations: bool = True,
    ) -> ImageIndex:
        """The index with only the images for some platforms, as a value; nothing is read.

        Args:
            platforms: the platforms; there has to be an image for each of them. Empty for all.
            exact: whether `linux/arm` means only what is for `linux/arm`, and not every arm.
            attestations: whether the attestations of the images are kept.

        Raises:
            NotFound: there is nothing for one of the platforms.
            Conflict: nothing would be left.
        """
        from lading.images.indexes.editing import filtered

        wanted = parse_platforms(platforms)
        index, _ = filtered(self._index, wanted, exact=exact, attestations=attestations, what=self._name)
        return self._changed(index)

    def remove(self, *entries: str, platforms: Iterable[Platform | str] | Platform | str = ()) -> ImageIndex:
        """The index without some entries and the attestations about them, as a value; nothing is read.

        Args:
            entries: each by its digest, or the digest's first digits, its platform, or its position: `@0` is the first.
            platforms: all images that are for one of these.

        Raises:
            NotFound: there is no such entry.
            UsageError: a text means several.
            Conflict: nothing would be left.
        """
        from lading.images.indexes.editing import without

        return self._changed(without(self._index, entries, parse_platforms(platforms), what=self._name)[0])

    async def add(
        self, *others: HasGraph, replace: bool = False, nested: bool = False, allow_duplicate_platforms: bool = False
    ) -> ImageIndex:
        """The index with more entries, as a value: what a new entry is for is read, and nothing is written.

        Args:
            others: images and indexes, in any store, such as an `Image`; they have to be open until the result is
                written.
            replace: whether an image takes the place of the one for its platform, with that one's attestations.
            nested: list an index itself; else its entries are taken.
            allow_duplicate_platforms: whether two images may be for one platform; clients take the first.

        Raises:
            Conflict: two images are for one platform.
            UsageError: one of the others has edits that are not applied yet; or the index is a Docker manifest list,
                which cannot hold what is added.
        """
        from lading.images.indexes.sources import extended_by

        graphs = [other.graph() for other in others]
        homes, index = await extended_by(
            self.graph(), graphs, replace=replace, nested=nested, allow_duplicates=allow_duplicate_platforms
        )
        return ImageIndex(homes, index, self._name, remembered=self._remembered)

    async def image(self, platform: Platform | str) -> Image:
        """Its image for a platform.

        Args:
            platform: `OS/ARCH[/VARIANT]`.

        Raises:
            NotFound: it has none for that platform, or that image is missing.
        """
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        return await self._image(await choose_image(self._store, self._index, wanted, self._name))

    async def images(self) -> tuple[Image, ...]:
        """All its images that are there, in its order, also of indexes within it; no attestations.

        Raises:
            InvalidContent: it is nested too deeply, or leads to too much.
        """
        return tuple(await self._below(Walk(self._name), self._index, 1, set()))

    def _changed(self, index: Index) -> ImageIndex:
        return ImageIndex(self._store, index, self._name, remembered=self._remembered)

    async def _below(self, walk: Walk, index: Index, depth: int, entered: set[Digest]) -> list[Image]:
        listed = [entry for entry in index.images if may_be_manifest(entry)]
        walk.enter(listed, depth)
        # What is listed twice for one platform is one image.
        entries = [*{(entry.digest, entry.platform): entry for entry in listed}.values()]
        images: list[Image] = []
        for entry, found in zip(entries, await gather(self._found(walk, entry) for entry in entries), strict=True):
            if isinstance(found, Index):
                if found.digest not in entered:
                    entered.add(found.digest)
                    images += await self._below(walk, found, depth + 1, entered)
            elif found is not None:
                images.append(self._view(found, entry))
        return images

    async def _found(self, walk: Walk, entry: Descriptor) -> AnyManifest | None:
        try:
            return await walk.fetch(self._store, entry.content)
        except NotFound:
            return None

    async def _image(self, entry: Descriptor) -> Image:
        manifest = await fetch_manifest(self._store, entry.content)
        if isinstance(manifest, Index):
            raise InvalidContent(f"the entry {entry.digest} of {self._name} is an index, not an image", code="is-index")
        return self._view(manifest, entry)

    def _view(self, manifest: Manifest, entry: Descriptor) -> Image:
        return Image(self._store, manifest, self._name, platform=entry.platform, remembered=self._remembered)


class _Limited(io.BytesIO):
    """Bytes in memory, which do not become more than is allowed."""

    def __init__(self, limit: int | None, what: str) -> None:
        super().__init__()
        self._limit = limit
        self._what = what

    def write(self, data: Any, /) -> int:
        if self._limit is not None and self.tell() + len(data) > self._limit:
            raise InvalidContent(f"{self._what} is too large", cause=f"more than {self._limit} bytes")
        return super().write(data)


def _nothing() -> Remembered:
    from lading.images.files.indexing import Remembered

    return Remembered()
