"""Which images of an index are meant: for some platforms, what of them is there, or the one for an engine.

Reads of a store only what it takes to choose. The transforms at the end choose what a copy takes along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lading.errors import DigestMismatch, InvalidContent, NotFound, UsageError
from lading.io.tasks import gather
from lading.model.config import ImageConfig
from lading.model.descriptor import Descriptor
from lading.model.digest import Digest
from lading.model.index import Index, is_attestation
from lading.model.manifest import Manifest
from lading.model.media_types import IMAGE_CONFIGS, INDEXES
from lading.model.platform import Platform
from lading.model.reach import LIMITS
from lading.store import AnyManifest, Readable, fetch_manifest, may_be_manifest, read_config
from lading.transfer.report import Note
from lading.transfer.transform import Graph, Transform
from lading.walk import Walk


async def choose(store: Readable, manifest: AnyManifest, platforms: Sequence[Platform], what: str) -> AnyManifest:
    """What of a manifest is for these platforms.

    Args:
        store: what the manifest is in.
        manifest: an index, or an image: then its config has to say that it is for one of them.
        platforms: the platforms; there has to be something for each of them in an index.
        what: what the manifest is called in messages.

    Of entries that say no platform the configs are asked, where no other entry is for one of the platforms.

    Returns:
        The index with only the entries for these platforms and the attestations of those entries; everything else it
        says stays, and an index of which nothing is left out stays as it is, byte for byte. Or the image itself.

    Raises:
        NotFound: nothing is for one of the platforms.
    """
    if not isinstance(manifest, Index):
        config = await image_config(store, manifest)
        if not is_for_any(config, platforms):
            raise no_platform(what, platforms, config)
        return manifest
    known = await platforms_in_configs(store, manifest, platforms, Walk(what))
    for platform in platforms:
        if not manifest.select([platform], attestations=False, known=known):
            raise no_platform(what, [platform], manifest, known)
    chosen = manifest.select(platforms, known=known)
    if len(chosen) == len(manifest.manifests):
        return manifest
    return manifest.changed(chosen)


async def choose_image(store: Readable, manifest: AnyManifest, platform: Platform, what: str) -> Descriptor:
    """The first image for a platform: an entry of an index, or the image itself; see `choose`."""
    chosen = await choose(store, manifest, [platform], what)
    if not isinstance(chosen, Index):
        return chosen.descriptor
    entry = chosen.images[0]
    return entry if not _says_no_platform(entry) else msgspec.structs.replace(entry, platform=platform)


async def platforms_in_configs(
    store: Readable, index: Index, wanted: Sequence[Platform], walk: Walk
) -> dict[Digest, Platform]:
    """The platforms of the entries that say none, by their configs; nothing where all that is wanted is found without.

    Args:
        store: what the index is in.
        index: the index.
        wanted: the platforms that are looked for.
        walk: what the entries are read with.

    Raises:
        DigestMismatch: content is not that of its digest.
        InvalidContent: there is more than a walk follows.
    """
    silent = {entry.digest: entry for entry in index.images if _says_no_platform(entry)}
    if not silent or all(index.select([platform], attestations=False) for platform in wanted):
        return {}
    walk.enter(silent.values(), 1)

    async def read(entry: Descriptor) -> Platform | None:
        try:
            manifest = await walk.fetch(store, entry.content)
            config = await image_config(store, manifest) if isinstance(manifest, Manifest) else None
        except NotFound:
            return None
        except InvalidContent as error:
            if error.code in LIMITS or isinstance(error, DigestMismatch):
                raise
            return None
        return config.platform if config is not None and config.platform.os else None

    found = await gather(map(read, silent.values()))
    return {digest: platform for digest, platform in zip(silent, found, strict=True) if platform is not None}


def _says_no_platform(entry: Descriptor) -> bool:
    """Whether an entry may be an image and does not say for which platform."""
    return entry.platform in (None, Platform()) and may_be_manifest(entry) and entry.media_type not in INDEXES


async def nearest_image(store: Readable, index: Index, machine: Platform, what: str) -> Descriptor:
    """The image of an index that a container engine on a machine runs best; see `choose` for entries without platform.

    Args:
        store: what the index is in.
        index: the list.
        machine: the machine; its variant counts where it has one: `arm/v7` runs what is for v7, else v6, else v5.
        what: what the index is called in messages.

    Raises:
        NotFound: none is for it.
    """
    from lading.model.selection.platforms import Library, only

    architecture = msgspec.structs.replace(machine, variant="")
    known = await platforms_in_configs(store, index, [architecture], Walk(what))
    images = [
        msgspec.structs.replace(entry, platform=known[entry.digest]) if entry.digest in known else entry
        for entry in index.images
    ]
    there = [entry for entry in images if entry.platform and entry.platform.satisfies(architecture)]
    matcher = only(machine, Library.RC_4, machine)
    ranks = [(rank, entry) for entry in there if entry.platform and (rank := matcher.rank(entry.platform)) is not None]
    if ranks:
        return min(ranks, key=lambda ranked: ranked[0])[1]
    if not there or machine.variant:
        raise no_platform(what, [machine], index, known)
    return there[0]


def no_platform(
    what: str,
    platforms: Sequence[Platform],
    found: Index | ImageConfig | None,
    known: Mapping[Digest, Platform] | None = None,
) -> NotFound:
    """The error that there is nothing for any of these platforms.

    Args:
        what: what has nothing.
        platforms: what was asked for.
        found: the index, or the config of the image; None for an artifact, which is for no platform.
        known: the platforms of entries that say none.
    """
    there: list[str] = []
    if isinstance(found, Index):
        own = (entry.platform or (known or {}).get(entry.digest) for entry in found.images)
        there = list(dict.fromkeys(str(platform) for platform in own if platform))
        cause = f"it has {', '.join(there)}" if there else "none of its entries has a platform"
    else:
        cause = f"it is an image for {found.platform}" if found is not None else "it is an artifact"
    wanted = [str(platform) for platform in platforms]
    return NotFound(
        f"{what} has nothing for {', '.join(wanted)}",
        cause=cause,
        remedy="choose one of those" if there else None,
        code="no-platform",
        fields={"reference": what, "platforms": wanted, "available": there},
    )


def is_for_any(config: ImageConfig | None, platforms: Sequence[Platform]) -> bool:
    """Whether an image is for one of these platforms, by its config; an artifact has none, and is for no platform."""
    return config is not None and any(config.platform.satisfies(platform) for platform in platforms)


async def image_config(store: Readable, manifest: Manifest) -> ImageConfig | None:
    """The config of an image, or None where the manifest is no image's; raises what `read_config` does."""
    if manifest.config is None or manifest.config.media_type not in IMAGE_CONFIGS:
        return None
    return await read_config(store, manifest)


