"""`Client.images`: images and indexes in any place, looked into, bound to a client.

This module only binds; what the methods do is in the modules of the views.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from lading.arguments import several
from lading.errors import InvalidContent
from lading.images.changing import Changes, Copy, Open
from lading.images.edited import parse_platforms
from lading.images.platforms import choose_image, nearest_image
from lading.images.views import Image, ImageIndex
from lading.io.blocking import Face, blocking
from lading.io.tasks import gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import parse
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable, fetch_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location

if TYPE_CHECKING:
    from lading.images.base_check import BaseReport
    from lading.images.edits.new_layer import LayerFrom, NewLayer
    from lading.images.files.entries import FileEntry
    from lading.images.files.export import Exported
    from lading.images.files.indexing import Remembered
    from lading.images.files.reading import Files
    from lading.images.files.usage import FilesReport
    from lading.images.history import History
    from lading.images.layer_list import LayerList
    from lading.images.sizes import SizeReport
    from lading.images.sync_views import SyncImage, SyncImageIndex
    from lading.transfer.events import OnEvent


class Images(Changes):
    """Images and indexes as views over where they are; what is looked at more than once is read once.

    Where a reference names an index and no platform is said, the image is meant that a container engine on this
    machine runs.

    Args:
        open: gives the store of a location, such as `AsyncClient.open`.
        copy: copies a graph, as `AsyncClient.copy` does.
        remembered: gives what was read before; called when that counts.
        note: called with a sentence about which image of an index was taken.
    """

    def __init__(
        self, open: Open, copy: Copy, remembered: Callable[[], Remembered], note: Callable[[str], None]
    ) -> None:
        super().__init__(open, copy)
        self._recall = remembered
        self._note = note

    @cached_property
    def _remembered(self) -> Remembered:
        return self._recall()

    @asynccontextmanager
    async def open(self, reference: AnyLocation, *, platform: Platform | str | None = None) -> AsyncIterator[Image]:
        """An image: one request, and one more for an entry of an index. It can be read within the `async with`.

        Args:
            reference: its tag or digest, in a registry or any other location.
            platform: which image of an index; an image has to be for it.

        Raises:
            NotFound: there is none, or none for the platform.
        """
        location = as_location(reference).full()
        async with self._open(location, mirrored=True) as store:
            yield await self._image(store, location, platform)

    @asynccontextmanager
    async def open_index(self, reference: AnyLocation) -> AsyncIterator[ImageIndex]:
        """An index: one request. It can be read within the `async with`.

        Args:
            reference: its tag or digest, in a registry or any other location.

        Raises:
            NotFound: there is none.
            InvalidContent: it is the manifest of an image or an artifact.
        """
        location = as_location(reference).full()
        async with self._open(location, mirrored=True) as store:
            found = await fetch_location(store, location)
            if not isinstance(found, Index):
                raise InvalidContent(f"{location} is the manifest of an image, not an index", code="is-no-index")
            yield ImageIndex(store, found, str(location), remembered=self._remembered)

    async def history(self, reference: AnyLocation, *, platform: Platform | str | None = None) -> History:
        """How an image's layers came about; see `Image.history`."""
        async with self.open(reference, platform=platform) as image:
            return await image.history()

    async def layers(
        self,
        reference: AnyLocation,
        *,
        platform: Platform | str | None = None,
        shared_with: AnyLocation | None = None,
    ) -> LayerList:
        """The layers of an image, with what made each, and who else has it.

        Of an index, its other images are looked at, too.

        Args:
            reference: the image.
            platform: which image of an index.
            shared_with: another image, of which it is said which layers it has as well.

        Raises:
            NotFound: there is no such image.
        """
        from lading.images.layer_list import layer_list

        other = None
        if shared_with is not None:
            async with self.open(shared_with, platform=platform) as shared:
                other = shared.manifest
        location = as_location(reference).full()
        async with self._open(location, mirrored=True) as store:
            found = await fetch_location(store, location)
            image = await self._image(store, location, platform, found)
            siblings = await ImageIndex(store, found, str(location)).images() if isinstance(found, Index) else ()
            return await layer_list(image, siblings, other)

    async def sizes(
        self,
        references: Iterable[AnyLocation] | AnyLocation,
        *,
        platforms: Iterable[Platform | str] | Platform | str = (),
    ) -> SizeReport:
        """How large images are, alone and together; of an index all its images.

        Args:
            references: images and indexes.
            platforms: of an index only the images for these.

        Raises:
            NotFound: one of them is not there, or has nothing for the platforms.
        """
        from lading.images.sizes import sizes

        wanted = [Platform.parse(one) if isinstance(one, str) else one for one in several(platforms)]
        images: list[Image] = []
        places: tuple[AnyLocation, ...] = several(references)
        for reference in places:
            location = as_location(reference).full()
            async with self._open(location, mirrored=True) as store:
                found = await self._all(store, location, wanted)
                # An image keeps its config, once it was read.
                await gather(image.config() for image in found if image.manifest.is_image)
                images += found
        return await sizes(images)

    async def largest(
        self, reference: AnyLocation, *, platform: Platform | str | None = None, most: int = 20
    ) -> FilesReport:
        """The largest files of an image, and what its layers hold in vain; its layers are read.

        Args:
            reference: the image.
            platform: which image of an index.
            most: how many files are listed.
        """
        async with self.open(reference, platform=platform) as image:
            return await image.largest(most)

    async def files(
        self,
        reference: AnyLocation,
        path: str = "/",
        *,
        platform: Platform | str | None = None,
        recursive: bool = False,
        directory: bool = False,
        layer: int | str | None = None,
    ) -> Files:
        """What is at a path in the merged file system of an image; see `Image.files`."""
        async with self.open(reference, platform=platform) as image:
            return await image.files(path, recursive=recursive, directory=directory, layer=layer)

    async def read(
        self,
        reference: AnyLocation,
        path: str,
        *,
        platform: Platform | str | None = None,
        layer: int | str | None = None,
        limit: int | None = None,
    ) -> bytes:
        """The content of a file in an image; see `Image.read`."""
        async with self.open(reference, platform=platform) as image:
            return await image.read(path, layer=layer, limit=limit)

    async def extract(
        self,
        reference: AnyLocation,
        path: str,
        file: BinaryIO,
        *,
        platform: Platform | str | None = None,
        layer: int | str | None = None,
    ) -> FileEntry:
        """Write the content of a file in an image into a file object; see `Image.extract`."""
        async with self.open(reference, platform=platform) as image:
            return await image.extract(path, file, layer=layer)

    async def export(
        self,
        reference: AnyLocation,
        target: Path | str | BinaryIO,
        *,
        platform: Platform | str | None = None,
        layer: int | str | None = None,
    ) -> Exported:
        """Write the merged file system of an image as a tar archive, or into a folder; see `Image.export`."""
        async with self.open(reference, platform=platform) as image:
            return await image.export(target, layer=layer)

    async def check_base(
        self,
        reference: AnyLocation,
        *,
        base: AnyLocation | None = None,
        digest: Digest | str | None = None,
        platforms: Iterable[Platform | str] | Platform | str = (),
        layers_only: bool = False,
    ) -> BaseReport:
        """Whether images are built on what their bases are now; of an index all its images.

        Where it is known which digest the base had, that is compared with the one its name stands for now: of the
        index, or of any of its images. Else the base's layers and its history have to be the image's first ones.

        Args:
            reference: the image or index.
            base: its base; by default the one that its annotations say (`org.opencontainers.image.base.name`).
            digest: the digest that the base had; by default the one that they say, if they say it of this base.
            platforms: of an index only the images for these.
            layers_only: compare no histories.

        Raises:
            NotFound: it does not say what it is based on, and `base` is not given; or the base is not there.
            InvalidContent: what it says is no reference, or no digest.
        """
        from lading.images.base_check import BaseChecks, BaseReport, Given, annotations_of

        given = Given(
            base=as_location(base) if base is not None else None,
            digest=Digest(digest) if digest is not None else None,
            layers_only=layers_only,
        )
        wanted = parse_platforms(platforms)
        location = as_location(reference).full()
        async with AsyncExitStack() as stack:

            async def opened(place: Location) -> Readable:
                return await stack.enter_async_context(self._open(place, mirrored=True))

            store = await opened(location)
            found = await self._fetch(store, location)
            index = found if isinstance(found, Index) else None
            images = await self._all(store, location, wanted, found)
            checks = BaseChecks(opened, given)
            checked = await checks.check(
                (image, annotations_of(image.manifest, index))
                for image in images
                if index is None or image.manifest.is_image
            )
            return BaseReport(reference=str(location), digest=found.digest, images=checked)

    async def _image(
        self,
        store: Readable,
        location: Location,
        platform: Platform | str | None,
        found: AnyManifest | None = None,
    ) -> Image:
        from lading.images.machine import engine_platform

        manifest = found or await self._fetch(store, location)
        wanted = Platform.parse(platform) if isinstance(platform, str) else platform
        if wanted is not None:
            entry = await choose_image(store, manifest, wanted, str(location))
        elif isinstance(manifest, Index):
            if len(manifest.images) == 1:
                entry = manifest.images[0]
            else:
                entry = await nearest_image(store, manifest, engine_platform(), str(location))
                self._note(f"{location} is for {len(manifest.images)} platforms: this is {entry.platform}")
        else:
            return Image(store, manifest, str(location), remembered=self._remembered)
        image = manifest if entry.digest == manifest.digest else await self._fetch_entry(store, entry)
        if isinstance(image, Index):
            raise InvalidContent(f"the entry {entry.digest} of {location} is an index, not an image", code="is-index")
        return Image(store, image, str(location), platform=entry.platform, remembered=self._remembered)

    async def _fetch(self, store: Readable, location: Location) -> AnyManifest:
        """What a location names: what was read before, where that is a digest of something far away."""
        if not store.traits.is_remote:
            return await fetch_location(store, location)
        raw = self._remembered.document(location.pinned) if location.pinned is not None else None
        if raw is not None:
            return parse(raw, digest=location.pinned, what=str(location))
        manifest = await fetch_location(store, location)
        self._remembered.keep_document(manifest.digest, manifest.raw)
        return manifest

    async def _fetch_entry(self, store: Readable, entry: Descriptor) -> AnyManifest:
        raw = self._remembered.document(entry.digest) if store.traits.is_remote else None
        if raw is not None:
            return parse(raw, entry.media_type, digest=entry.digest)
        manifest = await fetch_manifest(store, entry.content)
        if store.traits.is_remote:
            self._remembered.keep_document(manifest.digest, manifest.raw)
        return manifest

    async def _all(
        self, store: Readable, location: Location, wanted: Sequence[Platform], found: AnyManifest | None = None
    ) -> list[Image]:
        found = found or await fetch_location(store, location)
        if not isinstance(found, Index):
            return [await self._image(store, location, wanted[0] if wanted else None, found)]
        index = ImageIndex(store, found, str(location), remembered=self._remembered)
        if wanted:
            return [await index.image(one) for one in wanted]
        return list(await index.images())


