"""What differs between two manifests and all that they lead to: indexes entry by entry, images and artifacts.

This module reads manifests and configs, and layers only where files, packages or contents are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lading.errors import InvalidContent, NotFound
from lading.images.diff.documents import (
    compared,
    config_changes,
    descriptor_changes,
    manifest_changes,
)
from lading.images.diff.entries import EntryPair, paired, platforms_of
from lading.images.diff.layers import diff_layers, layer_changes, listed_layers
from lading.images.diff.options import DiffOptions
from lading.images.diff.results import Change, DiffReport, DiffSide, ImageDiff
from lading.images.files.indexing import Remembered
from lading.images.platforms import choose_image, image_config
from lading.images.views import Image
from lading.io.tasks import gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.encoding import SIZE_LIMIT, decode
from lading.model.index import Index, attested, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS
from lading.model.platform import Platform
from lading.store import AnyManifest, Readable, fetch_manifest, may_be_manifest, read
from lading.walk import Walk

IN_TOTO = "application/vnd.in-toto+json"
Kind = Literal["image", "artifact", "attestation", "index"]


class Opened(NamedTuple):
    """One of the two that are compared, read."""

    store: Readable
    name: str
    manifest: AnyManifest


async def compare(a: Opened, b: Opened, options: DiffOptions, remembered: Remembered) -> DiffReport:
    """What differs between two; nothing more is read where they have one digest.

    Args:
        a: one of them.
        b: the other.
        options: what is compared besides manifests, configs and lists of layers.
        remembered: what was read before.

    Raises:
        NotFound: one is an index, and has no image for the platform of the other.
        InvalidContent: something is damaged, or refused.
    """
    comparison = _Comparison(a, b, options, remembered)
    sides = _side(a), _side(b)
    if a.manifest.digest == b.manifest.digest:
        return DiffReport(is_same=True, a=sides[0], b=sides[1])
    is_same = False
    if isinstance(a.manifest, Index) and isinstance(b.manifest, Index):
        images = await comparison.indexes(a.manifest, b.manifest, 1)
    elif isinstance(a.manifest, Index) or isinstance(b.manifest, Index):
        images = await comparison.index_and_image()
        is_same = any(image.state == "same" for image in images)
    else:
        images = [await comparison.manifests(a.manifest, b.manifest)]
    return DiffReport(
        is_same=is_same,
        a=sides[0],
        b=sides[1],
        changes=tuple(comparison.changes),
        images=tuple(images),
        warnings=tuple(dict.fromkeys(comparison.warnings)),
    )


class _Comparison:
    def __init__(self, a: Opened, b: Opened, options: DiffOptions, remembered: Remembered) -> None:
        self.warnings: list[str] = []
        self.changes: list[Change] = []
        self._sides = a, b
        self._options = options
        self._remembered = remembered
        self._walks = Walk(a.name), Walk(b.name)

    async def indexes(self, a: Index, b: Index, depth: int) -> list[ImageDiff]:
        """Two indexes, entry by entry; of an index within both what is in it comes after it."""
        documents = a.document, b.document
        changes = manifest_changes(*documents, "index")
        pairs = paired(a.manifests, b.manifests)
        changes += _order(pairs, a.manifests)
        if depth == 1:
            self.changes = changes
        for walk, index in zip(self._walks, (a, b), strict=True):
            walk.enter([entry for entry in index.manifests if may_be_manifest(entry)], depth)
        platforms = platforms_of(a.images) | platforms_of(b.images)
        read = await gather(self._read(pair) for pair in pairs)
        both = list(zip(pairs, read, strict=True))
        if self._options.needs_layers:  # of which no more is in memory at once than those of two images
            told = [await self._pair(pair, found, platforms) for pair, found in both]
        else:
            told = await gather(self._pair(pair, found, platforms) for pair, found in both)
        images: list[ImageDiff] = []
        for image, (one, other) in zip(told, read, strict=True):
            images.append(image)
            if isinstance(one, Index) and isinstance(other, Index):
                images += await self.indexes(one, other, depth + 1)
        return images

    async def index_and_image(self) -> list[ImageDiff]:
        """An index and an image: the image of the index is compared that is for the same platform."""
        a, b = self._sides
        index_side, image_side = (a, b) if isinstance(a.manifest, Index) else (b, a)
        index, image = index_side.manifest, image_side.manifest
        assert isinstance(index, Index)
        assert isinstance(image, Manifest)
        entry = next((entry for entry in index.images if entry.digest == image.digest), None)
        if entry is None:
            config = await image_config(image_side.store, image)
            if config is None or not config.platform.os:
                kinds = ("index", "artifact") if index_side is a else ("artifact", "index")
                self.changes.append(Change(scope="manifest", path="mediaType", name="kind", a=kinds[0], b=kinds[1]))
                return []
            entry = await choose_image(index_side.store, index, config.platform, index_side.name)
        self.warnings.append(f"{index_side.name} is an index: its image for {entry.platform} is compared")
        if entry.digest == image.digest:
            return [_alone("same", entry, entry, _platform(entry, {}))]
        found = await fetch_manifest(index_side.store, entry.content)
        if isinstance(found, Index):
            raise InvalidContent(f"the entry {entry.digest} of {index_side.name} is an index", code="is-index")
        return [await self.manifests(*((found, image) if index_side is a else (image, found)))]

    async def manifests(
        self, a: Manifest, b: Manifest, pair: EntryPair | None = None, platform: str | None = None
    ) -> ImageDiff:
        """Two manifests: images, artifacts or attestations."""
        kind: Kind = "image" if a.is_image and b.is_image else "artifact"
        if (pair is not None and is_attestation(pair.entry)) or (_attests(a) and _attests(b)):
            kind = "attestation"
        views = [
            Image(side.store, manifest, side.name, remembered=self._remembered)
            for side, manifest in zip(self._sides, (a, b), strict=True)
        ]
        configs: list[ImageConfig] | None = None
        if kind == "image":
            configs = await gather(view.config() for view in views)
        listed = [
            listed_layers(manifest, configs[number] if configs is not None else None)
            for number, manifest in enumerate((a, b))
        ]
        layers = diff_layers(listed[0], listed[1], by_title=kind != "image")
        documents = a.document, b.document
        changes = _entry_changes(pair)
        changes += manifest_changes(*documents)
        changes += await self._config_changes(a, b, configs)
        changes += layer_changes(layers, *(_blobs(document) for document in documents))
        if platform is None and configs is not None:
            known = [config.platform for config in configs if config.platform.os]
            platform = str(known[0]) if known and known.count(known[0]) == len(known) else None
        result = ImageDiff(
            state="changed", kind=kind, platform=platform, a=a.digest, b=b.digest, changes=tuple(changes), layers=layers
        )
        if not self._options.needs_layers:
            return result
        from lading.images.diff import within

        if kind == "image":
            result, warnings = await within.with_files(result, views[0], views[1], self._options, self._remembered)
            self.warnings += warnings
        elif kind == "artifact" and self._options.content:
            stores = self._sides[0].store, self._sides[1].store
            result = await within.with_contents(result, stores, (a.layers, b.layers), self._options)
        if kind == "artifact" and (self._options.files or self._options.packages):
            self.warnings.append("files are compared of images only, and one of these is an artifact")
        return result

    async def _pair(
        self, pair: EntryPair, found: Sequence[AnyManifest | None], platforms: dict[str, Platform]
    ) -> ImageDiff:
        a, b = pair
        platform = _platform(pair.entry, platforms)
        if a is None or b is None:
            return _alone("added" if a is None else "removed", a, b, platform)
        changes = _entry_changes(pair)
        if a.digest == b.digest:
            return _alone("changed" if changes else "same", a, b, platform, changes)
        one, other = found
        if isinstance(one, Manifest) and isinstance(other, Manifest):
            return await self.manifests(one, other, pair, platform)
        if isinstance(one, Index) and isinstance(other, Index):
            changes += manifest_changes(one.document, other.document, "index")
        elif one is not None and other is not None:
            kinds = ["index" if isinstance(manifest, Index) else "image" for manifest in (one, other)]
            changes.append(Change(scope="descriptor", path="mediaType", name="kind", a=kinds[0], b=kinds[1]))
        return _alone("changed", a, b, platform, changes)

    async def _read(self, pair: EntryPair) -> tuple[AnyManifest | None, AnyManifest | None]:
        """The manifests of both entries, where they differ and can be read."""
        a, b = pair
        if a is None or b is None or a.digest == b.digest:
            return None, None
        one, other = await gather(self._fetch(number, entry) for number, entry in enumerate((a, b)))
        return one, other

    async def _fetch(self, number: int, entry: Descriptor) -> AnyManifest | None:
        if not may_be_manifest(entry):
            return None
        side = self._sides[number]
        try:
            return await self._walks[number].fetch(side.store, entry.content)
        except NotFound:
            what = entry.platform or entry.digest
            self.warnings.append(f"{what} of {side.name} is not there: only what the index says of it was compared")
            return None

    async def _config_changes(self, a: Manifest, b: Manifest, configs: Sequence[ImageConfig] | None) -> list[Change]:
        if a.config is None or b.config is None:
            left, right = ((one.config.to_document() if one.config else None) for one in (a, b))
            return [
                Change(scope="manifest", path=path, name=path, a=one, b=other)
                for path, one, other in compared(left, right, "config")
            ]
        changes = descriptor_changes(a.config.to_document(), b.config.to_document(), "config", "manifest")
        if a.config.digest == b.config.digest:
            return changes
        if configs is not None:
            return changes + config_changes(configs[0].document, configs[1].document)
        documents = await gather(
            _decoded(side.store, config) for side, config in zip(self._sides, (a.config, b.config), strict=True)
        )
        if None in documents:
            one, other = a.config.digest, b.config.digest
            return [*changes, Change(scope="config", path="", name="digest", a=one, b=other)]
        if a.config.media_type in IMAGE_CONFIGS and b.config.media_type in IMAGE_CONFIGS:
            return changes + config_changes(*documents)
        return changes + [
            Change(scope="config", path=path, name=path or "config", a=left, b=right)
            for path, left, right in compared(*documents)
        ]


def _side(opened: Opened) -> DiffSide:
    manifest = opened.manifest
    kind: Literal["index", "image", "artifact"] = "index"
    if isinstance(manifest, Manifest):
        kind = "image" if manifest.is_image else "artifact"
    return DiffSide(
        reference=opened.name, digest=manifest.digest, media_type=manifest.media_type, kind=kind, size=manifest.size
    )


def _alone(
    state: Literal["added", "removed", "changed", "same"],
    a: Descriptor | None,
    b: Descriptor | None,
    platform: str | None,
    changes: Sequence[Change] = (),
) -> ImageDiff:
    """An entry of which no more is told than what the indexes say."""
    entry = b or a
    assert entry is not None
    kind: Kind = "image"
    if is_attestation(entry):
        kind = "attestation"
    elif "index" in entry.media_type or "manifest.list" in entry.media_type:
        kind = "index"
    elif entry.artifact_type or not may_be_manifest(entry):
        kind = "artifact"
    return ImageDiff(
        state=state,
        kind=kind,
        platform=platform,
        a=a.digest if a is not None else None,
        b=b.digest if b is not None else None,
        changes=tuple(changes),
    )


def _platform(entry: Descriptor, platforms: dict[str, Platform]) -> str | None:
    platform = entry.platform
    if is_attestation(entry):
        platform = platforms.get(attested(entry) or "")
    return str(platform) if platform is not None else None


def _entry_changes(pair: EntryPair | None) -> list[Change]:
    """What the indexes say differently of an entry; what an attestation is about is told by its place."""
    if pair is None or pair.a is None or pair.b is None:
        return []
    one, other = pair.a.to_document(), pair.b.to_document()
    changes = descriptor_changes(one, other, "", "descriptor")
    if is_attestation(pair.entry):
        changes = [change for change in changes if change.name != "annotation vnd.docker.reference.digest"]
    return changes


def _attests(manifest: Manifest) -> bool:
    """Whether all that a manifest has are statements about something else, as BuildKit's attestations are."""
    return bool(manifest.layers) and all(layer.media_type == IN_TOTO for layer in manifest.layers)


def _order(pairs: Sequence[EntryPair], a: Sequence[Descriptor]) -> list[Change]:
    """Whether the entries that both have are in another order: engines may take the first that fits."""
    places = {id(entry): number for number, entry in enumerate(a)}
    both = [pair for pair in pairs if pair.a is not None and pair.b is not None]
    numbers = [places[id(pair.a)] for pair in both]
    if numbers == sorted(numbers):
        return []
    names = [str(pair.entry.platform or pair.entry.digest) for pair in both]
    before = [name for _, name in sorted(zip(numbers, names, strict=True))]
    return [Change(scope="index", path="manifests", name="the order of entries", a=before, b=names)]


def _blobs(document: dict[str, Any]) -> list[Any]:
    return document.get("layers") or document.get("blobs") or []


async def _decoded(store: Readable, content: Descriptor) -> Any:
    """A config as JSON; None for one that is none."""
    if "json" not in content.media_type or content.size > SIZE_LIMIT:
        return None
    try:
        return decode(await read(store, content))
    except InvalidContent:
        return None
