"""The half of `Client.images` that writes: images and indexes with their edits, new bases, new layers.

This module finds what an edit needs, and has it copied; what an edit does is in `edits/`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import TYPE_CHECKING, Any, Protocol

from lading.arguments import several
from lading.errors import InvalidContent, NotFound, UsageError
from lading.images.bases import StatedBase, common_base
from lading.images.edited import EditedImage, parse_platforms
from lading.images.platforms import choose_image
from lading.images.views import Image, ImageIndex
from lading.io.tasks import JOBS
from lading.model.index import Index
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable, Store, fetch_manifest
from lading.stores.location import AnyLocation, Location, as_location
from lading.stores.opening import fetch_location
from lading.stores.overlay import Overlay
from lading.transfer.events import OnEvent
from lading.transfer.place import Place
from lading.transfer.report import CopyReport

if TYPE_CHECKING:
    from lading.images.edits.apply import Attestations
    from lading.images.edits.base import Base
    from lading.images.edits.edit import Edit
    from lading.images.edits.new_layer import LayerFrom, NewLayer
    from lading.images.edits.referrers import Referrers
    from lading.images.edits.report import EditReport, ManifestChange


class Open(Protocol):
    """Gives the store of a location."""

    def __call__(self, place: AnyLocation, *, mirrored: bool = ...) -> AbstractAsyncContextManager[Readable]:
        """The store, to be read."""


Copy = Callable[..., Coroutine[Any, Any, CopyReport]]
"""Copies a graph to locations, as `AsyncClient.copy` does."""


class Changes:
    """Writes images and indexes, edited or not.

    Args:
        open: gives the store of a location, such as `AsyncClient.open`.
        copy: copies a graph, as `AsyncClient.copy` does.
    """

    def __init__(self, open: Open, copy: Copy) -> None:
        self._open = open
        self._copy = copy

    async def push(
        self,
        image: Image | ImageIndex | EditedImage,
        *targets: AnyLocation | Place | Store,
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        by_digest: bool = False,
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
            by_digest: give no tag: it is there by its digest alone.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            Conflict: a tag is not to be changed; nothing was written.
            NotFound: the source lacks something, or has nothing for a platform; no tag was changed.
            Unsupported: it cannot be changed so.
        """
        from lading.images.edits.report import EditReport

        changes: list[ManifestChange] = []
        edited = image if isinstance(image, EditedImage) else image.edited()
        into_engine = all(map(_takes_references, targets))
        async with AsyncExitStack() as stack:
            edited = await self._with_bases(stack, edited)
            report = await self._copy(
                edited.graph(changes),
                *targets,
                tags=tags,
                clobber=clobber,
                if_digest=if_digest,
                dry_run=dry_run,
                by_digest=by_digest,
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

    async def _with_bases(self, stack: AsyncExitStack, edited: EditedImage) -> EditedImage:
        """The same with the bases that its edits name, opened."""
        edits = [
            one.with_base(await self._base(stack, one.named_base)) if one.named_base is not None else one
            for one in edited.edits
        ]
        return EditedImage(edited.source, tuple(edits), edited.platforms, edited.attestations, edited.referrers)

    async def _base(self, stack: AsyncExitStack, reference: AnyLocation) -> Base:
        from lading.images.edits.base import Base

        location = as_location(reference).full()
        store = await stack.enter_async_context(self._open(location, mirrored=True))
        called = str(location) if location.is_registry else None
        return Base(store, await fetch_location(store, location), str(location), called)

    @asynccontextmanager
    async def new_layer(self, made_of: LayerFrom, *, on_event: OnEvent | None = None) -> AsyncIterator[NewLayer]:
        """Make a layer of an archive or of files on disk. It can be used within the `async with`.

        Args:
            made_of: what the layer is made of.
            on_event: called with how far it is (`PackingProgressed`).

        Raises:
            NotFound: there is no such file.
            UsageError: its place in the image is none.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a file was changed while it was read.
        """
        from lading.images.edits.new_layer import new_layer

        async with Overlay(name="the new layer") as overlay:
            yield await new_layer(overlay, made_of, on_event)

    async def _appended(
        self, layers: Iterable[LayerFrom], stack: AsyncExitStack, on_event: OnEvent | None
    ) -> list[Edit]:
        """The edits that add layers, which are made one after another."""
        from lading.images.edits.append import Append

        return [Append(await stack.enter_async_context(self.new_layer(layer, on_event=on_event))) for layer in layers]

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
        from lading.images.edits.append import empty_image

        async def made(_view: Image | ImageIndex, stack: AsyncExitStack) -> Sequence[Edit]:
            return [*await self._appended(layers, stack, on_event), *edits]

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

    async def create(
        self,
        *layers: LayerFrom,
        base: AnyLocation | None = None,
        edits: Iterable[Edit] = (),
        targets: Iterable[AnyLocation] | AnyLocation = (),
        platforms: Iterable[Platform | str] | Platform | str = (),
        tags: Iterable[str] | str = (),
        clobber: bool = True,
        if_digest: str | None = None,
        dry_run: bool = False,
        jobs: int = JOBS,
        on_event: OnEvent | None = None,
    ) -> EditReport:
        """Make an image of files, as a Dockerfile does that copies them `FROM` a base.

        Annotations say what the base is, where it is in a registry and the format has a place for them. What attests to
        the base, or refers to it, is about the base, and does not come along.

        Args:
            layers: what the new layers are made of, the lowest first.
            base: what the image is built on, an image or an index; None for nothing.
            edits: what else is changed, after that.
            targets: where the image is written to.
            platforms: of an index that is the base only the images for these: one alone becomes an image. An image
                without a base is for the only one, or for what a container engine on this machine runs.
            tags: more tags in each target.
            clobber: False leaves tags alone that name something else, or that appear meanwhile.
            if_digest: change tags only if they name this digest, or do not exist (`absent`).
            dry_run: write nothing; the report says what would be done.
            jobs: how many blobs are under way at once.
            on_event: called with what happens; see `AsyncClient.copy`.

        Raises:
            UsageError: there is nowhere to write to; a file that is no archive has no place in the image.
            NotFound: there is no such file or base, or nothing for a platform.
            InvalidContent: an archive is damaged, or has what container engines refuse.
            Conflict: a tag is not to be changed, or a file was changed while it was read; nothing was written.
        """
        options: dict[str, Any] = {
            "tags": tags,
            "clobber": clobber,
            "if_digest": if_digest,
            "dry_run": dry_run,
            "jobs": jobs,
            "on_event": on_event,
        }
        if base is None:
            return await self.append(None, *layers, edits=edits, targets=targets, platforms=platforms, **options)
        location = as_location(base).full()
        there: tuple[AnyLocation, ...] = several(targets)
        if not there:
            raise UsageError("there is nowhere to write to", remedy="name a target", code="no-target")
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(self._open(location, mirrored=True))
            found = await fetch_location(store, location)
            view = await _chosen(store, found, str(location), parse_platforms(platforms))
            made = [*await self._appended(layers, stack, on_event), *edits, *_stating(location, found)]
            edited = EditedImage(view, tuple(made), attestations="drop", referrers="drop")
            return await self.push(edited, *there, **options)


async def _chosen(
    store: Readable, found: AnyManifest, name: str, platforms: tuple[Platform, ...]
) -> Image | ImageIndex:
    """What is meant of a base: the image for one platform, or an index of those for several, or all of it."""
    if isinstance(found, Index) and len(platforms) != 1:
        index = ImageIndex(store, found, name)
        return index.filter(platforms) if platforms else index
    if platforms:
        entry = await choose_image(store, found, platforms[0], name)
        if entry.digest != found.digest:
            image = await fetch_manifest(store, entry.content)
            if isinstance(image, Index):
                raise InvalidContent(f"the entry {entry.digest} of {name} is an index, not an image", code="is-index")
            return Image(store, image, name, platform=entry.platform)
    assert not isinstance(found, Index)  # which was dealt with
    return Image(store, found, name)


def _stating(location: Location, base: AnyManifest) -> tuple[Edit, ...]:
    """What says which base an image has, where that can be said."""
    from lading.images.edits.annotations import SetBase

    reference = location.reference
    if reference is None or reference.tag is None or not location.is_registry:
        return ()
    return (SetBase(f"{reference.name}:{reference.tag}", str(base.digest), is_needed=False),)


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


def _platform_of_new(platforms: tuple[Platform, ...]) -> Platform:
    """What a new image is for."""
    from lading.images.machine import engine_platform

    if len(platforms) > 1:
        raise UsageError("a new image is for one platform", remedy="make one for each", code="several-platforms")
    return platforms[0] if platforms else engine_platform()
