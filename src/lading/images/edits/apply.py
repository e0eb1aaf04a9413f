"""Applying edits: to an image, or to the images of an index and the index itself, as a transform of a copy.

This module reads and writes through an overlay, and knows no locations. An edit never talks to a registry.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

from lading.errors import UsageError
from lading.images.edits.edit import Edit
from lading.images.edits.editing import Editing
from lading.images.edits.index_editing import IndexEditing
from lading.images.edits.referrers import Referrers, refer
from lading.images.edits.report import ManifestChange
from lading.images.platforms import image_config, no_platform
from lading.io.tasks import Limits, Once, gather
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.platform import Platform
from lading.store import AnyManifest, may_be_manifest
from lading.stores.overlay import Overlay
from lading.transfer.transform import Attached, Graph, Transform
from lading.walk import Walk

Attestations = Literal["keep", "drop"]
"""What becomes of the attestations of images that are edited, which are about the images as they were."""


def edit(
    edits: Sequence[Edit],
    platforms: Sequence[Platform] = (),
    *,
    attestations: Attestations = "keep",
    referrers: Referrers = "keep",
    changes: list[ManifestChange] | None = None,
    limits: Limits | None = None,
) -> Transform:
    """Apply edits in their order: to an image; or to the images of an index, and then to the index.

    An index keeps everything that is not edited: its other entries, their order, and all that it says.

    Args:
        edits: what is changed.
        platforms: of an index only the images for these, and there has to be one for each; without any all images. An
            image has to be for one of them.
        attestations: of images that are edited: kept, and named by the new digests; or left out.
        referrers: what becomes of what refers to images that are edited; see `Referrers`.
        changes: gets what was changed.
        limits: how many blobs may be read and written at once.

    Raises:
        NotFound: nothing is for one of the platforms.
        UsageError: an edit is of an index, and what is edited is none.
        Unsupported: an edit is of an image, and what is edited is an artifact.
    """

    async def transform(graph: Graph) -> Graph:
        overlay = await graph.resources.enter_async_context(Overlay(graph.store))
        applying = _Applying(overlay, edits, platforms, attestations, limits or Limits(), graph.title)
        manifest = await applying.apply(graph.manifest)
        if changes is not None:
            changes.extend(applying.changes)
        notes = list(dict.fromkeys(applying.notes))
        attached = (*graph.attached, *applying.attached)
        edited = graph.changed(*notes, manifest=manifest, store=overlay, attached=attached)
        return await refer(graph, edited, applying.renamed, referrers)

    return transform


class _Applying:
    """Edits, while they are applied to one image or index; each manifest once, however often it is listed."""

    def __init__(
        self,
        overlay: Overlay,
        edits: Sequence[Edit],
        platforms: Sequence[Platform],
        attestations: Attestations,
        limits: Limits,
        title: str,
    ) -> None:
        self.changes: list[ManifestChange] = []
        self.notes: list[str] = []
        self.attached: list[Attached] = []
        """What is to be written beside the result."""
        self.renamed: dict[Digest, Descriptor] = {}
        """What the digests of changed manifests became; of one that became several, the first."""
        self._overlay = overlay
        self._edits = edits
        self._platforms = platforms
        self._attestations = attestations
        self._limits = limits
        self._title = title
        self._walk = Walk(title)
        self._once = Once()
        self._layers = Once()
        self._has_found: set[Hashable] = set()
        self._found: set[Platform] = set()
        """Those of the platforms that there is an image for."""

    async def apply(self, manifest: AnyManifest) -> AnyManifest:
        """The manifest as the edits make it."""
        if isinstance(manifest, Index):
            changed: AnyManifest = await self._index(manifest, 1)
        else:
            for one in self._edits:
                if one.changes_index and not one.changes_images:
                    raise UsageError(
                        f"{self._title} is no index, and what is to be changed is the index",
                        code="is-no-index",
                        fields={"reference": self._title},
                    )
            await self._heed_platform(manifest)
            changed = (await self._image(manifest, None))[0]
        missing = [platform for platform in self._platforms if platform not in self._found]
        if missing:
            found = manifest if isinstance(manifest, Index) else await image_config(self._overlay, manifest)
            raise no_platform(self._title, missing, found)
        for one in self._edits:
            absent = one.missing(self._title) if one not in self._has_found else None
            if absent is not None:
                raise absent
        return changed

    async def _index(self, index: Index, depth: int) -> Index:
        self._walk.enter(filter(may_be_manifest, index.manifests), depth)
        editing = IndexEditing(self._overlay, index, self._title)
        editing.is_whole = not self._platforms
        edited = await gather(self._entry(entry, depth) for entry in index.manifests)
        renamed: dict[str, str] = {}
        for position, (entry, result) in enumerate(zip(index.manifests, edited, strict=True)):
            if result is None:
                continue
            manifest, platform = result
            editing.meant.append(position)
            if manifest.digest != entry.digest:
                editing.replace(position, manifest, platform)
                renamed[str(entry.digest)] = str(manifest.digest)
        self._heed_attestations(editing, renamed)
        for one in self._edits:
            if depth == 1 or one.changes_every_index:
                await one.apply_to_index(editing)
        changed = await editing.finish()
        self.notes += editing.notes
        self.attached += editing.attached
        if changed.digest != index.digest:
            self._changed(None, index, changed)
        return changed

    async def _entry(self, entry: Descriptor, depth: int) -> tuple[AnyManifest, Platform | None] | None:
        """What an entry's manifest becomes, and its platform if that changes; None for one that is not meant."""
        if not may_be_manifest(entry) or is_attestation(entry):
            return None
        if self._platforms and entry.platform is not None and not self._is_meant(entry.platform):
            return None
        manifest = await self._walk.fetch(self._overlay, entry.content)
        if isinstance(manifest, Index):

            async def below() -> tuple[AnyManifest, Platform | None]:
                return await self._index(manifest, depth + 1), None

            return await self._once.do((entry.digest, "index"), below)
        if not manifest.is_image:
            self.notes.append(f"{self._title} lists an artifact, {entry.digest.short}: it is left as it is")
            return None
        if self._platforms and entry.platform is None:
            config = await image_config(self._overlay, manifest)
            if config is None or not self._is_meant(config.platform):
                return None

        async def anew() -> tuple[AnyManifest, Platform | None]:
            return await self._image(manifest, entry.platform)

        return await self._once.do((entry.digest, entry.platform), anew)

    async def _image(self, manifest: Manifest, platform: Platform | None) -> tuple[AnyManifest, Platform | None]:
        """An image as the edits make it, and its platform if that changes."""
        title = f"{self._title} for {platform}" if platform is not None else self._title
        editing = Editing(self._overlay, manifest, title, self._limits, self._layers)
        await editing.read()
        before = editing.platform if editing.is_image else None
        for one in self._edits:
            await one.apply(editing)
        changed = await editing.finish()
        self.notes += editing.notes
        self._has_found |= editing.has_found
        after = editing.platform if editing.is_image else None
        if changed.digest != manifest.digest:
            self._changed(after, manifest, changed, editing)
        return changed, after if after != before else None

    def _is_meant(self, platform: Platform) -> bool:
        wanted = [wanted for wanted in self._platforms if platform.satisfies(wanted)]
        self._found.update(wanted)
        return bool(wanted)

    async def _heed_platform(self, manifest: Manifest) -> None:
        """Find out for which of the platforms an image is; it has to be for one of them, not for all."""
        config = await image_config(self._overlay, manifest) if self._platforms else None
        if config is not None and self._is_meant(config.platform):
            self._found.update(self._platforms)

    def _heed_attestations(self, editing: IndexEditing, renamed: dict[str, str]) -> None:
        """Keep or leave out the attestations of images that have another digest now."""
        index = editing.original
        about = [n for n, entry in enumerate(index.manifests) if attested(entry) in renamed]
        if not about:
            return
        if self._attestations == "drop":
            editing.remove(about)
            return
        editing.rename_attested(renamed)
        from lading.images.convert import attestations_kept

        self.notes.append(attestations_kept(len(about), editing.title))

    def _changed(
        self, platform: Platform | None, before: AnyManifest, after: AnyManifest, editing: Editing | None = None
    ) -> None:
        read = editing.original_config if editing is not None else None
        self.renamed.setdefault(before.digest, after.descriptor)
        self.changes.append(
            ManifestChange(
                platform=platform,
                original=before.digest,
                digest=after.digest,
                manifest_before=before.document,
                manifest=after.document,
                config_before=read.document if read is not None else None,
                config=editing.new_config if editing is not None and read is not None else None,
            )
        )
