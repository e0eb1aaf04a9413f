"""`Client.images`: images and indexes in any place, looked into, bound to a client.

This module only binds; what the methods do is in the modules of the views.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from lading.arguments import several
from lading.errors import InvalidContent, NotFound, UsageError
from lading.images.base_check import BaseChecks, BaseReport, Given, annotations_of
from lading.images.bases import StatedBase, common_base
from lading.images.edited import Editable, EditedImage, parse_platforms
from lading.images.edits.apply import Attestations
from lading.images.edits.edit import Edit
from lading.images.edits.new_layer import LayerFrom, NewLayer
from lading.images.edits.referrers import Referrers
from lading.images.edits.report import EditReport, ManifestChange
from lading.images.files.entries import FileEntry
from lading.images.files.export import Exported
from lading.images.files.indexing import Remembered
from lading.images.files.reading import Files
from lading.images.files.usage import FilesReport
from lading.images.history import History
from lading.images.layer_list import LayerList, layer_list
from lading.images.platforms import choose_image, nearest_image
from lading.images.sizes import SizeReport, sizes
from lading.images.views import Image, ImageIndex
from lading.io.blocking import Face, blocking
from lading.io.tasks import JOBS, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index
from lading.model.manifest import Manifest, parse
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable, Store, fetch_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location
from lading.stores.overlay import Overlay
from lading.transfer.events import OnEvent
from lading.transfer.place import Place
from lading.transfer.report import CopyReport
from lading.transfer.transform import Graph, HasGraph

if TYPE_CHECKING:
    from lading.images.edits.rebase import Base


class Open(Protocol):
    """Gives the store of a location."""

    def __call__(self, place: AnyLocation, *, mirrored: bool = ...) -> AbstractAsyncContextManager[Readable]:
        """The store, to be read."""


Copy = Callable[..., Coroutine[Any, Any, CopyReport]]
"""Copies a graph to locations, as `AsyncClient.copy` does."""


class Images:
    """Images and indexes as views over where they are; what is looked at more than once is read once.

    Where a reference names an index and no platform is said, the image is meant that a container engine on this
    machine runs.

    Args:
        open: gives the store of a location, such as `AsyncClient.open`.
        copy: copies a graph, as `AsyncClient.copy` does.
        remembered: what was read before.
        note: called with a sentence about which image of an index was taken.
    """

    def __init__(self, open: Open, copy: Copy, remembered: Remembered, note: Callable[[str], None]) -> None:
        self._open = open
        self._copy = copy
        self._remembered = remembered
        self._note = note

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
        from lading.arguments import several

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

    async def push(
        self,
        image: Image | ImageIndex | EditedImage,
        *targets: AnyLocation | Place | Store,
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Write an image or an index, with its edits.

        Blobs that are not changed are mounted or copied; nothing is there under a name before all of it is.

        Args:
            image: the image or index, edited or not.
            targets: where to: references, or any other locations.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            Conflict: a tag is not to be changed; nothing was written.
            NotFound: the source lacks something, or has nothing for a platform; no tag was changed.
            Unsupported: it cannot be changed so.
        """
        changes: list[ManifestChange] = []
        edited = image if isinstance(image, EditedImage) else image.edited()
        into_engine = all(map(_takes_references, targets))
        report = await self._copy(
            edited.graph(changes),
            *targets,
            tags=tags,
            clobber=clobber,
            if_digest=if_digest,
            dry_run=dry_run,
            jobs=jobs,
            platforms=edited.platforms if into_engine else (),
            referrers=False if edited.edits else None,
            on_event=on_event,
        )
        fields = {name: getattr(report, name) for name in CopyReport.__struct_fields__}
        return EditReport(**fields, changes=changes)

    async def edit(
        self,
        reference: AnyLocation,
        *edits: Edit,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        in_place: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: Attestations = "keep",
        referrers: Referrers = "keep",
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Apply edits to an image, or to the images of an index and the index, and write what comes of it.

        Args:
            reference: its tag or digest, in a registry or any other location.
            edits: what is changed, in order.
            targets: where the result is written to.
            in_place: give the tag of the source to the result, too, if nobody else has changed the tag meanwhile. What
                the tag named stays there by its digest.
            platforms: of an index only the images for these; without any all images.
            attestations: of images that are edited: `keep` them, or `drop` them.
            referrers: what becomes of what refers to them, such as signatures; see `Referrers` of `lading.edits`.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: there is nowhere to write to; or the source is named by a digest, which nothing else can have.
            NotFound: there is no such image, or nothing for a platform.
            Conflict: a tag is not to be changed; nothing was written.
            Unsupported: it cannot be changed so.
        """

        async def given(_view: Image | ImageIndex, _stack: AsyncExitStack) -> Sequence[Edit]:
            return edits

        return await self._edit(
            reference,
            given,
            targets,
            in_place,
            parse_platforms(platforms),
            attestations,
            referrers,
            if_digest,
            tags=tags,
            clobber=clobber,
            dry_run=dry_run,
            jobs=jobs,
            on_event=on_event,
        )

    async def rebase(
        self,
        reference: AnyLocation,
        *,
        old_base: AnyLocation | None = None,
        new_base: AnyLocation | None = None,
        targets: Iterable[AnyLocation] | AnyLocation = (),
        in_place: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: Attestations = "keep",
        referrers: Referrers = "keep",
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Put an image, or the images of an index, on another base; see `Rebase` of `lading.edits`.

        Args:
            reference: its tag or digest, in a registry or any other location.
            old_base: what it is built on; by default what its annotations say, by the digest that they say.
            new_base: what it is to be built on; by default what the name in its annotations stands for now.
            targets: where the result is written to.
            in_place: give the tag of the source to the result; see `edit`.
            platforms: of an index only the images for these; without any all images.
            attestations: of images that are rebased: `keep` them, or `drop` them.
            referrers: what becomes of what refers to them, such as signatures; see `Referrers` of `lading.edits`.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            LadingError: an image is not built on the old base; nothing was written.
            NotFound: the image or a base is not there, or the image does not say what it is built on.
            Conflict: a tag is not to be changed; nothing was written.
        """

        async def bases(view: Image | ImageIndex, stack: AsyncExitStack) -> Sequence[Edit]:
            from lading.images.edits.rebase import Rebase

            old, new = old_base, new_base
            if old is None or new is None:
                stated = await _stated(view, parse_platforms(platforms))
                old = old or _pinned(stated, view.name)
                new = new or stated.name
                if new is None:
                    raise NotFound(
                        f"{view.name} does not say the name of its base",
                        remedy="name the new base",
                        code="no-base-stated",
                        fields={"reference": view.name},
                    )
            return [Rebase(await self._base(stack, old), await self._base(stack, new))]

        return await self._edit(
            reference,
            bases,
            targets,
            in_place,
            parse_platforms(platforms),
            attestations,
            referrers,
            if_digest,
            tags=tags,
            clobber=clobber,
            dry_run=dry_run,
            jobs=jobs,
            on_event=on_event,
        )

    async def _edit(
        self,
        reference: AnyLocation,
        edits: Callable[[Image | ImageIndex, AsyncExitStack], Awaitable[Sequence[Edit]]],
        targets: Iterable[AnyLocation] | AnyLocation,
        in_place: bool,
        platforms: tuple[Platform, ...],
        attestations: Attestations,
        referrers: Referrers,
        if_digest: str | None,
        **options: Any,
    ) -> EditReport:
        """Edit what is in a location; the edits are found out when it is open."""
        location = as_location(reference).full()
        named: tuple[AnyLocation, ...] = several(targets)
        there = [as_location(target) for target in named]
        if in_place:
            if location.own_tag is None or location.pinned is not None:
                raise UsageError(
                    f"{location} names no tag, and only what a tag names can be replaced",
                    remedy="name a tag, or a target",
                    code="in-place-without-tag",
                    fields={"location": str(location)},
                )
            there.append(location)
        if not there:
            raise UsageError("there is nowhere to write to", remedy="name a target", code="no-target")
        registries = {target.reference.registry for target in there if target.reference is not None}
        mirrored = location.reference is None or location.reference.registry not in registries
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(self._open(location, mirrored=mirrored))
            found = await fetch_location(store, location)
            name = str(location)
            view = ImageIndex(store, found, name) if isinstance(found, Index) else Image(store, found, name)
            edited = EditedImage(view, tuple(await edits(view, stack)), platforms, attestations, referrers)
            expected = if_digest or (str(found.digest) if in_place and len(there) == 1 else None)
            return await self.push(edited, *there, if_digest=expected, **options)

    async def _base(self, stack: AsyncExitStack, reference: AnyLocation) -> Base:
        from lading.images.edits.rebase import Base

        location = as_location(reference).full()
        store = await stack.enter_async_context(self._open(location, mirrored=True))
        return Base(store, await fetch_location(store, location), str(location))

    @asynccontextmanager
    async def new_layer(self, made_of: LayerFrom) -> AsyncIterator[NewLayer]:
        """Make a layer of an archive or of files on disk. It can be used within the `async with`.

        Args:
            made_of: what the layer is made of.

        Raises:
            NotFound: there is no such file.
            UsageError: its place in the image is none.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a file was changed while it was read.
        """
        from lading.images.edits.new_layer import new_layer

        async with Overlay(name="the new layer") as overlay:
            yield await new_layer(overlay, made_of)

    async def append(
        self,
        reference: AnyLocation | None,
        *layers: LayerFrom,
        edits: Iterable[Edit] = (),
        targets: Iterable[AnyLocation] | AnyLocation = (),
        in_place: bool = False,
        platforms: Iterable[Platform | str] | Platform | str = (),
        attestations: Attestations = "keep",
        referrers: Referrers = "keep",
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Put new layers on an image, or on each image of an index, and write what comes of it.

        Args:
            reference: its tag or digest, in a registry or any other location; None for a new image, which has nothing
                but these layers.
            layers: what they are made of, the lowest first.
            edits: what else is changed, after that.
            targets: where the result is written to.
            in_place: give the tag of the source to the result, too; see `edit`.
            platforms: of an index only the images for these; without any all images. A new image is for the only one of
                them, or for what a container engine on this machine runs.
            attestations: of images that get a layer: `keep` them, or `drop` them.
            referrers: what becomes of what refers to them, such as signatures; see `Referrers` of `lading.edits`.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: there is nowhere to write to; a file that is no archive has no place in the image.
            NotFound: there is no such file or image, or nothing for a platform.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a tag is not to be changed, or a file was changed while it was read; nothing was written.
            Unsupported: the image cannot have the layer.
        """
        from lading.images.edits.append import Append, empty_image

        async def made(_view: Image | ImageIndex, stack: AsyncExitStack) -> Sequence[Edit]:
            new = [Append(await stack.enter_async_context(self.new_layer(layer))) for layer in layers]
            return [*new, *edits]

        options: dict[str, Any] = {
            "tags": tags,
            "clobber": clobber,
            "dry_run": dry_run,
            "jobs": jobs,
            "on_event": on_event,
        }
        wanted = parse_platforms(platforms)
        if reference is not None:
            return await self._edit(
                reference, made, targets, in_place, wanted, attestations, referrers, if_digest, **options
            )
        there: tuple[AnyLocation, ...] = several(targets)
        if not there or in_place:
            raise UsageError("there is nowhere to write to", remedy="name a target", code="no-target")
        created = max((layer.created for layer in layers), default=0)
        view = Image(*await empty_image(_platform_of_new(wanted), created), "the new image")
        async with AsyncExitStack() as stack:
            # Nothing refers to the image that it was made of.
            edited = EditedImage(view, tuple(await made(view, stack)), referrers="drop")
            return await self.push(edited, *there, if_digest=if_digest, **options)

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


async def _stated(view: Image | ImageIndex, platforms: Sequence[Platform]) -> StatedBase:
    """What the images that are meant say that they are built on."""
    if isinstance(view, Image):
        return common_base([view.manifest], view.name)
    images = [await view.image(platform) for platform in platforms] or await view.images()
    return common_base([image.manifest for image in images], view.name)


def _pinned(base: StatedBase, what: str) -> Location:
    """Where the base is as it was when an image was built."""
    if base.name is None or base.digest is None:
        raise NotFound(
            f"{what} does not say which base exactly it is built on",
            cause=f"its annotations have no {'name' if base.name is None else 'digest'} of it",
            remedy="name the old base",
            code="no-base-stated",
            fields={"reference": what},
        )
    return as_location(base.name).with_digest(base.digest)


def _takes_references(target: AnyLocation | Place | Store) -> bool:
    """Whether a target is a Docker archive or engine, which holds the image for one platform."""
    if isinstance(target, str):
        target = as_location(target)
    return isinstance(target, Location) and target.is_docker


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


def _platform_of_new(platforms: tuple[Platform, ...]) -> Platform:
    """What a new image is for."""
    from lading.images.machine import engine_platform

    if len(platforms) > 1:
        raise UsageError("a new image is for one platform", remedy="make one for each", code="several-platforms")
    return platforms[0] if platforms else engine_platform()


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

    def new_layer(self, made_of: LayerFrom) -> AbstractContextManager[NewLayer]:
        """Make a layer of an archive or of files on disk. It can be used within the `with`.

        Args:
            made_of: what the layer is made of.

        Raises:
            NotFound: there is no such file.
            UsageError: its place in the image is none.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a file was changed while it was read.
        """
        return self._layer(made_of)

    @contextmanager
    def _opened(self, reference: AnyLocation, platform: Platform | str | None) -> Iterator[SyncImage]:
        with self._runner.entered(self._inner.open(reference, platform=platform)) as (image, _):
            yield SyncImage(image, self._runner)

    @contextmanager
    def _layer(self, made_of: LayerFrom) -> Iterator[NewLayer]:
        with self._runner.entered(self._inner.new_layer(made_of)) as (layer, _):
            yield layer

    @contextmanager
    def _opened_index(self, reference: AnyLocation) -> Iterator[SyncImageIndex]:
        with self._runner.entered(self._inner.open_index(reference)) as (index, _):
            yield SyncImageIndex(index, self._runner)