# Transforms


def only(platforms: Sequence[Platform], *, sparse: bool = False, is_told: bool = False) -> Transform:
    """Take of an index only the entries for these platforms; an image has to be for one of them.

    Args:
        platforms: the platforms.
        sparse: keep the index as it is, and leave its other entries behind.
        is_told: whether it is said what a sparse copy leaves behind: a registry does not say that it lacks something.
    """

    async def transform(graph: Graph) -> Graph:
        chosen = await choose(graph.store, graph.manifest, platforms, graph.title)
        if not isinstance(chosen, Index) or chosen is graph.manifest:
            return graph
        subjects = (graph.subjects[0], *chosen.manifests)
        if not sparse:
            return graph.changed(manifest=chosen, subjects=subjects)
        entries = graph.manifest.children
        what = f"{len(entries) - len(chosen.manifests)} of the {len(entries)} entries of {graph.title}"
        told = Note(
            f"{what} stayed behind: of what is in a registry, only a copy that verifies brings them later",
            "entries-left-behind",
            {"what": what},
        )
        taken = frozenset(entry.digest for entry in chosen.manifests)
        return graph.changed(*((told,) if is_told else ()), only=taken, subjects=subjects)

    return transform


def what_is_there(*, is_told: bool = True) -> Transform:
    """Take of an index what its store has of it: a container engine lists all platforms, and has the one that it runs.

    Args:
        is_told: whether it is said that platforms are missing.
    """

    async def transform(graph: Graph) -> Graph:
        index, store = graph.manifest, graph.store
        if not isinstance(index, Index):
            return graph
        contents = {entry.digest: entry.content for entry in index.manifests}
        there = await gather(store.contains(content) for content in contents.values())
        here = {digest for digest, is_there in zip(contents, there, strict=True) if is_there}
        present = [entry for entry in index.manifests if entry.digest in here]
        images = [entry for entry in present if not is_attestation(entry)]
        if len(present) == len(index.manifests) or not images:
            return graph
        notes = []
        if is_told and len(images) < len(index.images):
            platforms = ", ".join(str(entry.platform) for entry in images)
            notes.append(
                f"of the {len(index.images)} platforms of {graph.title} only {platforms} is there, and was copied"
            )
        subjects = (graph.subjects[0], *present)
        if len(present) == 1:
            image = await fetch_manifest(store, images[0].content)
            return graph.changed(*notes, manifest=image, subjects=subjects)
        return graph.changed(*notes, manifest=index.changed(present), subjects=subjects)

    return transform


def one_image(platforms: Sequence[Platform], machine: Platform, holder: str) -> Transform:
    """Take of an index the image for one platform.

    Args:
        platforms: the platform; without one it is chosen for the machine.
        machine: where the image is to run.
        holder: what the store is called that holds no more than one.
    """

    async def transform(graph: Graph) -> Graph:
        index = graph.manifest
        if not isinstance(index, Index):
            return await only(platforms)(graph) if platforms else graph
        if len(platforms) > 1:
            raise UsageError(f"{holder} takes one platform", cause=f"{len(platforms)} were asked for")
        if platforms:
            entry = await choose_image(graph.store, index, platforms[0], graph.title)
        else:
            entry = await nearest_image(graph.store, index, machine, graph.title)
        chosen_for_user = entry.platform if not platforms and len(index.images) > 1 else None
        return graph.changed(
            manifest=await fetch_manifest(graph.store, entry.content),
            subjects=(graph.subjects[0], entry),
            platform=chosen_for_user,
        )

    return transform


def no_index(cause: str) -> Transform:
    """Refuse an index.

    Args:
        cause: why it cannot be copied.
    """

    async def transform(graph: Graph) -> Graph:
        if isinstance(graph.manifest, Index):
            raise UsageError(f"{graph.title} is an index, and {cause}")
        return graph

    return transform