class SyncImages(Face[Images]):
    """`Images` for programs without an event loop: the same methods, each returning its result."""

    def open(
        self, reference: AnyLocation, *, platform: Platform | str | None = None
    ) -> AbstractContextManager[SyncImage]:
        """An image: one request, and one more for an entry of an index. It can be read within the `with`.

        Args:
            reference: its tag or digest, in a registry or any other location.
            platform: which image of an index; an image has to be for it.

        Raises:
            NotFound: there is none, or none for the platform.
        """
        return self._opened(reference, platform)

    def open_index(self, reference: AnyLocation) -> AbstractContextManager[SyncImageIndex]:
        """An index: one request. It can be read within the `with`.

        Args:
            reference: its tag or digest, in a registry or any other location.

        Raises:
            NotFound: there is none.
            InvalidContent: it is the manifest of an image or an artifact.
        """
        return self._opened_index(reference)

    history: Final = blocking(Images.history)
    layers: Final = blocking(Images.layers)
    sizes: Final = blocking(Images.sizes)
    largest: Final = blocking(Images.largest)
    files: Final = blocking(Images.files)
    read: Final = blocking(Images.read)
    extract: Final = blocking(Images.extract)
    export: Final = blocking(Images.export)
    check_base: Final = blocking(Images.check_base)
    push: Final = blocking(Images.push)
    edit: Final = blocking(Images.edit)
    rebase: Final = blocking(Images.rebase)
    append: Final = blocking(Images.append)
    create: Final = blocking(Images.create)

    def new_layer(self, made_of: LayerFrom, *, on_event: OnEvent | None = None) -> AbstractContextManager[NewLayer]:
        """Make a layer of an archive or of files on disk. It can be used within the `with`.

        Args:
            made_of: what the layer is made of.
            on_event: called with how far it is (`PackingProgressed`).

        Raises:
            NotFound: there is no such file.
            UsageError: its place in the image is none.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a file was changed while it was read.
        """
        return self._layer(made_of, on_event)

    @contextmanager
    def _opened(self, reference: AnyLocation, platform: Platform | str | None) -> Iterator[SyncImage]:
        with self._runner.entered(self._inner.open(reference, platform=platform)) as (image, _):
            from lading.images.sync_views import SyncImage

            yield SyncImage(image, self._runner)

    @contextmanager
    def _layer(self, made_of: LayerFrom, on_event: OnEvent | None) -> Iterator[NewLayer]:
        with self._runner.entered(self._inner.new_layer(made_of, on_event=on_event)) as (layer, _):
            yield layer

    @contextmanager
    def _opened_index(self, reference: AnyLocation) -> Iterator[SyncImageIndex]:
        with self._runner.entered(self._inner.open_index(reference)) as (index, _):
            from lading.images.sync_views import SyncImageIndex

            yield SyncImageIndex(index, self._runner)
